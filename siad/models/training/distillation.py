"""Training of a fast segmenter: it learns to give a slower map.

Target is the slow map's logit at every position of the fast grid, of images of the stream, of normals and of synthetic
defects. Where more than the slow map is known, the target is that: inside a synthetic defect or an outline by a person
it is at least ``FOUND``, on an image that a person called good at most ``PASSED``. High positions decide about an image
and are few, so they have more weight.

Shape suffixes: B = batch, h, w = size of a grid.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from siad.models.residual import ResidualSegmenter
from siad.models.training.lessons import (
    LessonGroup,
    LessonImage,
    LessonKind,
    LessonView,
    outlined,
)
from siad.models.training.recipe import FastRecipe
from siad.models.training.residual import ResidualTraining
from siad.vision.images import Image
from siad.vision.preprocess import preprocess

FOUND: Final = 2.0  # logit; the threshold is at 0
PASSED: Final = -1.0
_INSIDE: Final = 0.5  # share of a position that a mask covers
_RISING: Final = -4.0  # logit about which the weight rises
_HIGH_WEIGHT, _LOW_WEIGHT = 3.0, 0.3


class DistillationTraining(ResidualTraining):
    """Training of a fast segmenter in progress; resumes as ``ResidualTraining``."""

    def __init__(self, segmenter: ResidualSegmenter, recipe: FastRecipe, device: torch.device) -> None:
        super().__init__(segmenter, recipe, device)

    def _loss(self, logits_Bhw: Tensor, correction_Bhw: Tensor, batch: Sequence[LessonView]) -> Tensor:
        """Weighted smooth L1 distance to the slow map's logits."""
        target_Bhw = self._stacked([view.target_hw for view in batch])
        weight_Bhw = self._stacked([view.weight_hw for view in batch])
        apart_Bhw = functional.smooth_l1_loss(logits_Bhw + correction_Bhw, target_Bhw, reduction="none")
        return (apart_Bhw * weight_Bhw).sum() / weight_Bhw.sum().clamp_min(1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistilledPair:
    """A fast segmenter and the slow one whose map it learns."""

    fast: ResidualSegmenter
    fast_px: int  # sides of their inputs
    slow: ResidualSegmenter
    slow_px: int

    def views(self, groups: Iterable[LessonGroup]) -> Iterator[LessonView]:
        """Show images, and those made from them, to both.

        What either memory has of the image itself is hidden.
        """
        for group in groups:
            fast_own = self.fast.teacher.own_places(_input(group.original_HWC, self.fast_px))
            slow_own = self.slow.teacher.own_places(_input(group.original_HWC, self.slow_px))
            for image in group.images:
                yield self._view(image, fast_own, slow_own)

    @torch.no_grad()
    def _view(self, image: LessonImage, fast_own: Sequence[Tensor], slow_own: Sequence[Tensor]) -> LessonView:
        seen = self.slow.teacher.examine(_input(image.image_HWC, self.slow_px)[None], hidden=slow_own)
        slow_Bhw = self.slow.settings.logits(self.slow.corrected(self.slow.inputs_of(seen)))
        inputs = self.fast.inputs_of(
            self.fast.teacher.examine(_input(image.image_HWC, self.fast_px)[None], hidden=fast_own)
        )
        [logits_hw] = self.fast.settings.logits(inputs.score_Bhw)
        grid = logits_hw.shape
        [[released_hw]] = functional.interpolate(slow_Bhw[None], size=grid, mode="bilinear")
        target_hw, known_hw = target_of(image, released_hw)
        return LessonView(
            kind=image.kind,
            levels=tuple(level[0].half() for level in inputs.levels),
            hints_Khw=inputs.hints_BKhw[0].half(),
            logits_hw=logits_hw,
            target_hw=target_hw,
            weight_hw=known_hw * (_LOW_WEIGHT + _HIGH_WEIGHT * torch.sigmoid(target_hw - _RISING)),
        )


def target_of(image: LessonImage, released_hw: Tensor) -> tuple[Tensor, Tensor]:
    """Target of every position, and 0..1 how much of it is known."""
    known_hw = torch.ones_like(released_hw)
    if image.kind is LessonKind.CORRECTED_GOOD:
        return released_hw.clamp_max(PASSED), known_hw
    if image.mask_hw is None or image.kind not in (LessonKind.CORRECTED_DEFECT, LessonKind.SYNTHETIC):
        return released_hw, known_hw
    inside, sure = (torch.from_numpy(part) for part in outlined(image.mask_hw, tuple(released_hw.shape)))
    return torch.where(inside >= _INSIDE, released_hw.clamp_min(FOUND), released_hw), sure


def _input(image_HWC: Image, input_px: int) -> Tensor:
    return torch.from_numpy(preprocess(image_HWC, input_px=input_px))
