"""From a map of raw scores to what is told: one decision for teacher and segmenter. Pure.

Shape suffixes: H, W = size of the image; h, w = size of the map as a detector gives it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.contracts.events import Region
from siad.vision.confidence import confidence_of
from siad.vision.edges import follow_edges
from siad.vision.masks import DEFECT, IGNORE, regions_of

SMOOTHING = 3 / 256  # deviation of the Gaussian, in sides of the input
SIDE_PX = 512  # of the input, past which it grows no more: who shows an image larger looks for smaller defects
PLACE_MIN_PX = 4.0  # of the input; a map of finer places knows more of borders than edges would tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a detector says of one image."""

    score: float  # raw; the map's maximum
    is_defect: bool  # score >= image_threshold
    mask_HW: NDArray[np.uint8]  # 0 good, 255 defect, at image size; empty where there is no defect
    regions: tuple[Region, ...]  # of the mask, largest first
    defect_ratio: float  # 0..1, fraction of the mask's pixels that are marked
    confidence: float  # 0..1, how far all this may be believed; see ``siad.vision.confidence``
    pseudo_mask_HW: NDArray[np.uint8]  # the mask as a segmenter may learn from it: 128, ignore, where views differ


def decide(
    map_HW: NDArray[np.float32],
    *,
    image_threshold: float,
    pixel_threshold: float,
    spread: float,
    views: Sequence[NDArray[np.float32]] = (),
) -> Finding:
    """Decide over one image by its weights' thresholds.

    The image is defective where its highest score reaches ``image_threshold``. Marked are the connected parts that
    reach ``pixel_threshold`` everywhere and ``image_threshold`` somewhere, so a good image has an empty mask, and a
    defective one is not sprinkled with what would pass alone (hysteresis, Canny 1986).

    Where several views made the map, a pixel that some of them would mark and some would not is to be ignored: what all
    mark is a sure defect, what none marks surely good. A defect that they nowhere agree on stays marked as it is, or
    there would be nothing left to learn of it, and is believed by half.

    Args:
        map_HW: float32 [H, W], raw scores at image size, finite.
        image_threshold: raw score.
        pixel_threshold: raw score; above ``image_threshold`` it counts as equal to it.
        spread: standard deviation of normals' image scores, over 0; the unit of confidence.
        views: the maps that ``map_HW`` is the mean of, on its scale; float32 [H, W] each.

    Raises:
        ValueError: the map holds a score that is no finite number.
    """
    score = float(map_HW.max())
    if not np.isfinite(map_HW).all():
        msg = (
            f"a map of {map_HW.shape[1]}x{map_HW.shape[0]} px holds scores that are not finite; its weights are broken"
        )
        raise ValueError(msg)
    is_defect = score >= image_threshold
    if is_defect:
        mask_HW = _mark(map_HW, low=min(pixel_threshold, image_threshold), high=image_threshold)
    else:
        mask_HW = np.zeros(map_HW.shape, np.uint8)
    pseudo_mask_HW, agreement = _agree(mask_HW, views, image_threshold)
    confidence = confidence_of(map_HW, mask_HW, threshold=image_threshold, spread=spread)
    return Finding(
        score=score,
        is_defect=is_defect,
        mask_HW=mask_HW,
        regions=regions_of(mask_HW, map_HW),
        defect_ratio=float(np.count_nonzero(mask_HW) / mask_HW.size),
        confidence=confidence * (1 + agreement) / 2,
        pseudo_mask_HW=pseudo_mask_HW,
    )


def finish_map(
    map_hw: NDArray[np.float32], *, input_hw: tuple[int, int], size_px: tuple[int, int]
) -> NDArray[np.float32]:
    """Smooth a detector's map at the size of the network's input, then bring it to the image's. Bilinear.

    Args:
        map_hw: float32 [h, w], raw scores as a detector gives them.
        input_hw: height and width of the network's input.
        size_px: height and width of the image.

    Returns:
        float32 [H, W], H and W of ``size_px``; no score outside the range of ``map_hw``.
    """
    sigma_px = SMOOTHING * min(math.sqrt(input_hw[0] * input_hw[1]), SIDE_PX)
    large = cv2.resize(map_hw, input_hw[::-1], interpolation=cv2.INTER_LINEAR)
    smooth = cv2.GaussianBlur(large, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(smooth, size_px[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def draw_map(
    map_hw: NDArray[np.float32], *, input_CHW: NDArray[np.float32], size_px: tuple[int, int]
) -> NDArray[np.float32]:
    """Bring a detector's map to the image's size as ``finish_map`` does, with borders where the image has edges.

    How odd an image is, is not asked anew: the highest score is that of ``finish_map``, and so is the lowest. Where the
    map's places are finer than ``PLACE_MIN_PX``, or it is flat or not finite, all of it is.

    Args:
        map_hw: float32 [h, w], raw scores as a detector gives them.
        input_CHW: float32 [3, h', w'], what it was shown, as ``siad.vision.preprocess`` makes it.
        size_px: height and width of the image.

    Returns:
        float32 [H, W], H and W of ``size_px``.
    """
    height, width = input_CHW.shape[1:]
    finished_HW = finish_map(map_hw, input_hw=(height, width), size_px=size_px)
    lowest, highest = float(finished_HW.min()), float(finished_HW.max())
    place_px = math.sqrt(height * width / map_hw.size)
    if place_px < PLACE_MIN_PX or not math.isfinite(highest - lowest) or not lowest < highest:
        return finished_HW
    large = np.asarray(cv2.resize(map_hw, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    drawn_HW = cv2.resize(
        follow_edges(large, input_CHW, place_px=place_px), size_px[::-1], interpolation=cv2.INTER_LINEAR
    )
    reached = float(drawn_HW.max())
    if not reached > 0:
        return finished_HW
    drawn_HW *= (highest - lowest) / reached
    drawn_HW += lowest
    return np.asarray(drawn_HW, np.float32)


def _agree(
    mask_HW: NDArray[np.uint8], views: Sequence[NDArray[np.float32]], threshold: float
) -> tuple[NDArray[np.uint8], float]:
    """The mask with what views differ on taken out, and the share of the marked that all of them mark."""
    if not views:
        return mask_HW, 1.0
    marks_VHW = np.stack(views) >= threshold
    differ_HW = marks_VHW.any(0) & ~marks_VHW.all(0)
    is_marked_HW = mask_HW == DEFECT
    sure = int(np.count_nonzero(is_marked_HW & ~differ_HW))
    marked = int(np.count_nonzero(is_marked_HW))
    if marked and not sure:
        differ_HW &= ~is_marked_HW
    return np.where(differ_HW, IGNORE, mask_HW).astype(np.uint8), sure / marked if marked else 1.0


def _mark(map_HW: NDArray[np.float32], *, low: float, high: float) -> NDArray[np.uint8]:
    _, labels = cv2.connectedComponents((map_HW >= low).astype(np.uint8), connectivity=8)
    sure = np.unique(labels[map_HW >= high])
    return np.where(np.isin(labels, sure), DEFECT, 0).astype(np.uint8)
