"""Training of a teacher's correction; no files, no Ray.

Plain cross-entropy of the corrected logit over the positions of crops, with the weights of the lessons, and a penalty
on the correction's square. Balancing defects against good positions, or Dice, made magnetic tiles worse (image AUROC
.79 for .84).

**Anchor.** Where a lesson says nothing, the penalty is higher, so the teacher's score stays. These are the positions
about marks that score somewhat high. Among the lessons nearly every such position is at the rim of a defect that a
person outlined, so without the anchor a correction learns that they are all defective, and a false alarm that no lesson
shows rises to the score of a defect (pitting with 20 answers: pixel AP .39 for .85, teacher .83).

Shape suffixes: B = batch, C = channels, K = hints, h, w = size of a crop.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from siad.models.residual import ResidualSegmenter
from siad.models.training.descent import DecoderTraining
from siad.models.training.lessons import LessonKind, LessonView
from siad.models.training.recipe import ResidualRecipe
from siad.models.training.workers import WorkerGroup

ALIGNED: Final = 4  # positions of the finest grid that one of the coarsest covers
_ON_DEFECT: Final = 0.75  # share of crops with a defective position, of views that have one
_CLEAR: Final = 0.5  # target from which a position counts as defective here


class ResidualTraining(DecoderTraining):
    """Training of a correction in progress.

    Everything that is drawn follows from the seed, the worker and the number of the step, so a resumed training gives
    the weights of one that was never interrupted.
    """

    def __init__(self, segmenter: ResidualSegmenter, recipe: ResidualRecipe, device: torch.device) -> None:
        super().__init__(segmenter.decoder, device, rate=recipe.rate)
        self.segmenter, self.recipe = segmenter, recipe

    @property
    def is_done(self) -> bool:
        """Whether the steps or the seconds are used up."""
        return self.epoch * self.recipe.steps_each >= self.recipe.steps or self.seconds >= self.recipe.train_s

    def run_epoch(self, views: Sequence[LessonView], *, clock: Callable[[], float] = time.monotonic) -> float:
        """Train for ``steps_each`` steps; stops where the seconds are used up.

        Returns:
            The mean loss.
        """
        crops = _Crops(views, self.recipe, self.workers)
        decoder, began_s, losses = self.segmenter.decoder.train(), clock(), list[float]()
        first = self.epoch * self.recipe.steps_each
        for step in range(first, min(first + self.recipe.steps_each, self.recipe.steps)):
            self._set_rate(step / self.recipe.steps)
            losses.append(self._step(crops.batch(step), step))
            self._spend(clock() - began_s)
            began_s = clock()
            if self.seconds >= self.recipe.train_s:
                break
        decoder.eval()
        self.epoch += 1
        return float(np.mean(losses))

    def finish(self) -> ResidualSegmenter:
        """Return the trained segmenter, on the CPU as its teacher."""
        self.segmenter.decoder.to("cpu").eval()
        return self.segmenter

    def _step(self, batch: Sequence[LessonView], step: int) -> float:
        levels = [self._stacked(level) for level in zip(*(view.levels for view in batch), strict=True)]
        hints_BKhw = self._stacked([view.hints_Khw for view in batch])
        logits_Bhw = self._stacked([view.logits_hw for view in batch])
        with self._dropout(self.recipe.seed, step):
            correction_Bhw = self._parallel(levels, hints_BKhw)
        return self._descend(self._loss(logits_Bhw, correction_Bhw, batch))

    def _loss(self, logits_Bhw: Tensor, correction_Bhw: Tensor, batch: Sequence[LessonView]) -> Tensor:
        """Cross-entropy of the corrected logits, and the penalties."""
        target_Bhw = self._stacked([view.target_hw for view in batch])
        weight_Bhw = self._stacked([view.weight_hw for view in batch])
        entropy_Bhw = functional.binary_cross_entropy_with_logits(
            logits_Bhw + correction_Bhw, target_Bhw, weight=weight_Bhw, reduction="sum"
        )
        unknown_Bhw = (weight_Bhw == 0).float()
        square_Bhw = correction_Bhw.square()
        loss = entropy_Bhw / weight_Bhw.sum().clamp_min(1.0) + self.recipe.penalty * square_Bhw.mean()
        return loss + self.recipe.anchor * (square_Bhw * unknown_Bhw).sum() / unknown_Bhw.sum().clamp_min(1.0)

    def _stacked(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(tensors)).float().to(self.device)


def shares_of(counts: Mapping[LessonKind, int], recipe: ResidualRecipe) -> dict[LessonKind, float]:
    """Choose the share of each kind in a batch.

    Outlines by people replace the teacher's marks: the more there are, the smaller the share of marks. What is left of
    the marks then has more of the teacher's errors, since people answer about the clear ones too.
    """
    outlined, marked = counts[LessonKind.CORRECTED_DEFECT], counts[LessonKind.MARKED]
    shares = {
        LessonKind.NORMAL: recipe.normal_share,
        LessonKind.GOOD: recipe.good_share,
        LessonKind.MARKED: recipe.marked_share * marked / max(1, marked + outlined),
        LessonKind.SYNTHETIC: recipe.synthetic_share,
    }
    known = {kind: share for kind, share in shares.items() if counts[kind]}
    corrected = {
        LessonKind.CORRECTED_DEFECT: recipe.outlined_share,
        LessonKind.CORRECTED_GOOD: recipe.confirmed_share,
    }
    answered = {kind: share for kind, share in corrected.items() if counts[kind]}
    rest = (1 - sum(answered.values())) / (sum(known.values()) or 1.0)
    every = {kind: share * rest for kind, share in known.items()} | answered
    return {kind: share / sum(every.values()) for kind, share in every.items()}


class _Crops:
    """Draws crops of views in the recipe's shares."""

    def __init__(self, views: Sequence[LessonView], recipe: ResidualRecipe, workers: WorkerGroup) -> None:
        self._recipe, self._workers = recipe, workers
        self._by_kind = {kind: [view for view in views if view.kind is kind] for kind in LessonKind}
        heights, widths = zip(*(view.logits_hw.shape for view in views), strict=True)
        self._shares = shares_of({kind: len(of_kind) for kind, of_kind in self._by_kind.items()}, recipe)
        self._size = (min(recipe.crop, *heights), min(recipe.crop, *widths))

    def batch(self, step: int) -> list[LessonView]:
        """Draw this worker's crops of one step."""
        rng = np.random.default_rng((self._recipe.seed, step, self._workers.rank))
        count = self._workers.part(self._recipe.batch)
        kinds = rng.choice(len(self._shares), count, p=list(self._shares.values()))
        drawn = []
        for index in kinds.tolist():
            of_kind = self._by_kind[tuple(self._shares)[index]]
            drawn.append(of_kind[int(rng.integers(len(of_kind)))])
        return [self._crop(view, rng) for view in drawn]

    def _crop(self, view: LessonView, rng: np.random.Generator) -> LessonView:
        height, width = view.logits_hw.shape
        marked = (view.target_hw >= _CLEAR).nonzero()
        if len(marked) and rng.random() < _ON_DEFECT:
            at = marked[int(rng.integers(len(marked)))].tolist()
            top, left = (place - int(rng.integers(side)) for place, side in zip(at, self._size, strict=True))
        else:
            top, left = (int(rng.integers(side - of + 1)) for side, of in zip((height, width), self._size, strict=True))
        top = max(0, min(top, height - self._size[0])) // ALIGNED * ALIGNED
        left = max(0, min(left, width - self._size[1])) // ALIGNED * ALIGNED
        box = (slice(top, top + self._size[0]), slice(left, left + self._size[1]))
        levels = []
        for level in view.levels:
            ratio = height // level.shape[1]
            rows, columns = (slice(one.start // ratio, one.stop // ratio) for one in box)
            levels.append(level[:, rows, columns])
        return LessonView(
            kind=view.kind,
            levels=tuple(levels),
            hints_Khw=view.hints_Khw[:, *box],
            logits_hw=view.logits_hw[*box],
            target_hw=view.target_hw[*box],
            weight_hw=view.weight_hw[*box],
        )
