"""Random draw of captures, to estimate misses and false rejects. Pure.

A digest gives every capture a fixed rank, and the unanswered capture of the lowest rank is drawn next. So once the
draw has reached a rank, every capture up to it was answered, and these are a uniform sample of the line: one that was
answered for another reason before the draw reached it belongs to the sample too. A capture that arrives later below
that rank is answered as drawn or not at all; otherwise the sample would have more of those near the threshold.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.console.domain.serving import WeightsInService
from siad.contracts.corrections import CaptureCorrected, Selection
from siad.contracts.place import Place

NOT_BEGUN = -1  # lower than every rank


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSample:
    """Answers that are a uniform sample of what some weights judged."""

    reached: int  # rank up to which captures were drawn
    answers: tuple[CaptureCorrected, ...]


def rank_of(line: str, capture_id: str) -> int:
    """Return the fixed rank of a capture in its line's draw."""
    return int.from_bytes(hashlib.sha256(f"review\n{line}\n{capture_id}".encode()).digest()[:8])


def samples(
    latest: Collection[CaptureCorrected], serving: Mapping[Place, WeightsInService]
) -> dict[Place, DrawnSample]:
    """Find the sample of each place.

    Args:
        latest: the newest correction of each capture of one line.
        serving: weights and threshold of each place, as they are now; answers about other weights don't count.
    """
    return {place: _sample_of(place, now.weights, latest) for place, now in serving.items()}


def _sample_of(place: Place, weights: str, latest: Collection[CaptureCorrected]) -> DrawnSample:
    mine = [one for one in latest if (one.line, one.product) == place and one.weights == weights]
    reached, kept = NOT_BEGUN, []
    for one in sorted(mine, key=lambda one: (one.corrected_at, one.capture_id)):
        rank = rank_of(one.line, one.capture_id)
        if one.selection is Selection.RANDOM or rank > reached:
            kept.append((rank, one))
        if one.selection is Selection.RANDOM:
            reached = max(reached, rank)
    return DrawnSample(reached=reached, answers=tuple(one for rank, one in kept if rank <= reached))
