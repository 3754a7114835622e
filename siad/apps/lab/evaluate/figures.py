"""Figures of a detector on labelled images. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from siad.apps.lab.evaluate.scored import ScoredSet, iou_of
from siad.vision.pixel_scores import PixelCurves, PixelFigures, figures_and_curves
from siad.vision.pixel_tally import PixelTally
from siad.vision.ranking import average_precision, precision_and_recall
from siad.vision.scores import false_reject_rate, image_auroc


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationFigures:
    """Figures from 0 to 1.

    None if the set lacks the images or masks for it.
    """

    image_auroc: float | None
    image_ap: float | None
    image_f1max: float | None
    pixel_auroc: float | None
    pixel_ap: float | None
    pixel_f1max: float | None
    aupro_30: float | None
    aupro_05: float | None
    pixel_iou: float | None  # of the detector's own marks
    pixel_iou_best: float | None  # of the best single cut through all maps
    false_rejects: float | None  # fraction of good images at or over the threshold
    misses: float | None  # fraction of defective images under it
    misses_at_quantile: float | None  # the same where the threshold rejects the budget of these good images
    pixel_curves: PixelCurves | None = field(default=None, compare=False, repr=False)  # for plots

    def to_json(self) -> dict[str, Any]:
        """Figures by name, without the curves."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "pixel_curves"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnThreshold:
    """Threshold of a detector, and what it was chosen for."""

    image_threshold: float  # raw score; an image at or over it is rejected
    budget: float  # share of good images that it may reject, in (0, 1)


def figures_of(scored: ScoredSet, own: OwnThreshold) -> EvaluationFigures:
    """Compute the figures of some images.

    A defective image without a mask counts only for the image figures.
    """
    scores = [image.score for image in scored.images]
    bad = [image.is_defect for image in scored.images]
    good_scores, bad_scores = scored.scores(defects=False), scored.scores(defects=True)
    has_both = bool(good_scores and bad_scores)
    found, curves = _pixels(scored) or (None, None)
    return EvaluationFigures(
        image_auroc=image_auroc(scores, bad) if has_both else None,
        image_ap=average_precision(bad, scores) if has_both else None,
        image_f1max=_f1max(scores, bad) if has_both else None,
        pixel_auroc=found.auroc if found else None,
        pixel_ap=found.ap if found else None,
        pixel_f1max=found.f1max if found else None,
        aupro_30=found.aupro_30 if found else None,
        aupro_05=found.aupro_05 if found else None,
        pixel_iou=iou_of(scored.images) if found else None,
        pixel_iou_best=found.f1max / (2 - found.f1max) if found else None,  # the same cut is best for both
        false_rejects=false_reject_rate(good_scores, threshold=own.image_threshold) if good_scores else None,
        misses=1 - false_reject_rate(bad_scores, threshold=own.image_threshold) if bad_scores else None,
        misses_at_quantile=_misses_at_quantile(good_scores, bad_scores, own.budget) if has_both else None,
        pixel_curves=curves,
    )


def figures_by_kind(
    scored: ScoredSet, own: OwnThreshold, *, overall: EvaluationFigures
) -> dict[str, EvaluationFigures]:
    """Figures of each defect class against all good images.

    Those of a lone class are the overall ones.
    """
    kinds = scored.kinds()
    if len(kinds) == 1:
        return {kinds[0]: overall}
    return {kind: figures_of(scored.of_kind(kind), own) for kind in kinds}


def mean_of(figures: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Mean of each figure over several runs.

    None if one of them has none.
    """
    return {name: _over(figures, name, np.mean) for name in figures[0]}


def spread_of(figures: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Standard deviation of each figure over several runs.

    None for a single run.
    """
    if len(figures) < 2:
        return dict.fromkeys(figures[0])
    return {name: _over(figures, name, lambda values: np.std(values, ddof=1)) for name in figures[0]}


def _over(figures: Sequence[Mapping[str, float | None]], name: str, fold: Any) -> float | None:
    values = [one[name] for one in figures]
    return None if any(value is None for value in values) else float(fold(values))


def _pixels(scored: ScoredSet) -> tuple[PixelFigures, PixelCurves] | None:
    if not any(tally.has_defects for tally in scored.tallies.values()):
        return None
    return figures_and_curves(PixelTally.sum(scored.tallies.values()))


def _misses_at_quantile(good_scores: Sequence[float], bad_scores: Sequence[float], budget: float) -> float:
    """Misses of the threshold that only these good images' labels could tell."""
    return float(np.mean(np.asarray(bad_scores) < np.quantile(good_scores, 1 - budget)))


def _f1max(scores: Sequence[float], bad: Sequence[bool]) -> float:
    precision, recall, _ = precision_and_recall(bad, scores)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)))
