"""What a detector said of labelled images, as figures: of all images, and class by class. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

from siad.vision.pixel_scores import PixelCurves, PixelFigures, pixel_figures_and_curves
from siad.vision.scores import false_reject_rate, image_auroc


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImage:
    """What a detector said of one image, and what is true of it."""

    name: str
    kind: str
    is_defect: bool
    map_HW: NDArray[np.float32]  # smoothed raw scores
    mask_HW: NDArray[np.uint8] | None  # 0 good, 255 defect; None where nobody drew one

    @property
    def score(self) -> float:
        """The image's: its map's highest."""
        return float(self.map_HW.max())


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationFigures:
    """All 0..1, or None where the set can't say: no good or no defective image, no mask; and the pixels' curves."""

    image_auroc: float | None
    image_ap: float | None
    image_f1max: float | None
    pixel_auroc: float | None
    pixel_ap: float | None
    pixel_f1max: float | None
    aupro_30: float | None
    aupro_05: float | None
    pixel_iou: float | None  # at the detector's own threshold
    false_rejects: float | None  # share of good images over the threshold
    misses: float | None  # share of defective images under it
    pixel_curves: PixelCurves | None = field(default=None, compare=False, repr=False)  # to be drawn

    def to_json(self) -> dict[str, Any]:
        """By name, without the curves."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "pixel_curves"}


def figures_of(answers: Sequence[ScoredImage], *, image_threshold: float, pixel_threshold: float) -> EvaluationFigures:
    """Sum up what was said of some images.

    Args:
        answers: good and defective ones; a defective image without a mask counts for the image figures alone.
        image_threshold: raw score; a defective image scores at or over it.
        pixel_threshold: raw score at which pixels are marked.
    """
    scores = [answer.score for answer in answers]
    bad = [answer.is_defect for answer in answers]
    good_scores = [score for score, is_bad in zip(scores, bad, strict=True) if not is_bad]
    bad_scores = [score for score, is_bad in zip(scores, bad, strict=True) if is_bad]
    has_both = bool(good_scores and bad_scores)
    found, curves = _pixels(answers, pixel_threshold) or (None, None)
    return EvaluationFigures(
        image_auroc=image_auroc(scores, bad) if has_both else None,
        image_ap=float(average_precision_score(bad, scores)) if has_both else None,
        image_f1max=_f1max(scores, bad) if has_both else None,
        pixel_auroc=found.auroc if found else None,
        pixel_ap=found.ap if found else None,
        pixel_f1max=found.f1max if found else None,
        aupro_30=found.aupro_30 if found else None,
        aupro_05=found.aupro_05 if found else None,
        pixel_iou=found.iou if found else None,
        false_rejects=false_reject_rate(good_scores, threshold=image_threshold) if good_scores else None,
        misses=1 - false_reject_rate(bad_scores, threshold=image_threshold) if bad_scores else None,
        pixel_curves=curves,
    )


def figures_by_kind(
    answers: Sequence[ScoredImage], *, image_threshold: float, pixel_threshold: float
) -> dict[str, EvaluationFigures]:
    """The same for each defect class, against all good images."""
    kinds = sorted({answer.kind for answer in answers if answer.is_defect})
    return {
        kind: figures_of(
            [answer for answer in answers if not answer.is_defect or answer.kind == kind],
            image_threshold=image_threshold,
            pixel_threshold=pixel_threshold,
        )
        for kind in kinds
    }


def shrink(answer: ScoredImage, *, side_px: int) -> ScoredImage:
    """Bring a map and its mask to an area of ``side_px`` squared; a pixel is defective where half of it is.

    A defect that no pixel is half of keeps the pixel that it covers most, so that none gets lost.
    """
    height, width = answer.map_HW.shape
    ratio = side_px / math.sqrt(height * width)
    if ratio >= 1:
        return answer
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    map_hw = np.asarray(cv2.resize(answer.map_HW, size, interpolation=cv2.INTER_AREA), np.float32)
    mask_hw = answer.mask_HW
    if mask_hw is not None:
        cover = cv2.resize((mask_hw > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        mask_hw = np.where((cover >= 0.5) | ((cover > 0) & (cover >= cover.max())), 255, 0).astype(np.uint8)
    return ScoredImage(name=answer.name, kind=answer.kind, is_defect=answer.is_defect, map_HW=map_hw, mask_HW=mask_hw)


def mean_of(figures: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """The mean of each figure over several runs; None where any of them has none."""
    return {name: _over(figures, name, np.mean) for name in figures[0]}


def spread_of(figures: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """The standard deviation of each figure over several runs; None of one run."""
    if len(figures) < 2:
        return dict.fromkeys(figures[0])
    return {name: _over(figures, name, lambda values: np.std(values, ddof=1)) for name in figures[0]}


def _over(figures: Sequence[Mapping[str, float | None]], name: str, fold: Any) -> float | None:
    values = [one[name] for one in figures]
    return None if any(value is None for value in values) else float(fold(values))


def _pixels(answers: Sequence[ScoredImage], threshold: float) -> tuple[PixelFigures, PixelCurves] | None:
    drawn = [(answer.map_HW, answer.mask_HW) for answer in answers if answer.mask_HW is not None]
    if not any(mask_HW.any() for _, mask_HW in drawn):
        return None
    maps, masks = [map_HW for map_HW, _ in drawn], [mask_HW for _, mask_HW in drawn]
    return pixel_figures_and_curves(maps, masks, threshold=threshold)


def _f1max(scores: Sequence[float], bad: Sequence[bool]) -> float:
    precision, recall, _ = precision_recall_curve(bad, scores)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)))
