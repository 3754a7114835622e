"""Figures of a detector on labelled images. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.pixel_scores import PixelCurves, PixelFigures, pixel_figures_and_curves
from siad.vision.ranking import average_precision, precision_and_recall
from siad.vision.scores import false_reject_rate, image_auroc


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImage:
    """Score map of one image, and its label."""

    name: str
    kind: str
    is_defect: bool
    map_HW: NDArray[np.float32]  # smoothed raw scores
    mask_HW: NDArray[np.uint8] | None  # 0 good, 255 defect; None if it has no mask
    marked_HW: NDArray[np.bool_] | None = None  # by the detector; None: what reaches the pixel threshold

    @property
    def score(self) -> float:
        """Score of the image: the maximum of its map."""
        return float(self.map_HW.max())


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
    false_rejects: float | None  # fraction of good images at or over the threshold
    misses: float | None  # fraction of defective images under it
    pixel_curves: PixelCurves | None = field(default=None, compare=False, repr=False)  # for plots

    def to_json(self) -> dict[str, Any]:
        """Figures by name, without the curves."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "pixel_curves"}


def figures_of(images: Sequence[ScoredImage], *, image_threshold: float, pixel_threshold: float) -> EvaluationFigures:
    """Compute the figures of some images.

    Args:
        images: good and defective ones; a defective image without a mask counts only for the image figures.
        image_threshold: raw score; an image at or over it is rejected.
        pixel_threshold: raw score; a pixel at or over it is marked.
    """
    scores = [image.score for image in images]
    bad = [image.is_defect for image in images]
    good_scores = [score for score, is_bad in zip(scores, bad, strict=True) if not is_bad]
    bad_scores = [score for score, is_bad in zip(scores, bad, strict=True) if is_bad]
    has_both = bool(good_scores and bad_scores)
    found, curves = _pixels(images, pixel_threshold) or (None, None)
    return EvaluationFigures(
        image_auroc=image_auroc(scores, bad) if has_both else None,
        image_ap=average_precision(bad, scores) if has_both else None,
        image_f1max=_f1max(scores, bad) if has_both else None,
        pixel_auroc=found.auroc if found else None,
        pixel_ap=found.ap if found else None,
        pixel_f1max=found.f1max if found else None,
        aupro_30=found.aupro_30 if found else None,
        aupro_05=found.aupro_05 if found else None,
        pixel_iou=_iou(images, found.iou) if found else None,
        false_rejects=false_reject_rate(good_scores, threshold=image_threshold) if good_scores else None,
        misses=1 - false_reject_rate(bad_scores, threshold=image_threshold) if bad_scores else None,
        pixel_curves=curves,
    )


def figures_by_kind(
    images: Sequence[ScoredImage], *, image_threshold: float, pixel_threshold: float
) -> dict[str, EvaluationFigures]:
    """Figures of each defect class against all good images."""
    kinds = sorted({image.kind for image in images if image.is_defect})
    return {
        kind: figures_of(
            [image for image in images if not image.is_defect or image.kind == kind],
            image_threshold=image_threshold,
            pixel_threshold=pixel_threshold,
        )
        for kind in kinds
    }


def shrink(image: ScoredImage, *, side_px: int) -> ScoredImage:
    """Resize map and mask to an area of ``side_px`` squared.

    A pixel is defective if half of it is.

    A defect that covers half of no pixel keeps the pixel that it covers most, so that no defect is lost.
    """
    height, width = image.map_HW.shape
    ratio = side_px / math.sqrt(height * width)
    if ratio >= 1:
        return image
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    map_hw = np.asarray(cv2.resize(image.map_HW, size, interpolation=cv2.INTER_AREA), np.float32)
    mask_hw = image.mask_HW
    if mask_hw is not None:
        cover = cv2.resize((mask_hw > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        mask_hw = np.where((cover >= 0.5) | ((cover > 0) & (cover >= cover.max())), 255, 0).astype(np.uint8)
    return replace(image, map_HW=map_hw, mask_HW=mask_hw, marked_HW=None)


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


def _pixels(images: Sequence[ScoredImage], threshold: float) -> tuple[PixelFigures, PixelCurves] | None:
    labelled = [(image.map_HW, image.mask_HW) for image in images if image.mask_HW is not None]
    if not any(mask_HW.any() for _, mask_HW in labelled):
        return None
    maps, masks = [map_HW for map_HW, _ in labelled], [mask_HW for _, mask_HW in labelled]
    return pixel_figures_and_curves(maps, masks, threshold=threshold)


def _iou(images: Sequence[ScoredImage], over_threshold: float) -> float:
    """IoU of all marks together.

    Of the pixels over a threshold, where an image has no marks of its own.
    """
    both = either = 0
    for image in images:
        if image.mask_HW is None:
            continue
        if image.marked_HW is None:
            return over_threshold
        truth_HW = image.mask_HW > 0
        both += int(np.count_nonzero(image.marked_HW & truth_HW))
        either += int(np.count_nonzero(image.marked_HW | truth_HW))
    return both / max(1, either)


def _f1max(scores: Sequence[float], bad: Sequence[bool]) -> float:
    precision, recall, _ = precision_and_recall(bad, scores)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)))
