"""What of a line has had its time. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from siad.contracts.expiry import NEVER, Expiry


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """For how many days each kind is kept; 0: for ever."""

    images_days: int = 0
    masks_days: int = 0
    receipts_days: int = 0
    removals_max: int = 5000  # objects in one round, so that a round ends soon and uploads have room beside it

    @property
    def is_off(self) -> bool:
        """Whether everything is kept for ever."""
        return not (self.images_days or self.masks_days or self.receipts_days)

    def at(self, now: datetime) -> Expiry:
        """From which days on things are kept; ``now`` in UTC."""
        return Expiry(
            images_from=_day(now, self.images_days),
            masks_from=_day(now, self.masks_days),
            receipts_from=_day(now, self.receipts_days),
        )


@dataclass(frozen=True, slots=True)
class ExpiredObject:
    """One object past its retention."""

    key: str
    capture: str  # empty for an image, which may be that of several


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedObjects:
    """What stays however old it is: normals, and members of training sets."""

    images: frozenset[str] = frozenset()  # keys
    captures: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()  # training sets whose list of captures is missing

    def frees(self, one: ExpiredObject) -> bool:
        """Whether an object may go."""
        return not self.unknown and one.key not in self.images and one.capture not in self.captures


@dataclass(frozen=True, slots=True, kw_only=True)
class LineInventory:
    """What the store has of one line."""

    expiry: Expiry  # its mark
    wanted: Expiry  # by the policy, now
    aged: tuple[ExpiredObject, ...] = ()  # in the order in which they may go: masks, images, receipts
    kept: RetainedObjects = RetainedObjects()


@dataclass(frozen=True, slots=True)
class AdvanceExpiry:
    """Say what may be gone, before it goes."""

    expiry: Expiry


@dataclass(frozen=True, slots=True)
class DeleteObjects:
    """Delete these, in this order."""

    keys: tuple[str, ...]
    is_all: bool  # nothing else has had its time


def plan(stock: LineInventory, *, removals_max: int) -> list[AdvanceExpiry | DeleteObjects]:
    """Plan the expiry of a line: the mark first, then deletions.

    Nothing is deleted while a training set might lose a member.
    """
    if stock.kept.unknown:
        return []
    actions: list[AdvanceExpiry | DeleteObjects] = []
    moved = stock.expiry.moved_on(stock.wanted)
    if moved != stock.expiry:
        actions.append(AdvanceExpiry(moved))
    keys = tuple(one.key for one in stock.aged if stock.kept.frees(one))
    if keys:
        actions.append(DeleteObjects(keys[:removals_max], is_all=len(keys) <= removals_max))
    return actions


def _day(now: datetime, days: int) -> date:
    return (now - timedelta(days=days)).date() if days else NEVER
