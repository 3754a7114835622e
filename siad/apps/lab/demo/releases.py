"""Models that one demo released, and their table. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Weights that began to serve."""

    kind: WeightsKind
    weights: WeightsId
    released_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRelease:
    """A release and its name in the table."""

    name: str
    weights: WeightsId
    image_threshold: float | None = None  # set for these weights by answers; None: that of the manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class CellScores:
    """Scores of one model for the cells of the test."""

    threshold: float
    good: tuple[float, ...]
    defective: tuple[float, ...]


def name_releases(
    releases: Sequence[Release], *, answered_at: datetime | None, answers: int, thresholds: Mapping[WeightsId, float]
) -> list[NamedRelease]:
    """Name the models of the table, in the order of their release.

    The last row is what serves with the threshold that the answers set, if they set one.

    Args:
        releases: teachers and segmenters, in any order; repeats count once.
        answered_at: when the answers began; None: there were none.
        answers: of the simulated reviewer.
        thresholds: that were set last, by weights.
    """
    first: dict[WeightsId, Release] = {}
    for one in sorted(releases, key=lambda release: release.released_at):
        first.setdefault(one.weights, one)
    named: list[NamedRelease] = []
    for index, one in enumerate(first.values()):
        is_segmenter = one.kind is WeightsKind.SEGMENTER
        name = "segmenter" if is_segmenter else "refit" if index else "teacher"
        if answered_at is not None and one.released_at > answered_at:
            name += f" after {answers} answers"
        elif name != "teacher":
            name += ", no label"
        named.append(NamedRelease(name=name, weights=one.weights))
    segmenters = [one for one in first.values() if one.kind is WeightsKind.SEGMENTER]
    serving = (segmenters or list(first.values()))[-1:]
    for one in serving:
        if (threshold := thresholds.get(one.weights)) is not None:
            name = f"its threshold after {answers} answers"
            named.append(NamedRelease(name=name, weights=one.weights, image_threshold=threshold))
    return named


def row_of(release: NamedRelease, scores: CellScores) -> dict[str, Any]:
    """Figures of one model on the cells of the test."""
    from siad.vision.scores import image_auroc  # scikit-learn takes a second to import

    good, bad = scores.good, scores.defective
    auroc = image_auroc([*good, *bad], [False] * len(good) + [True] * len(bad))
    return asdict(release) | {
        "threshold": scores.threshold,
        "image_auroc": auroc,
        "image_auroc_error": auroc_error(auroc, good=len(good), bad=len(bad)),
        "false_reject_rate": sum(score >= scores.threshold for score in good) / len(good),
        "detection_rate": sum(score >= scores.threshold for score in bad) / len(bad),
        "captures": len(good) + len(bad),
    }


def auroc_error(auroc: float, *, good: int, bad: int) -> float:
    """Standard error of an image AUROC over draws of images.

    Source:
        Hanley and McNeil 1982, eq. 2.
    """
    both_bad, both_good = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    variance = auroc * (1 - auroc) + (bad - 1) * (both_bad - auroc**2) + (good - 1) * (both_good - auroc**2)
    return math.sqrt(max(variance, 0.0) / (good * bad))
