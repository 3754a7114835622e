"""Audit of a chaos run from the topics alone: lost, duplicated or invented captures. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from siad.contracts.events import (
    DeadLetter,
    Decision,
    ImageStored,
    Intent,
    PseudoMaskCreated,
    VerdictGiven,
    WeightsKind,
)

NAMED_MAX = 5  # captures named in one fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Everything about one line after the run."""

    accepted: AbstractSet[str]  # captures to be judged for which the camera holds a 202
    early: AbstractSet[str]  # those of them from before the teacher
    images: tuple[ImageStored, ...]  # the topics, whole and in order, repeats included
    verdicts: tuple[VerdictGiven, ...]
    masks: tuple[PseudoMaskCreated, ...]
    letters: tuple[DeadLetter, ...]
    buried: AbstractSet[str]  # captures that inference's dead letters name; each has a verdict too, UNKNOWN
    ledger: AbstractSet[str]  # captures in the trainer's ledger
    broken: Mapping[str, str]  # capture -> what is wrong with its mask in the store
    waiting: int  # image records that inference has not committed, as the broker says it
    repeats_max: int  # repeats of one kind that the blows can excuse
    swap_expected: bool  # a segmenter was to take over meanwhile

    @property
    def by_segmenter(self) -> int:
        """Number of verdicts by a segmenter, repeats included."""
        return sum(verdict.weights_kind is WeightsKind.SEGMENTER for verdict in self.verdicts)

    @property
    def received(self) -> set[str]:
        """Announced captures that require a verdict."""
        return {image.capture_id for image in self.images if image.intent is Intent.INSPECT}


def first_wins(verdicts: Iterable[VerdictGiven]) -> dict[str, VerdictGiven]:
    """The first verdict of each capture, as a deduplicating reader keeps it."""
    kept: dict[str, VerdictGiven] = {}
    for verdict in verdicts:
        kept.setdefault(verdict.capture_id, verdict)
    return kept


def repeats(captures: Iterable[str]) -> int:
    """Number of repeats."""
    return sum(count - 1 for count in Counter(captures).values())


def faults(account: Account) -> list[str]:
    """Violations, one sentence each; empty if the run passed."""
    received = account.received
    first = first_wins(account.verdicts)
    labelled = {mask.capture_id for mask in account.masks}
    unknown = {capture for capture, verdict in first.items() if verdict.decision is Decision.UNKNOWN}
    found = [
        *_differ("accepted from the camera", account.accepted, "announced", received),
        *_differ("announced", received, "judged", first.keys()),
        *_differ("announced", received, "labelled", labelled),
        *_differ("labelled", labelled, "in the ledger", account.ledger),
        *_some("judged UNKNOWN though a teacher was in service", unknown - account.early),
        *_some("have a mask in the store that differs from its event", account.broken),
        *(f"dead letter: {letter.topic} offset {letter.offset}: {letter.reason}" for letter in account.letters),
    ]
    mute = account.buried - first.keys()
    balance = len(received) - len(first) - len(mute)
    if balance != account.waiting:
        found.append(
            f"the ledger does not balance: received {len(received)} - verdicts {len(first)} - dead letters without one "
            f"{len(mute)} = {balance}, and {account.waiting} are waiting"
        )
    if account.swap_expected and not account.by_segmenter:
        found.append("no segmenter took over: every verdict is by the teacher")
    again = {
        "verdicts": repeats(verdict.capture_id for verdict in account.verdicts),
        "pseudo-masks": repeats(f"{mask.capture_id} {mask.weights}" for mask in account.masks),
    }
    found += [
        f"{count} repeated {kind}: more than could have been in flight at the kills ({account.repeats_max})"
        for kind, count in again.items()
        if count > account.repeats_max
    ]
    return found


def _differ(left_name: str, left: AbstractSet[str], right_name: str, right: AbstractSet[str]) -> list[str]:
    return [
        *_some(f"{left_name} and not {right_name}", left - right),
        *_some(f"{right_name} and not {left_name}", right - left),
    ]


def _some(what: str, captures: Iterable[str]) -> list[str]:
    named = sorted(captures)
    if not named:
        return []
    more = f" and {len(named) - NAMED_MAX} more" if len(named) > NAMED_MAX else ""
    return [f"{len(named)} captures {what}: {', '.join(named[:NAMED_MAX])}{more}"]
