"""Training of a segmenter on pseudo-masks; no files, no Ray.

A teacher's masks are coarse and some are wrong. So the rim of every marked region has weight 0; unmarked positions of a
defective image have little weight, since the teacher marks the core and misses the rest; every example is weighted by
the confidence of its mask; and synthetic defects, whose masks are exact, are added to images taken for good.

Shape suffixes: B = batch, C = channels, H, W = size of the network's input, h, w = size of the map.

Sources:
    Milletari, Navab and Ahmadi 2016, arXiv:1606.04797, eq. 2 (the soft Dice loss); Li et al. 2021, arXiv:2104.04015
    (defects cut and pasted); Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5 (the cosine schedule).
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from siad.models.segmenter import STRIDE, Segmenter
from siad.models.training.augment import TrainingExample, add_defect, mirror
from siad.vision.decide import SMOOTHING
from siad.vision.masks import DEFECT, IGNORE

VIEWS_MAX: Final = 3  # kept of an example without, and with, a synthetic defect: 160 kB each at 256 px
_COVER: Final = 0.2  # share of a position that makes it marked; with half of it scratches are lost: image AUROC -.01
_RIM: Final = 1  # positions to both sides of a mask's edge
_SMALL: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """Parameters of training.

    Comments give the change of image AUROC on solar cells, from 200 of them, over two seeds.
    """

    epochs: int = 15  # 30 start to fit the wrong masks: -.01
    train_s: float = 45.0  # limit on slow machines; the learning rate follows the limit that comes first
    batch: int = 16
    rate: float = 2e-3
    defect_share: float = 0.4  # of a batch, while there are defective examples; .25: -.02
    synthetic_share: float = 0.5  # of the good examples that get a synthetic defect; none: -.04, .8: -.01
    image_share: float = 0.2  # of the loss, for the image's own score; .5: -.01, .8: -.03
    unmarked_weight: float = 0.3  # of an unmarked position of a defective image
    refresh_share: float = 0.15  # of the examples that are encoded again in each epoch
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TrainingView:
    """One encoding of one example."""

    levels: tuple[Tensor, ...]  # float16 [C, h, w] each, finest first
    mask_HW: NDArray[np.uint8]
    weight: float


@dataclass(slots=True)
class SegmenterTraining:
    """Training in progress; ``state`` and ``restore`` resume it after a crash.

    The encoder is frozen, so each view of an example is encoded once; an epoch encodes a few new views and trains on
    all that are kept. That makes training ten times cheaper than through the whole network, and the result better.
    """

    segmenter: Segmenter
    recipe: TrainingRecipe
    device: torch.device
    epoch: int = 0  # the next to run
    seconds: float = 0.0  # spent on training, over all attempts
    _optimizer: torch.optim.Optimizer = field(init=False, repr=False)
    _original: dict[int, deque[TrainingView]] = field(default_factory=dict, repr=False)  # by example
    _synthetic: dict[int, deque[TrainingView]] = field(default_factory=dict, repr=False)  # by good example: with defect

    def __post_init__(self) -> None:
        """Move the network to its device."""
        self.segmenter.to(self.device).eval()
        self._optimizer = torch.optim.AdamW(self.segmenter.decoder.parameters(), lr=self.recipe.rate, weight_decay=1e-3)

    @property
    def is_done(self) -> bool:
        """Whether the epochs or the seconds are used up."""
        return self.epoch >= self.recipe.epochs or self.seconds >= self.recipe.train_s

    def run_epoch(self, examples: Sequence[TrainingExample], *, clock: Callable[[], float] = time.monotonic) -> float:
        """Train for as many steps as one pass over the examples needs.

        Stops where the seconds are used up.

        Returns:
            The mean loss.
        """
        rng = np.random.default_rng((self.recipe.seed, self.epoch))
        is_first = not self._original
        began_s = clock()
        self._encode_views(examples, rng)
        if is_first:
            began_s = clock()  # encoding all examples once does not count as training
        decoder = self.segmenter.decoder.train()
        losses: list[float] = []
        steps = math.ceil(len(examples) / self.recipe.batch)
        sampler = _ViewSampler(self._original, self._synthetic, self.recipe, rng)
        for step in range(steps):
            self._set_rate((self.epoch + step / steps) / self.recipe.epochs)
            losses.append(self._step(sampler.batch()))
            self.seconds, began_s = self.seconds + clock() - began_s, clock()
            if self.seconds >= self.recipe.train_s:
                break
        decoder.eval()
        self.epoch += 1
        return float(np.mean(losses))

    def state(self) -> dict[str, Any]:
        """Return everything that resuming needs, except the examples."""
        return {
            "decoder": self.segmenter.decoder.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a ``state``."""
        self.segmenter.decoder.load_state_dict(state["decoder"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.seconds = int(state["epoch"]), float(state["seconds"])

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

    def _set_rate(self, progress: float) -> None:
        """Set the learning rate by progress.

        Up for a twentieth of it, then down along a cosine.

        Progress is that of epochs or of seconds, whichever is further.
        """
        progress = min(1.0, max(progress, self.seconds / self.recipe.train_s))
        factor = min(1.0, progress / 0.05 + 0.1) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.rate * factor

    def _step(self, views: Sequence[TrainingView]) -> float:
        levels = [torch.stack(level).float() for level in zip(*(view.levels for view in views), strict=True)]
        masks_BHW = torch.from_numpy(np.stack([view.mask_HW for view in views])).to(self.device)
        weights_B = torch.tensor([view.weight for view in views], device=self.device)
        with self._half():
            logits_Bhw = self.segmenter.decoder(levels)
        loss = segmentation_loss(logits_Bhw.float(), masks_BHW, weights_B, self.recipe)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.segmenter.decoder.parameters(), 1.0)
        self._optimizer.step()
        return float(loss.detach())


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

    def batch(self) -> list[TrainingView]:
        """Draw the next views to train on."""
        return [self._next() for _ in range(self._recipe.batch)]

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


def segmentation_loss(logits_Bhw: Tensor, masks_BHW: Tensor, weights_B: Tensor, recipe: TrainingRecipe) -> Tensor:
    """Loss over positions, marked positions and the image's score.

    Cross-entropy over positions, Dice over marked ones, and cross-entropy of the image's score.

    Marked and unmarked positions have equal shares of the cross-entropy.

    Args:
        logits_Bhw: float32, stride 8.
        masks_BHW: uint8, 0 good, 255 defect, 128 ignore: such positions have weight 0, for the image's score too.
        weights_B: float32, 0..1, weight of each example.
        recipe: the shares.
    """
    cover_Bhw = functional.avg_pool2d((masks_BHW == DEFECT).float()[:, None], STRIDE)[:, 0]
    target_Bhw = (cover_Bhw >= _COVER).float()
    ignored_Bhw = functional.max_pool2d((masks_BHW == IGNORE).float()[:, None], STRIDE)[:, 0] * (1 - target_Bhw)
    counts_Bhw = 1 - torch.maximum(_rim(target_Bhw), ignored_Bhw)
    is_defect_B = (target_Bhw.flatten(1).sum(1) > 0).float()
    inside_Bhw = target_Bhw * counts_Bhw * weights_B[:, None, None]
    around_B = torch.where(is_defect_B > 0, recipe.unmarked_weight, 1.0) * weights_B
    outside_Bhw = (1 - target_Bhw) * counts_Bhw * around_B[:, None, None]
    entropy_Bhw = functional.binary_cross_entropy_with_logits(logits_Bhw, target_Bhw, reduction="none")
    pixels = 0.5 * (_mean(entropy_Bhw, inside_Bhw) + _mean(entropy_Bhw, outside_Bhw))
    lowest_B11 = logits_Bhw.detach().amin((1, 2), keepdim=True)
    scores_B = image_scores(torch.where(ignored_Bhw > 0, lowest_B11, logits_Bhw))
    images_B = functional.binary_cross_entropy_with_logits(scores_B, is_defect_B, reduction="none")
    dice = _dice(logits_Bhw, target_Bhw, inside_Bhw + outside_Bhw)
    return (1 - recipe.image_share) * (pixels + 0.5 * dice) + recipe.image_share * _mean(images_B, weights_B)


def image_scores(logits_Bhw: Tensor) -> Tensor:
    """Differentiable image score.

    The mean over the highest positions of the blurred map.
    """
    side = math.sqrt(logits_Bhw.shape[1] * logits_Bhw.shape[2])
    blurred_Bhw = _blur(logits_Bhw, sigma=SMOOTHING * side)
    top = max(1, round(blurred_Bhw[0].numel() * 0.002))
    return blurred_Bhw.flatten(1).topk(top, dim=1).values.mean(1)


def _blur(map_Bhw: Tensor, *, sigma: float) -> Tensor:
    reach = max(1, math.ceil(2 * sigma))
    offset = torch.arange(-reach, reach + 1, device=map_Bhw.device, dtype=torch.float32)
    kernel = torch.exp(-(offset**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = functional.pad(map_Bhw[:, None], (reach, reach, reach, reach), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[:, 0]


def _rim(target_Bhw: Tensor) -> Tensor:
    """1 where marked and unmarked positions touch.

    A teacher's borders are inexact.
    """
    size = 2 * _RIM + 1
    grown = functional.max_pool2d(target_Bhw[:, None], size, stride=1, padding=_RIM)
    shrunk = -functional.max_pool2d(-target_Bhw[:, None], size, stride=1, padding=_RIM)
    kept = functional.max_pool2d(
        shrunk, 2 * size - 1, stride=1, padding=2 * _RIM
    )  # thin marks have no inside and stay whole
    return (grown - torch.where(kept > 0, shrunk, target_Bhw[:, None]))[:, 0]


def _dice(logits_Bhw: Tensor, target_Bhw: Tensor, counts_Bhw: Tensor) -> Tensor:
    predicted_Bhw = torch.sigmoid(logits_Bhw) * counts_Bhw
    marked_Bhw = target_Bhw * counts_Bhw
    both = (predicted_Bhw * target_Bhw).sum()
    return 1 - (2 * both + 1) / (predicted_Bhw.sum() + marked_Bhw.sum() + 1)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / (weights.sum() + _SMALL)


def to_bytes(image_CHW: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Store a preprocessed image as uint8.

    Exact for 8-bit images that were not resized.
    """
    return np.asarray(np.clip(np.rint(image_CHW * 128.0 + 127.0), 0, 255), np.uint8)
