"""Plan which objects of a line expire by age. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from siad.contracts.expiry import NEVER, Expiry


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """Days for which each kind of object is kept; 0: for ever."""

    images_days: int = 0
    masks_days: int = 0
    receipts_days: int = 0
    objects_max: int = 5000  # in one round, so that a round ends soon and uploads get their share of the store

    @property
    def is_off(self) -> bool:
        """Whether everything is kept for ever."""
        return not (self.images_days or self.masks_days or self.receipts_days)

    def at(self, now: datetime) -> Expiry:
        """First days that are kept; ``now`` in UTC."""
        return Expiry(
            images_from=_day(now, self.images_days),
            masks_from=_day(now, self.masks_days),
            receipts_from=_day(now, self.receipts_days),
        )


@dataclass(frozen=True, slots=True)
class ExpiredObject:
    """One object past its retention."""

    key: str
    capture: str  # empty for an image, which several captures may share


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedObjects:
    """Objects kept at any age: normals and members of training sets."""

    images: frozenset[str] = frozenset()  # keys
    captures: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()  # training sets whose list of captures is missing

    def allows(self, expired: ExpiredObject) -> bool:
        """Whether an expired object may be deleted."""
        return not self.unknown and expired.key not in self.images and expired.capture not in self.captures


@dataclass(frozen=True, slots=True, kw_only=True)
class LineInventory:
    """Expired and retained objects of one line."""

    expiry: Expiry  # the line's mark
    wanted: Expiry  # by the policy, now
    expired: tuple[ExpiredObject, ...] = ()  # in the order of their deletion: masks, images, corrections, receipts
    retained: RetainedObjects = RetainedObjects()


@dataclass(frozen=True, slots=True)
class AdvanceExpiry:
    """Advance the line's mark, before the first object is deleted."""

    expiry: Expiry


@dataclass(frozen=True, slots=True)
class ExpireObjects:
    """Delete these objects, in this order."""

    keys: tuple[str, ...]
    is_all: bool  # no other object has expired


def plan(inventory: LineInventory, *, objects_max: int) -> list[AdvanceExpiry | ExpireObjects]:
    """Advance the mark, then expire; nothing while a training set is unknown."""
    if inventory.retained.unknown:
        return []
    actions: list[AdvanceExpiry | ExpireObjects] = []
    advanced = inventory.expiry.moved_on(inventory.wanted)
    if advanced != inventory.expiry:
        actions.append(AdvanceExpiry(advanced))
    keys = tuple(expired.key for expired in inventory.expired if inventory.retained.allows(expired))
    if keys:
        actions.append(ExpireObjects(keys[:objects_max], is_all=len(keys) <= objects_max))
    return actions


def _day(now: datetime, days: int) -> date:
    return (now - timedelta(days=days)).date() if days else NEVER
