"""Choice of the captures that people are asked about. Pure.

Answers near the threshold teach most, so most of the captures shown are those. But they say nothing about misses among
low scores, so every tenth is drawn at random from all captures of the line (``draw``).
"""

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Final

from services.console.domain.captures import CaptureEntry, Finding
from services.console.domain.draw import rank_of, samples
from services.console.domain.serving import WeightsInService
from siad.contracts.corrections import CaptureCorrected, Selection
from siad.contracts.place import Place

EVERY: Final = 10  # of the captures shown, one is drawn at random
NEAR_MAX: Final = 0.2  # of the threshold; on a small line the nearest captures may be far from it
SCORE_MIN: Final = 1e-9  # lower scores count as this one: they have no logarithm
SPREAD_MIN: Final = 0.01  # of log scores; images that are all alike have none
NORMAL_MAD: Final = 1.4826  # deviation of a normal distribution whose median absolute deviation is 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewItem:
    """One capture to show, and why."""

    entry: CaptureEntry
    finding: Finding
    selection: Selection
    distance: float  # from the threshold, in deviations of the log scores of captures that passed
    reason: str
    is_current: bool = True  # scored by the weights in service


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRequest:
    """Captures that a client asks for."""

    line: str
    product: str | None = None  # None: all
    count: int = 20
    holder: str | None = None  # page that shows them, and has leases; None: none is given


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Captures to show next, and how many there are."""

    items: Sequence[ReviewItem]
    captures: int  # with a score, in memory
    answered: int  # of them
    products: Sequence[str]  # of the line with captures that have a score
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
            is_near = abs(finding.score - finding.threshold) <= NEAR_MAX * finding.threshold
            debt[entry.place] = debt.get(entry.place, 0) + (is_near and entry.capture_id not in answered)
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
    spreads = _spreads(scored)
    reached = {place: sample.reached for place, sample in samples(latest.values(), serving).items()}
    ranked = sorted(
        (rank_of(entry.line, entry.capture_id), entry.capture_id, entry)
        for entry in scored
        if entry.capture_id not in latest
    )
    drawn = [entry for _, _, entry in ranked[: -(-min(count, len(ranked)) // EVERY)]]
    near = sorted(
        (entry for rank, _, entry in ranked[len(drawn) :] if rank > reached[entry.place]),
        key=lambda entry: (*_nearness(entry, serving, spreads), entry.capture_id),
    )
    items = [_near_item(entry, spreads) for entry in near[: count - len(drawn)]]
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


def _nearness(
    entry: CaptureEntry, serving: Mapping[Place, WeightsInService], spreads: Mapping[str, float]
) -> tuple[bool, float]:
    """Order of captures to ask about, weights in service first."""
    assert entry.finding is not None
    return serving[entry.place].weights != entry.finding.weights, _distance(entry.finding, spreads)


def _distance(finding: Finding, spreads: Mapping[str, float]) -> float:
    return abs(_log(finding.score) - _log(finding.threshold)) / spreads[finding.weights]


def _spreads(entries: Iterable[CaptureEntry]) -> dict[str, float]:
    """Deviation of the log scores of captures that passed, by weights.

    It stands for the spread of normals: most captures that pass are good, and the median ignores the others.
    """
    scores: dict[str, list[float]] = {}
    for entry in entries:
        if (finding := entry.finding) is not None:
            kept = scores.setdefault(finding.weights, [])
            if not finding.is_reject:
                kept.append(_log(finding.score))
    return {weights: max(_deviation(logs), SPREAD_MIN) for weights, logs in scores.items()}


def _deviation(logs: Sequence[float]) -> float:
    if len(logs) < 2:
        return 1.0
    middle = statistics.median(logs)
    return NORMAL_MAD * statistics.median(abs(one - middle) for one in logs)


def _log(score: float) -> float:
    return math.log(max(score, SCORE_MIN))


def _near_item(entry: CaptureEntry, spreads: Mapping[str, float]) -> ReviewItem:
    finding = entry.finding
    assert finding is not None
    side = "over" if finding.is_reject else "below"
    share = abs(finding.score / finding.threshold - 1) if finding.threshold else 0.0
    where = "at the threshold" if finding.score == finding.threshold else f"{share:.1%} {side} the threshold"
    which = "near the threshold" if share <= NEAR_MAX else "the nearest that are left"
    distance = _distance(finding, spreads)
    reason = f"{which}: {where}, {distance:.2g} deviations of captures that passed"
    return ReviewItem(entry=entry, finding=finding, selection=Selection.NEAREST, distance=distance, reason=reason)


def _drawn_item(entry: CaptureEntry, spreads: Mapping[str, float], count: int) -> ReviewItem:
    finding = entry.finding
    assert finding is not None
    reason = f"drawn at random from {count} captures, to estimate misses and false rejects"
    return ReviewItem(
        entry=entry,
        finding=finding,
        selection=Selection.RANDOM,
        distance=_distance(finding, spreads),
        reason=reason,
    )
