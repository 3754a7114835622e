"""Variety of the captures that are shown one after the other. Pure.

A fault that lasts gives many captures that look alike, and a third answer to it teaches little. Alike are captures of
one part, and captures of about one time and one score: nothing else about their look is stored.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from services.console.domain.captures import CaptureEntry
from services.console.domain.worth import Ground, Worth, log_of

ROW_MAX: Final = 2  # captures alike that are shown in a row at full worth
ALIKE_WORTH: Final = 0.5  # share of its worth that a further one has
ALIKE_FOR: Final = timedelta(seconds=60)  # between two captures of one time
ALIKE_DEVIATIONS: Final = 0.5  # between two scores that are alike
LOOK_MAX: Final = 200  # captures among which one unlike the last ones is looked for


@dataclass(frozen=True, slots=True)
class Candidate:
    """A capture that may be shown, with its worth."""

    entry: CaptureEntry
    worth: Worth


def varied(
    ranked: Sequence[Candidate], seen: Sequence[CaptureEntry], spreads: Mapping[str, float]
) -> Iterator[Candidate]:
    """Yield captures by worth; further alike ones in a row count half.

    Args:
        ranked: highest worth first.
        seen: what was shown before, oldest first.
        spreads: deviation of log scores, by weights.
    """
    left, last = list(ranked), deque(seen, maxlen=ROW_MAX)
    while left:
        at = _next(left, last, spreads)
        chosen = left.pop(at)
        last.append(chosen.entry)
        if at:
            grounds = (*chosen.worth.grounds, Ground.UNLIKE)
            chosen = replace(chosen, worth=replace(chosen.worth, grounds=grounds))
        yield chosen


def _next(left: Sequence[Candidate], last: Sequence[CaptureEntry], spreads: Mapping[str, float]) -> int:
    """Index of the capture to show.

    0 unless one that is unlike the last ones is worth more than half of it.
    """
    if len(last) < ROW_MAX:
        return 0
    least = left[0].worth.value * ALIKE_WORTH
    for at, one in enumerate(left[:LOOK_MAX]):
        if one.worth.value <= least:
            return 0
        if not all(are_alike(one.entry, before, spreads) for before in last):
            return at
    return 0


def are_alike(one: CaptureEntry, other: CaptureEntry, spreads: Mapping[str, float]) -> bool:
    """Whether captures show one part, or are close in time and score."""
    if one.place != other.place:
        return False
    if one.serial and one.serial == other.serial:
        return True
    if one.finding is None or other.finding is None or one.finding.weights != other.finding.weights:
        return False
    if abs(one.captured_at - other.captured_at) > ALIKE_FOR:
        return False
    apart = abs(log_of(one.finding.score) - log_of(other.finding.score))
    return apart <= ALIKE_DEVIATIONS * spreads[one.finding.weights]
