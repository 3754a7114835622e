"""Choice of the captures that people are asked about. Pure.

Most of the captures shown are those worth most (``worth``), and not many alike in a row (``variety``). But they say
nothing about misses among low scores, so every tenth is drawn at random from all captures of the line (``draw``).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Final

from services.console.domain.captures import CaptureEntry, Finding
from services.console.domain.draw import rank_of, samples
from services.console.domain.labour import Labour
from services.console.domain.serving import WeightsInService
from services.console.domain.variety import ROW_MAX, Candidate, varied
from services.console.domain.worth import Ground, distance_of, is_near, reason_of, spreads_of, worth_of
from siad.contracts.corrections import CaptureCorrected, Selection
from siad.contracts.place import Place

EVERY: Final = 10  # of the captures shown, one is drawn at random


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewItem:
    """One capture to show, and why."""

    entry: CaptureEntry
    finding: Finding
    selection: Selection
    distance: float  # from the threshold, in deviations of the log scores of captures that passed
    reason: str
    grounds: tuple[Ground, ...]  # what the reason says
    is_current: bool = True  # scored by the weights in service


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRequest:
    """Captures that a client asks for."""

    line: str
    product: str | None = None  # None: all
    count: int = 20
    corrections_min: int = 10  # new corrections that start a training run
    holder: str | None = None  # page that shows them, and has leases; None: none is given
    person: str = ""  # is given none that this person put off; empty: it is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Captures to show next, and how many there are."""

    items: Sequence[ReviewItem]
    captures: int  # with a score, in memory
    answered: int  # of them
    products: Sequence[str]  # of the line with captures that have a score
    labour: Labour
    leased_until: datetime | None = None  # None: no leases


def review_debt(entries: Iterable[CaptureEntry], answered: Collection[str]) -> dict[Place, int]:
    """Count the captures near the threshold that nothing was answered to.

    Args:
        entries: captures of one line.
        answered: ids of captures that a person has answered.

    Returns:
        The number for each place with a scored capture.
    """
    debt: dict[Place, int] = {}
    for entry in entries:
        if (finding := entry.finding) is not None:
            is_open = entry.capture_id not in answered
            debt[entry.place] = debt.get(entry.place, 0) + (is_open and is_near(finding))
    return debt


def choose(
    entries: Collection[CaptureEntry],
    latest: Mapping[str, CaptureCorrected],
    count: int,
    serving: Mapping[Place, WeightsInService],
) -> list[ReviewItem]:
    """Choose the captures to show next.

    The result depends on the arguments alone. Captures without a score are not shown: nothing can be said about them.

    Args:
        entries: the captures of one line.
        latest: by capture, the newest correction; these are not shown again.
        count: how many to show, at most.
        serving: weights in service, of every place with a scored capture.
    """
    scored = [entry for entry in entries if entry.finding is not None]
    spreads = spreads_of(scored)
    reached = {place: sample.reached for place, sample in samples(latest.values(), serving).items()}
    ranked = sorted(
        (rank_of(entry.line, entry.capture_id), entry.capture_id, entry)
        for entry in scored
        if entry.capture_id not in latest
    )
    drawn = [entry for _, _, entry in ranked[: -(-min(count, len(ranked)) // EVERY)]]
    open_entries = [entry for rank, _, entry in ranked[len(drawn) :] if rank > reached[entry.place]]
    seen = _last_answered(scored, latest)
    near = islice(_by_worth(open_entries, seen, serving, spreads), count - len(drawn))
    items = [_worth_item(one) for one in near]
    mixed = _mixed(items, [_drawn_item(entry, spreads, len(scored)) for entry in drawn])
    return [_marked(item, serving[item.entry.place]) for item in mixed]


def _marked(item: ReviewItem, serving: WeightsInService) -> ReviewItem:
    if item.finding.weights == serving.weights:
        return item
    return replace(item, is_current=False, reason=f"{item.reason}; scored by earlier weights")


def _mixed(near: Sequence[ReviewItem], drawn: Sequence[ReviewItem]) -> Iterable[ReviewItem]:
    """Put a drawn capture behind each nine near ones."""
    nears = iter(near)
    for one in drawn:
        yield from islice(nears, EVERY - 1)
        yield one
    yield from nears


def _by_worth(
    entries: Iterable[CaptureEntry],
    seen: Sequence[CaptureEntry],
    serving: Mapping[Place, WeightsInService],
    spreads: Mapping[str, float],
) -> Iterator[Candidate]:
    """Yield captures to ask about, those of the weights in service first."""
    current, earlier = list[Candidate](), list[Candidate]()
    for entry in entries:
        assert entry.finding is not None
        is_current = serving[entry.place].weights == entry.finding.weights
        (current if is_current else earlier).append(Candidate(entry, worth_of(entry, spreads)))
    for candidates in (current, earlier):
        ranked = sorted(candidates, key=lambda one: (-one.worth.value, one.entry.capture_id))
        yield from varied(ranked, seen, spreads)


def _last_answered(entries: Iterable[CaptureEntry], latest: Mapping[str, CaptureCorrected]) -> list[CaptureEntry]:
    """Find what was answered last, oldest first."""
    answered = [entry for entry in entries if entry.capture_id in latest]
    return sorted(answered, key=lambda one: (latest[one.capture_id].corrected_at, one.capture_id))[-ROW_MAX:]


def _worth_item(one: Candidate) -> ReviewItem:
    assert one.entry.finding is not None
    return ReviewItem(
        entry=one.entry,
        finding=one.entry.finding,
        selection=Selection.NEAREST,
        distance=one.worth.distance,
        reason=reason_of(one.entry, one.worth),
        grounds=one.worth.grounds,
    )


def _drawn_item(entry: CaptureEntry, spreads: Mapping[str, float], count: int) -> ReviewItem:
    finding = entry.finding
    assert finding is not None
    reason = f"drawn at random from {count} captures, to estimate misses and false rejects"
    return ReviewItem(
        entry=entry,
        finding=finding,
        selection=Selection.RANDOM,
        distance=distance_of(finding, spreads),
        reason=reason,
        grounds=(Ground.RANDOM,),
    )
