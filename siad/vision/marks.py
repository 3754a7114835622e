"""Marks: which pixels of a defective image belong to its defects.

A network's response is wider than what it responds to: the region about a peak holds the defect and the footprint of
the network around it. A cut at a fixed score marks a faint defect too small and a strong one too wide, and a cut at a
share of the peak marks a small defect too wide. So the area of each defect is estimated from the area of its region
over two shares of its own peak, less the footprint's, and that many of the region's highest pixels are marked.

The image threshold is for the highest score of an image. Where one region is stronger, others that hardly reach it are
dirt or texture more often than defects: they are unsure.

Shape suffixes: H, W = size of the image, h, w = size of a box in it.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

LEVELS: Final = ((0.6, 1.0), (0.7, 0.475))  # of a region's peak, and the part of the footprint that is over it
AREA_MIN: Final = 0.25  # of a region's area, that is marked at least: the footprint is known for a point only
FURTHER_MIN: Final = 1.2  # of the image threshold: peak from which a region beside a stronger one is a defect


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeMarks:
    """Marks relative to their own peaks."""

    pixel_threshold: float  # raw score, over 0; a marked pixel reaches it
    footprint_ratio: float  # 0..1, area of the footprint as a share of the map's area


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Pixels of one defective image."""

    is_defect_HW: NDArray[np.bool_]
    is_unsure_HW: NDArray[np.bool_]  # about the defects: they may belong to them


def mark_connected(map_HW: NDArray[np.float32], *, low: float, high: float) -> NDArray[np.bool_]:
    """Mark the connected parts that reach ``low`` everywhere and ``high`` somewhere.

    Source:
        Canny 1986 (hysteresis).
    """
    count, labels_HW = cv2.connectedComponents((map_HW >= low).astype(np.uint8), connectivity=8)
    return _parts_of(labels_HW, map_HW >= high, count=count)


def mark_relative(map_HW: NDArray[np.float32], rule: RelativeMarks, *, image_threshold: float) -> Marks:
    """Mark each region that reaches the image threshold by its own peak.

    A region beside a stronger one must reach 1.2 times the image threshold. What else reaches the pixel threshold, and
    is connected with a region that reaches the image threshold, is unsure.

    Args:
        map_HW: float32 [H, W], raw scores at image size.
        rule: how.
        image_threshold: raw score, over 0.
    """
    low = min(rule.pixel_threshold, image_threshold)
    around_HW = mark_connected(map_HW, low=low, high=image_threshold)
    footprint = rule.footprint_ratio * map_HW.size
    sure_from = min(float(map_HW.max()), FURTHER_MIN * image_threshold)
    levels = _Levels(low=low, high=image_threshold, sure_from=sure_from, footprint=footprint)
    count, _, stats, _ = cv2.connectedComponentsWithStats(around_HW.astype(np.uint8), connectivity=8)
    is_defect_HW = np.zeros(map_HW.shape, np.bool_)
    for left, top, width, height, _ in stats[1:count].tolist():
        box = (slice(top, top + height), slice(left, left + width))
        is_defect_HW[box] |= _mark_box(map_HW[box], levels)
    return Marks(is_defect_HW=is_defect_HW, is_unsure_HW=around_HW & ~is_defect_HW)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Levels:
    """What decides on the regions of one image."""

    low: float  # every marked pixel reaches it
    high: float  # a region reaches it somewhere
    sure_from: float  # peak of a region that is marked
    footprint: float  # pixels


def _mark_box(map_hw: NDArray[np.float32], levels: _Levels) -> NDArray[np.bool_]:
    """Mark every sure region within a box: bool [h, w]."""
    count, seeds_hw = cv2.connectedComponents((map_hw >= levels.high).astype(np.uint8), connectivity=8)
    marked_hw = np.zeros(map_hw.shape, np.bool_)
    for seed in range(1, count):
        peak = float(map_hw[seeds_hw == seed].max())
        if peak < levels.sure_from:
            continue
        is_seed_hw = (seeds_hw == seed) & (map_hw >= peak)
        regions = [_region(map_hw, is_seed_hw, cut=max(levels.low, share * peak)) for share, _ in LEVELS]
        areas = [int(np.count_nonzero(region_hw)) for region_hw in regions]
        estimates = [area - part * levels.footprint for area, (_, part) in zip(areas, LEVELS, strict=True)]
        kept = max(1, round(max(*estimates, AREA_MIN * areas[0])))
        inside = np.sort(map_hw[regions[0]])
        marked_hw |= regions[0] & (map_hw >= inside[-min(kept, len(inside))])
    return marked_hw


def _region(map_hw: NDArray[np.float32], is_seed_hw: NDArray[np.bool_], *, cut: float) -> NDArray[np.bool_]:
    """Pixels that reach ``cut`` and are connected with a seed."""
    count, labels_hw = cv2.connectedComponents((map_hw >= np.float32(cut)).astype(np.uint8), connectivity=8)
    return _parts_of(labels_hw, is_seed_hw, count=count)


def _parts_of(labels_hw: NDArray[np.int32], is_seed_hw: NDArray[np.bool_], *, count: int) -> NDArray[np.bool_]:
    """Select the connected parts that have a seed; label 0 is none."""
    has_seed = np.zeros(count, np.bool_)
    has_seed[labels_hw[is_seed_hw]] = True
    has_seed[0] = False
    return np.take(has_seed, labels_hw)
