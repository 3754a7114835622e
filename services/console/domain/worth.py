"""Worth of a look at a capture, and why. Pure.

Three doubts are added, each 0..1: nearness of the score to its threshold, doubt in the pseudo-mask, and whether teacher
and verdict contradict each other. Nearness is 1 / (1 + m) at m deviations of the scores of captures that passed, which
is one minus the clearness in the confidence of a pseudo-mask (``siad.vision.confidence``), so the two have one scale.
"""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.console.domain.captures import CaptureEntry, Finding

NEAR_MAX: Final = 0.2  # of the threshold; on a small line the nearest captures may be far from it
CONFIDENCE_LOW: Final = 0.5  # of a pseudo-mask: one deviation from the threshold, or a mask as unsteady
SCORE_MIN: Final = 1e-9  # lower scores count as this one: they have no logarithm
SPREAD_MIN: Final = 0.01  # of log scores; images that are all alike have none
NORMAL_MAD: Final = 1.4826  # deviation of a normal distribution whose median absolute deviation is 1


class Ground(StrEnum):
    """What makes a capture worth a look."""

    NEAR = "near"
    CONTRADICTION = "contradiction"  # teacher and verdict differ
    LOW_CONFIDENCE = "low-confidence"
    LEFT = "left"  # none of these: the nearest to the threshold that are left
    UNLIKE = "unlike"  # shown before others, which are like the last ones
    RANDOM = "random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Worth of a look at one capture."""

    value: float  # 0..3, higher is more
    distance: float  # from the threshold, in deviations of the log scores of captures that passed
    grounds: tuple[Ground, ...]


def worth_of(entry: CaptureEntry, spreads: Mapping[str, float]) -> Worth:
    """Appraise one capture with a score.

    Args:
        entry: the capture.
        spreads: by weights, as ``spreads_of`` gives them.
    """
    finding = entry.finding
    assert finding is not None, "captures without a score are not shown"
    distance = distance_of(finding, spreads)
    confidence = confidence_of(entry)
    found = {
        Ground.NEAR: is_near(finding),
        Ground.CONTRADICTION: is_contradicted(entry),
        Ground.LOW_CONFIDENCE: confidence < CONFIDENCE_LOW,
    }
    return Worth(
        value=1 / (1 + distance) + found[Ground.CONTRADICTION] + 1 - confidence,
        distance=distance,
        grounds=tuple(ground for ground, holds in found.items() if holds) or (Ground.LEFT,),
    )


def reason_of(entry: CaptureEntry, worth: Worth) -> str:
    """Say what makes a capture worth a look."""
    finding = entry.finding
    assert finding is not None, "captures without a score are not shown"
    side = "over" if finding.is_reject else "below"
    share = abs(finding.score / finding.threshold - 1) if finding.threshold else 0.0
    where = "at the threshold" if finding.score == finding.threshold else f"{share:.1%} {side} the threshold"
    where = f"{where}, {worth.distance:.2g} deviations of captures that passed"
    parts = []
    if Ground.NEAR in worth.grounds:
        parts.append(f"near the threshold: {where}")
    if Ground.CONTRADICTION in worth.grounds:
        assert entry.pseudo_mask is not None, "only a pseudo-mask contradicts a verdict"
        teacher = "rejects" if entry.pseudo_mask.is_reject else "passes"
        parts.append(f"teacher and verdict differ: the teacher {teacher} it, the verdict does not")
    if Ground.LOW_CONFIDENCE in worth.grounds:
        parts.append(f"low confidence of the pseudo-mask: {confidence_of(entry):.0%}")
    if Ground.LEFT in worth.grounds:
        parts.append(f"the nearest that are left: {where}")
    if Ground.UNLIKE in worth.grounds:
        parts.append("unlike the ones before it")
    return "; ".join(parts)


def is_near(finding: Finding) -> bool:
    """Whether a score is near its threshold."""
    return abs(finding.score - finding.threshold) <= NEAR_MAX * finding.threshold


def is_contradicted(entry: CaptureEntry) -> bool:
    """Whether verdict and pseudo-mask, of different weights, decide differently."""
    judged, drawn = entry.verdict, entry.pseudo_mask
    if judged is None or drawn is None or judged.weights == drawn.weights:
        return False
    return judged.is_reject != drawn.is_reject


def confidence_of(entry: CaptureEntry) -> float:
    """Confidence of the pseudo-mask; 1 where none is known."""
    drawn = entry.pseudo_mask
    return 1.0 if drawn is None or drawn.confidence is None else drawn.confidence


def distance_of(finding: Finding, spreads: Mapping[str, float]) -> float:
    """Distance of a score from its threshold, in deviations."""
    return abs(log_of(finding.score) - log_of(finding.threshold)) / spreads[finding.weights]


def spreads_of(entries: Iterable[CaptureEntry]) -> dict[str, float]:
    """Deviation of the log scores of captures that passed, by weights.

    It stands for the spread of normals: most captures that pass are good, and the median ignores the others.
    """
    scores: dict[str, list[float]] = {}
    for entry in entries:
        if (finding := entry.finding) is not None:
            kept = scores.setdefault(finding.weights, [])
            if not finding.is_reject:
                kept.append(log_of(finding.score))
    return {weights: max(_deviation(logs), SPREAD_MIN) for weights, logs in scores.items()}


def log_of(score: float) -> float:
    """Logarithm of a score, which may be 0."""
    return math.log(max(score, SCORE_MIN))


def _deviation(logs: list[float]) -> float:
    if len(logs) < 2:
        return 1.0
    middle = statistics.median(logs)
    return NORMAL_MAD * statistics.median(abs(one - middle) for one in logs)
