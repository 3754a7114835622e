"""Exact figures of maps against masks, over all pixels.

Every distinct score is a threshold; equal scores cross it together. Scores are neither sampled nor binned.

Shape suffixes: H, W = size of an image, P = pixels of all images, T = distinct scores.

Sources:
    Bergmann, Batzner, Fauser, Sattlegger and Steger 2021, The MVTec Anomaly Detection Dataset, IJCV 129, section 5.3.2
    (per-region overlap, normalised area under its curve up to a false-positive rate); average precision as
    scikit-learn defines it, a sum without interpolation.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

FPR_LIMITS: Final = (0.3, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFigures:
    """Figures of maps against masks; all 0..1."""

    auroc: float
    ap: float
    f1max: float
    aupro_30: float  # of the per-region overlap, up to a false-positive rate of 0.3
    aupro_05: float  # up to 0.05
    iou: float  # of all pixels marked at the threshold and all defective ones; NaN where no threshold was given


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelCurves:
    """Curves behind the figures, thinned out for plots.

    They run from the highest score down.
    """

    recall_N: NDArray[np.float64]
    precision_N: NDArray[np.float64]
    false_rate_N: NDArray[np.float64]  # share of the good pixels
    overlap_N: NDArray[np.float64]  # mean share of each region that is covered


@dataclass(frozen=True, slots=True)
class _Curve:
    """Counts at or over each distinct score, from the highest down."""

    true_T: NDArray[np.int64]  # defective pixels
    false_T: NDArray[np.int64]  # good pixels
    overlap_T: NDArray[np.float64]  # mean over all regions of the share of each that is covered


def pixel_figures(
    maps: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.uint8]], *, threshold: float | None = None
) -> PixelFigures:
    """Compute the figures of maps against masks.

    Args:
        maps: float32 [H, W] raw scores of each image, finite.
        masks: uint8 [H, W], 0 good, else defect; good images count with a mask of zeros.
        threshold: raw score at which pixels are marked, for ``iou``.

    Raises:
        ValueError: a map and its mask differ in size, a score is not finite, or all pixels are good, or all defective.
    """
    return pixel_figures_and_curves(maps, masks, threshold=threshold)[0]


def pixel_figures_and_curves(
    maps: Sequence[NDArray[np.float32]],
    masks: Sequence[NDArray[np.uint8]],
    *,
    threshold: float | None = None,
    points: int = 300,
) -> tuple[PixelFigures, PixelCurves]:
    """Compute the figures and their curves with one sort.

    Args:
        maps: as of ``pixel_figures``, with the same errors.
        masks: as of ``pixel_figures``.
        threshold: raw score at which pixels are marked, for ``iou``.
        points: how many of each curve to keep, at equal steps of recall and of the false-positive rate up to 0.3.
    """
    scores_P, weights_P = _flatten(maps, masks)
    defective = int(np.count_nonzero(weights_P))
    if not 0 < defective < len(scores_P):
        msg = f"{defective} of {len(scores_P)} pixels are defective; pixel figures need good and defective ones"
        raise ValueError(msg)
    curve = _curve(scores_P, weights_P)
    figures = PixelFigures(
        auroc=_auroc(curve),
        ap=_average_precision(curve),
        f1max=_f1max(curve),
        aupro_30=_aupro(curve, limit=FPR_LIMITS[0]),
        aupro_05=_aupro(curve, limit=FPR_LIMITS[1]),
        iou=math.nan if threshold is None else _iou(scores_P, weights_P, threshold),
    )
    return figures, _thin_out(curve, points)


def count_regions(masks: Iterable[NDArray[np.uint8]]) -> int:
    """Count the connected defects of all masks.

    Pixels that touch at a corner are connected.
    """
    return sum(cv2.connectedComponents(_binary(mask_HW), connectivity=8)[0] - 1 for mask_HW in masks)


def _flatten(
    maps: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.uint8]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Join all scores, and each pixel's share of its region.

    float32 [P] each; the share is 0 where the pixel is good.
    """
    total = sum(map_HW.size for map_HW in maps)
    scores_P, weights_P = np.empty(total, np.float32), np.zeros(total, np.float32)
    at = 0
    for index, (map_HW, mask_HW) in enumerate(zip(maps, masks, strict=True)):
        if map_HW.shape != mask_HW.shape or not np.isfinite(map_HW).all():
            what = "scores that are not finite" if map_HW.shape == mask_HW.shape else f"mask is {list(mask_HW.shape)}"
            msg = f"map {index} is {list(map_HW.shape)}, its {what}; a finite score for every pixel is needed"
            raise ValueError(msg)
        part = slice(at, at := at + map_HW.size)
        scores_P[part] = map_HW.ravel()
        if mask_HW.any():
            weights_P[part] = _shares(mask_HW)
    return scores_P, weights_P


def _shares(mask_HW: NDArray[np.uint8]) -> NDArray[np.float32]:
    _, labels_HW = cv2.connectedComponents(_binary(mask_HW), connectivity=8)
    areas = np.bincount(labels_HW.ravel())
    shares = (1.0 / np.maximum(areas, 1)).astype(np.float32)
    shares[0] = 0.0
    return np.asarray(shares[labels_HW.ravel()])


def _binary(mask_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (mask_HW > 0).astype(np.uint8)


def _curve(scores_P: NDArray[np.float32], weights_P: NDArray[np.float32]) -> _Curve:
    order_P = np.argsort(scores_P)[::-1]
    sorted_P = scores_P[order_P]
    ends_T = np.append(np.flatnonzero(sorted_P[1:] != sorted_P[:-1]), len(sorted_P) - 1)
    del sorted_P
    weights_P = weights_P[order_P]
    del order_P
    true_T = np.cumsum(weights_P > 0, dtype=np.int64)[ends_T]
    covered_T = np.cumsum(weights_P, dtype=np.float64)[ends_T]
    return _Curve(true_T, ends_T + 1 - true_T, covered_T / covered_T[-1])  # the shares of a region sum to 1


def _auroc(curve: _Curve) -> float:
    good, bad = int(curve.false_T[-1]), int(curve.true_T[-1])
    return float(np.trapezoid(np.append(0, curve.true_T), np.append(0, curve.false_T)) / good / bad)


def _average_precision(curve: _Curve) -> float:
    precision_T = curve.true_T / (curve.true_T + curve.false_T)
    return float(np.sum(np.diff(curve.true_T, prepend=0) * precision_T) / curve.true_T[-1])


def _f1max(curve: _Curve) -> float:
    return float(np.max(2 * curve.true_T / (curve.true_T + curve.false_T + curve.true_T[-1])))


def _aupro(curve: _Curve, *, limit: float) -> float:
    """Area under the mean overlap up to a false-positive rate.

    As a share of that limit.
    """
    rate_T = np.append(0.0, curve.false_T / curve.false_T[-1])
    overlap_T = np.append(0.0, curve.overlap_T)
    within = int(np.searchsorted(rate_T, limit, side="right"))
    at_limit = float(np.interp(limit, rate_T[within - 1 :], overlap_T[within - 1 :]))  # a straight line to the next
    rates, overlaps = np.append(rate_T[:within], limit), np.append(overlap_T[:within], at_limit)
    return float(np.trapezoid(overlaps, rates) / limit)


def _iou(scores_P: NDArray[np.float32], weights_P: NDArray[np.float32], threshold: float) -> float:
    marked_P, bad_P = scores_P >= threshold, weights_P > 0
    return float(np.count_nonzero(marked_P & bad_P) / np.count_nonzero(marked_P | bad_P))


def _thin_out(curve: _Curve, points: int) -> PixelCurves:
    """Compute only the kept points of the curves.

    Of large sets each further array takes a gigabyte.
    """
    bad, good = int(curve.true_T[-1]), int(curve.false_T[-1])
    steps = np.linspace(0, 1, points)
    by_recall = np.unique(np.searchsorted(curve.true_T, np.ceil(steps * bad).astype(np.int64)))
    by_rate = np.unique(np.searchsorted(curve.false_T, np.ceil(steps * FPR_LIMITS[0] * good).astype(np.int64)))
    return PixelCurves(
        recall_N=curve.true_T[by_recall] / bad,
        precision_N=curve.true_T[by_recall] / (curve.true_T[by_recall] + curve.false_T[by_recall]),
        false_rate_N=curve.false_T[by_rate] / good,
        overlap_N=curve.overlap_T[by_rate],
    )
