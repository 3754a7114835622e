"""Lessons for the correction of a teacher: images and what they teach.

Each image is shown to the teacher once, with what its memory has of this very image hidden, and only the results are
kept: a step of training then costs the decoder alone.

- A normal, and an image that a person called good, teach that there is nothing, everywhere.
- A pseudo-normal, an image of the stream with a low score, teaches the same by half: it may have a missed defect.
- An image that the teacher marked teaches the marks: surely a defect from ``SURE`` of a region's own peak on, unknown
  down to ``UNSURE`` of the threshold, and the rest is good with ``REST_WEIGHT``, since a teacher marks the core of a
  defect and may miss another.
- A synthetic defect on a good image teaches its exact mask, and so does a defect that a person outlined.

Shape suffixes: C = channels, H, W = size of the network's input, h, w = size of a grid, K = hints.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siad.models.residual import ResidualSegmenter
from siad.models.training.recipe import ResidualRecipe
from siad.models.training.workers import WorkerGroup
from siad.vision.decide import SIDE_PX, SMOOTHING
from siad.vision.images import Image
from siad.vision.masks import DEFECT, IGNORE
from siad.vision.preprocess import input_size, preprocess
from siad.vision.synthetic_defects import KINDS, make_synthetic_defect

SURE: Final = 0.6  # of a region's peak
UNSURE: Final = 0.5  # of the teacher's threshold
REST_WEIGHT: Final = 0.3
GOOD_WEIGHT: Final = 0.5


class LessonKind(StrEnum):
    """What is known about an image."""

    NORMAL = "normal"  # sent as good
    GOOD = "good"  # scored low
    MARKED = "marked"  # scored high
    SYNTHETIC = "synthetic"  # a good image with a synthetic defect
    CORRECTED_GOOD = "corrected-good"  # called good by a person
    CORRECTED_DEFECT = "corrected-defect"  # called defective by a person


ALONE: Final = WorkerGroup()
BASES: Final = (LessonKind.NORMAL, LessonKind.GOOD)  # that synthetic defects are made on


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonImage:
    """One image to learn from.

    It is of the full range, and cut to the region.
    """

    image_HWC: Image
    kind: LessonKind
    mask_hw: NDArray[np.uint8] | None = None  # a person's: 0 good, 128 unsure, 255 defect, at image size
    answered: str = ""  # id of the capture that a person answered about; empty: none did


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonView:
    """Inputs of the decoder for one image, and its target."""

    kind: LessonKind
    levels: tuple[Tensor, ...]  # float16 [C, h, w] each, finest first
    hints_Khw: Tensor  # float16
    logits_hw: Tensor  # float32, of the teacher
    target_hw: Tensor  # float32, 0..1, share of a position that is defective
    weight_hw: Tensor  # float32, 0..1
    answered: str = ""  # as of its image


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonGroup:
    """An image, and what was made from it."""

    original_HWC: Image
    images: tuple[LessonImage, ...]  # itself first, then with a synthetic defect each


def with_synthetic_defects(
    images: Iterable[LessonImage], recipe: ResidualRecipe, *, input_px: int, workers: WorkerGroup = ALONE
) -> Iterator[LessonGroup]:
    """Add synthetic defects to good images, at the size of the input.

    Args:
        images: this worker's, read one at a time.
        recipe: how many, and the seed.
        input_px: side of the input.
        workers: among which the images were divided.
    """
    room = workers.part(recipe.synthetic_max)
    for index, image in enumerate(images):
        rng = np.random.default_rng((recipe.seed, workers.rank + index * workers.size))
        count = min(recipe.synthetic_each, room) if image.kind in BASES else 0
        room -= count
        made = [_with_defect(image.image_HWC, rng, input_px=input_px) for _ in range(count)]
        yield LessonGroup(original_HWC=image.image_HWC, images=(image, *made))


def make_views(
    segmenter: ResidualSegmenter,
    images: Iterable[LessonImage],
    recipe: ResidualRecipe,
    *,
    input_px: int,
    workers: WorkerGroup = ALONE,
) -> list[LessonView]:
    """Show every image to the teacher.

    Good ones with synthetic defects too.

    Args:
        segmenter: with the teacher.
        images: this worker's, read one at a time.
        recipe: how many synthetic defects.
        input_px: side of the teacher's input.
        workers: among which the images were divided.

    Returns:
        The views in the order of the images; the same for the same images.
    """
    views: list[LessonView] = []
    for group in with_synthetic_defects(images, recipe, input_px=input_px, workers=workers):
        hidden = segmenter.teacher.own_places(torch.from_numpy(preprocess(group.original_HWC, input_px=input_px)))
        for image in group.images:
            input_CHW = torch.from_numpy(preprocess(image.image_HWC, input_px=input_px))
            views.append(_view(segmenter, input_CHW, hidden, image))
    return views


def _view(segmenter: ResidualSegmenter, input_CHW: Tensor, hidden: Sequence[Tensor], image: LessonImage) -> LessonView:
    with torch.no_grad():
        inputs = segmenter.inputs_of(segmenter.teacher.examine(input_CHW[None], hidden=hidden))
        [logits_hw] = segmenter.settings.logits(inputs.score_Bhw)
    score_hw = inputs.score_Bhw[0].numpy()
    if image.kind in (LessonKind.CORRECTED_DEFECT, LessonKind.SYNTHETIC) and image.mask_hw is not None:
        target_hw, weight_hw = outlined(image.mask_hw, score_hw.shape)
    elif image.kind in (LessonKind.MARKED, LessonKind.CORRECTED_DEFECT):
        side_px = (input_CHW.shape[1] * input_CHW.shape[2]) ** 0.5
        target_hw, weight_hw = _marked(score_hw, segmenter.settings.threshold, side_px=side_px)
    else:
        target_hw = np.zeros_like(score_hw)
        weight_hw = np.full_like(score_hw, GOOD_WEIGHT if image.kind is LessonKind.GOOD else 1.0)
    return LessonView(
        kind=image.kind,
        levels=tuple(level[0].half() for level in inputs.levels),
        hints_Khw=inputs.hints_BKhw[0].half(),
        logits_hw=logits_hw,
        target_hw=torch.from_numpy(target_hw),
        weight_hw=torch.from_numpy(weight_hw),
        answered=image.answered,
    )


def _with_defect(image_HWC: Image, rng: np.random.Generator, *, input_px: int) -> LessonImage:
    """Put a synthetic defect into a good image.

    At the size of the input.
    """
    height, width = input_size(*image_HWC.shape[:2], input_px=input_px)
    shrinks = height * width < image_HWC.shape[0] * image_HWC.shape[1]
    kernel = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    small_HWC = np.asarray(cv2.resize(image_HWC, (width, height), interpolation=kernel))
    small_HWC = small_HWC.reshape(height, width, -1)
    kind = tuple(KINDS)[int(rng.integers(len(KINDS)))]
    defect = make_synthetic_defect(small_HWC, kind, rng)
    return LessonImage(image_HWC=defect.image_HWC, kind=LessonKind.SYNTHETIC, mask_hw=defect.mask_HW)


def outlined(mask_hw: NDArray[np.uint8], grid: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Target and weight of an exact mask.

    The target is the share of a position that is marked.
    """
    size = (grid[1], grid[0])
    target = cv2.resize((mask_hw == DEFECT).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    unsure = cv2.resize((mask_hw == IGNORE).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(target, np.float32), (1 - np.asarray(unsure, np.float32)).astype(np.float32)


def _marked(
    score_hw: NDArray[np.float32], threshold: float, *, side_px: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Target and weight of the teacher's own marks.

    Where no region reaches the threshold, that of the highest score is taken: something was found there before.
    """
    sigma = max(0.3, SMOOTHING * min(side_px, SIDE_PX) * score_hw.shape[0] ** 0.5 * score_hw.shape[1] ** 0.5 / side_px)
    smooth_hw = np.asarray(cv2.GaussianBlur(score_hw, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
    highest = float(smooth_hw.max())
    low = UNSURE * min(threshold, highest)
    count, labels_hw = cv2.connectedComponents((smooth_hw >= low).astype(np.uint8), connectivity=8)
    target_hw, weight_hw = np.zeros_like(score_hw), np.full_like(score_hw, REST_WEIGHT)
    for label in range(1, count):
        is_region_hw = labels_hw == label
        peak = float(smooth_hw[is_region_hw].max())
        is_sure_hw = is_region_hw & (smooth_hw >= SURE * peak) & (peak >= min(threshold, highest))
        weight_hw[is_region_hw] = 0.0
        weight_hw[is_sure_hw] = target_hw[is_sure_hw] = 1.0
    return target_hw, weight_hw
