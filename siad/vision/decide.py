"""Decision on an image from its map of raw scores.

Teacher and segmenter share it.

Shape suffixes: V = views, H, W = size of the image, h, w = size of the map as a detector gives it.
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
from siad.vision.marks import Marks, RelativeMarks, mark_connected, mark_relative
from siad.vision.masks import DEFECT, IGNORE, regions_of

SMOOTHING = 3 / 256  # deviation of the Gaussian, as a share of the input's side
SIDE_PX = 512  # side of the input beyond which the Gaussian grows no more: larger inputs are for smaller defects
POSITION_MIN_PX = 4.0  # px of the input for each position; finer maps locate borders better than edges do


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Decision on one image."""

    score: float  # raw; the map's maximum
    is_defect: bool  # score >= image_threshold
    mask_HW: NDArray[np.uint8]  # 0 good, 255 defect, at image size; empty where there is no defect
    regions: tuple[Region, ...]  # of the mask, largest first
    defect_ratio: float  # 0..1, share of the pixels that are marked
    confidence: float  # 0..1; see ``siad.vision.confidence``
    pseudo_mask_HW: NDArray[np.uint8]  # the mask to train a segmenter with: 128, ignore, where the truth is unsure
    score_map_hw: NDArray[np.uint8] | None = None  # for people (``siad.vision.score_map``); None: not asked for


def decide(
    map_HW: NDArray[np.float32],
    *,
    image_threshold: float,
    pixel_threshold: float | RelativeMarks,
    spread: float,
    views: Sequence[NDArray[np.float32]] = (),
) -> Finding:
    """Decide on one image by its weights' thresholds.

    The image is defective where its highest score reaches ``image_threshold``. Its mask has the connected parts that
    reach ``pixel_threshold`` everywhere and ``image_threshold`` somewhere; with ``RelativeMarks`` each as wide as its
    own peak says (``siad.vision.marks``), and then the pseudo-mask ignores what surrounds them. So a good image has an
    empty mask, and a defective one has no marks that would pass by themselves.

    Where several views made the map, a pixel that some of them would mark and some would not is to be ignored in
    training: what all mark is certainly a defect, what none marks certainly good. A defect that the views agree on
    nowhere stays marked, since otherwise there would be nothing to learn of it, and its confidence is halved.

    Args:
        map_HW: float32 [H, W], raw scores at image size, finite.
        image_threshold: raw score.
        pixel_threshold: raw score, above ``image_threshold`` it counts as equal to it; or a rule.
        spread: standard deviation of normals' image scores, over 0; the unit of confidence.
        views: the maps that ``map_HW`` is the mean of, on its scale; float32 [H, W] each.

    Raises:
        ValueError: the map has a score that is not finite.
    """
    score = float(map_HW.max())
    if not np.isfinite(map_HW).all():
        size = f"{map_HW.shape[1]}x{map_HW.shape[0]} px"
        msg = f"a map of {size} has scores that are not finite; its weights are damaged"
        raise ValueError(msg)
    is_defect = score >= image_threshold
    if not is_defect and not views:
        return _good(map_HW, score, threshold=image_threshold, spread=spread)
    marks = _mark(map_HW, pixel_threshold, image_threshold) if is_defect else _no_marks(map_HW)
    mask_HW = np.where(marks.is_defect_HW, DEFECT, 0).astype(np.uint8)
    sure_HW = np.where(marks.is_unsure_HW, IGNORE, mask_HW).astype(np.uint8)
    pseudo_mask_HW, agreement = _ignore_disagreement(sure_HW, views, image_threshold)
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


def _good(map_HW: NDArray[np.float32], score: float, *, threshold: float, spread: float) -> Finding:
    """Decide on an image without a mark."""
    nothing_HW = np.zeros(map_HW.shape, np.uint8)
    return Finding(
        score=score,
        is_defect=False,
        mask_HW=nothing_HW,
        regions=(),
        defect_ratio=0.0,
        confidence=confidence_of(map_HW, nothing_HW, threshold=threshold, spread=spread),
        pseudo_mask_HW=nothing_HW.copy(),
    )


def smooth_map(
    map_hw: NDArray[np.float32], *, input_hw: tuple[int, int], size_px: tuple[int, int]
) -> NDArray[np.float32]:
    """Smooth a detector's map, and resize it to the image.

    Smoothing takes place at the size of the network's input; resizing is bilinear.

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


def refine_map(
    map_hw: NDArray[np.float32],
    *,
    input_CHW: NDArray[np.float32],
    size_px: tuple[int, int],
    refine_from: float = -math.inf,
    inside_HW: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Resize a detector's map to the image, along its edges.

    The highest and the lowest score inside are those of ``smooth_map``, so decisions on images do not change. Where
    the map's positions are finer than ``POSITION_MIN_PX``, or the map is flat, not finite or lower than
    ``refine_from``, ``smooth_map`` is the result.

    Args:
        map_hw: float32 [h, w], raw scores as a detector gives them.
        input_CHW: float32 [3, h', w'], the network's input, as ``siad.vision.preprocess`` makes it.
        size_px: height and width of the image.
        refine_from: highest score from which edges matter, as they do where something is marked.
        inside_HW: pixels that count; None for all. What is outside decides nothing, so it must not scale the rest.

    Returns:
        float32 [H, W], H and W of ``size_px``.
    """
    height, width = input_CHW.shape[1:]
    smooth_HW = smooth_map(map_hw, input_hw=(height, width), size_px=size_px)
    counted = smooth_HW if inside_HW is None else smooth_HW[inside_HW]
    lowest, highest = float(counted.min()), float(counted.max())
    position_px = math.sqrt(height * width / map_hw.size)
    if highest < refine_from:
        return smooth_HW
    if position_px < POSITION_MIN_PX or not math.isfinite(highest - lowest) or not lowest < highest:
        return smooth_HW
    large = np.asarray(cv2.resize(map_hw, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    refined_HW = cv2.resize(
        follow_edges(large, input_CHW, position_px=position_px), size_px[::-1], interpolation=cv2.INTER_LINEAR
    )
    reached = float((refined_HW if inside_HW is None else refined_HW[inside_HW]).max())
    if not reached > 0:
        return smooth_HW
    refined_HW *= (highest - lowest) / reached
    refined_HW += lowest
    return np.asarray(refined_HW, np.float32)


def _ignore_disagreement(
    mask_HW: NDArray[np.uint8], views: Sequence[NDArray[np.float32]], threshold: float
) -> tuple[NDArray[np.uint8], float]:
    """Set pixels that views differ on to ``IGNORE``.

    Also give the share of marked pixels that all views mark.
    """
    if not views:
        return mask_HW, 1.0
    marks_VHW = np.stack(views) >= threshold
    differ_HW = marks_VHW.any(0) & ~marks_VHW.all(0)
    is_marked_HW = mask_HW == DEFECT
    agreed = int(np.count_nonzero(is_marked_HW & ~differ_HW))
    marked = int(np.count_nonzero(is_marked_HW))
    if marked and not agreed:
        differ_HW &= ~is_marked_HW
    return np.where(differ_HW, IGNORE, mask_HW).astype(np.uint8), agreed / marked if marked else 1.0


def _mark(map_HW: NDArray[np.float32], rule: float | RelativeMarks, image_threshold: float) -> Marks:
    if isinstance(rule, RelativeMarks):
        return mark_relative(map_HW, rule, image_threshold=image_threshold)
    is_defect_HW = mark_connected(map_HW, low=min(rule, image_threshold), high=image_threshold)
    return Marks(is_defect_HW=is_defect_HW, is_unsure_HW=np.zeros(map_HW.shape, np.bool_))


def _no_marks(map_HW: NDArray[np.float32]) -> Marks:
    nowhere_HW = np.zeros(map_HW.shape, np.bool_)
    return Marks(is_defect_HW=nowhere_HW, is_unsure_HW=nowhere_HW)
