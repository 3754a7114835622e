"""Training of a segmenter on pseudo-masks; no files, no Ray.

A teacher's masks are coarse and some are wrong. So the rim of every marked region has weight 0; unmarked positions of a
defective image have little weight, since the teacher marks the core and misses the rest; every example is weighted by
the confidence of its mask; and synthetic defects, whose masks are exact, are added to images taken for good.

Shape suffixes: B = batch, C = channels, H, W = size of the network's input, h, w = size of the map.

Source:
    Li et al. 2021, arXiv:2104.04015 (defects cut and pasted).
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siad.models.segmenter import Segmenter
from siad.models.training.augment import TrainingExample, add_defect, mirror
from siad.models.training.descent import DecoderTraining
from siad.models.training.loss import segmentation_loss
from siad.models.training.recipe import TrainingRecipe
from siad.vision.masks import DEFECT

VIEWS_MAX: Final = 3  # kept of an example without, and with, a synthetic defect: 160 kB each at 256 px


@dataclass(frozen=True, slots=True)
class TrainingView:
    """One encoding of one example."""

    levels: tuple[Tensor, ...]  # float16 [C, h, w] each, finest first
    mask_HW: NDArray[np.uint8]
    weight: float


class SegmenterTraining(DecoderTraining):
    """Training of a U-Net in progress.

    The encoder is frozen, so each view of an example is encoded once; an epoch encodes a few new views and trains on
    all that are kept. That makes training ten times cheaper than through the whole network, and the result better.
    """

    def __init__(self, segmenter: Segmenter, recipe: TrainingRecipe, device: torch.device) -> None:
        super().__init__(segmenter.to(device).decoder, device, rate=recipe.rate)
        self.segmenter, self.recipe = segmenter.eval(), recipe
        self._original: dict[int, deque[TrainingView]] = {}  # by example
        self._synthetic: dict[int, deque[TrainingView]] = {}  # by good example: with defect

    @property
    def is_done(self) -> bool:
        """Whether the epochs or the seconds are used up."""
        return self.epoch >= self.recipe.epochs or self.seconds >= self.recipe.train_s

    def run_epoch(self, examples: Sequence[TrainingExample], *, clock: Callable[[], float] = time.monotonic) -> float:
        """Train for as many steps as one pass over the examples needs.

        Stops where the seconds are used up.

        Args:
            examples: of all workers; each encodes its own share.
            clock: in seconds.

        Returns:
            The mean loss.
        """
        rng = np.random.default_rng((self.recipe.seed, self.epoch, self.workers.rank))
        steps = int(self.workers.highest(math.ceil(len(examples) / self.recipe.batch), self.device))
        examples = self.workers.share(examples)
        is_first = not self._original
        began_s = clock()
        self._encode_views(examples, rng)
        if is_first:
            began_s = clock()  # encoding all examples once does not count as training
        decoder = self.segmenter.decoder.train()
        losses: list[float] = []
        batch = self.workers.part(self.recipe.batch)
        sampler = _ViewSampler(self._original, self._synthetic, self.recipe, rng)
        for step in range(steps):
            epochs = (self.epoch + step / steps) / self.recipe.epochs
            self._set_rate(max(epochs, self.seconds / self.recipe.train_s))  # whichever is further
            losses.append(self._step(sampler.batch(batch), self.epoch * steps + step))
            self._spend(clock() - began_s)
            began_s = clock()
            if self.seconds >= self.recipe.train_s:
                break
        decoder.eval()
        self.epoch += 1
        return float(np.mean(losses))

    def _encode_views(self, examples: Sequence[TrainingExample], rng: np.random.Generator) -> None:
        """Encode new views with and without a synthetic defect.

        In the first epoch those of every example, later those of a few, mirrored.
        """
        is_first = not self._original
        count = len(examples) if is_first else math.ceil(len(examples) * self.recipe.refresh_share)
        views: list[tuple[dict[int, deque[TrainingView]], int, TrainingExample]] = []
        for index in rng.permutation(len(examples))[:count].tolist():
            example = examples[index]
            views.append((self._original, index, example if is_first else mirror(example, rng)))
            if not (example.mask_HW == DEFECT).any():
                views.append((self._synthetic, index, add_defect(mirror(example, rng), rng)))
        for start in range(0, len(views), self.recipe.batch):
            part = views[start : start + self.recipe.batch]
            for (kept, index, _), view in zip(part, self._encode([example for *_, example in part]), strict=True):
                kept.setdefault(index, deque(maxlen=VIEWS_MAX)).append(view)

    def _encode(self, examples: Sequence[TrainingExample]) -> list[TrainingView]:
        images_BCHW = torch.from_numpy(np.stack([example.image_CHW for example in examples])).to(self.device)
        with torch.no_grad(), self._half():
            levels = [level.half() for level in self.segmenter.encode(from_bytes(images_BCHW))]
        return [
            TrainingView(tuple(level[index].clone() for level in levels), example.mask_HW, example.weight)
            for index, example in enumerate(examples)
        ]

    def _half(self) -> torch.autocast:
        """Use half precision on tensor cores.

        On a CPU it is slower and less exact.
        """
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda")

    def _step(self, views: Sequence[TrainingView], step: int) -> float:
        levels = [torch.stack(level).float() for level in zip(*(view.levels for view in views), strict=True)]
        masks_BHW = torch.from_numpy(np.stack([view.mask_HW for view in views])).to(self.device)
        weights_B = torch.tensor([view.weight for view in views], device=self.device)
        with self._half(), self._dropout(self.recipe.seed, step):
            logits_Bhw = self._parallel(levels)
        loss = segmentation_loss(logits_Bhw.float(), masks_BHW, weights_B, self.recipe)
        return self._descend(loss)


class _ViewSampler:
    """Mixes defective, good and synthetic views in fixed shares.

    Every example of a kind is drawn once before one is drawn again.
    """

    def __init__(
        self,
        original: Mapping[int, Sequence[TrainingView]],
        synthetic: Mapping[int, Sequence[TrainingView]],
        recipe: TrainingRecipe,
        rng: np.random.Generator,
    ) -> None:
        self._original, self._synthetic, self._recipe, self._rng = original, synthetic, recipe, rng
        self._defective = self._cycle([index for index in original if index not in synthetic])
        self._good = self._cycle(list(synthetic))

    def batch(self, count: int) -> list[TrainingView]:
        """Draw the next views to train on."""
        return [self._next() for _ in range(count)]

    def _next(self) -> TrainingView:
        index = next(self._defective if self._rng.random() < self._recipe.defect_share else self._good, None)
        if index is None:  # all examples are of the other kind
            index = next(self._defective, None)
            index = next(self._good) if index is None else index
        is_synthetic = index in self._synthetic and self._rng.random() < self._recipe.synthetic_share
        views = (self._synthetic if is_synthetic else self._original)[index]
        return views[int(self._rng.integers(len(views)))]

    def _cycle(self, indices: Sequence[int]) -> Iterator[int]:
        while indices:
            yield from (indices[position] for position in self._rng.permutation(len(indices)))


def from_bytes(images_BCHW: Tensor) -> Tensor:
    """Undo ``to_bytes``: float32, ``(x - 127) / 128``, as ``preprocess`` gives it."""
    return (images_BCHW.float() - 127.0) / 128.0


def to_bytes(image_CHW: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Store a preprocessed image as uint8.

    Exact for 8-bit images that were not resized.
    """
    return np.asarray(np.clip(np.rint(image_CHW * 128.0 + 127.0), 0, 255), np.uint8)
