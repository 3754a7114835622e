"""Figures of maps against masks, over all pixels.

Every distinct score is a threshold; equal scores cross it together. Pixels are not sampled, and their scores are exact
unless a set has millions of distinct ones (``siad.vision.pixel_tally``).

Shape suffixes: H, W = size of an image, T = distinct scores, from the highest down.

Sources:
    Bergmann, Batzner, Fauser, Sattlegger and Steger 2021, The MVTec Anomaly Detection Dataset, IJCV 129, section 5.3.2
    (per-region overlap, normalised area under its curve up to a false-positive rate); average precision as
    scikit-learn defines it, a sum without interpolation.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.pixel_tally import PixelTally

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
    tally = PixelTally()
    for map_HW, mask_HW in zip(maps, masks, strict=True):
        tally.add(map_HW, mask_HW)
    figures, _ = figures_and_curves(tally)
    return figures if threshold is None else replace(figures, iou=_iou(maps, masks, threshold))


def figures_and_curves(tally: PixelTally, *, points: int = 300) -> tuple[PixelFigures, PixelCurves]:
    """Compute figures, without ``iou``, and curves of tallied pixels.

    Args:
        tally: of all images; good ones count with a mask of zeros.
        points: how many of each curve to keep, at equal steps of recall and of the false-positive rate up to 0.3.

    Raises:
        ValueError: all pixels are good, or all defective.
    """
    curve = _curve(tally)
    figures = PixelFigures(
        auroc=_auroc(curve),
        ap=_average_precision(curve),
        f1max=_f1max(curve),
        aupro_30=_aupro(curve, limit=FPR_LIMITS[0]),
        aupro_05=_aupro(curve, limit=FPR_LIMITS[1]),
        iou=math.nan,
    )
    return figures, _thin_out(curve, points)


def count_regions(masks: Iterable[NDArray[np.uint8]]) -> int:
    """Count the connected defects of all masks.

    Pixels that touch at a corner are connected.
    """
    return sum(cv2.connectedComponents((mask_HW > 0).astype(np.uint8), connectivity=8)[0] - 1 for mask_HW in masks)


def _curve(tally: PixelTally) -> _Curve:
    levels = tally.levels()
    defective, total = int(levels.bad_T.sum()), int(levels.bad_T.sum() + levels.good_T.sum())
    if not 0 < defective < total:
        msg = f"{defective} of {total} pixels are defective; pixel figures need good and defective ones"
        raise ValueError(msg)
    covered_T = np.cumsum(levels.shares_T[::-1])
    return _Curve(  # the shares of a region sum to 1
        np.cumsum(levels.bad_T[::-1]), np.cumsum(levels.good_T[::-1]), covered_T / covered_T[-1]
    )


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


def _iou(maps: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.uint8]], threshold: float) -> float:
    both = either = 0
    for map_HW, mask_HW in zip(maps, masks, strict=True):
        marked_HW, bad_HW = map_HW >= threshold, mask_HW > 0
        both += int(np.count_nonzero(marked_HW & bad_HW))
        either += int(np.count_nonzero(marked_HW | bad_HW))
    return both / either


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
