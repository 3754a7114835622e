"""How a segmenter learns from pseudo-masks. Pure torch: examples in, weights changed; no files, no Ray.

A teacher's masks are coarse and some are wrong. So: the rim of every marked region counts for nothing; what a mask
leaves unmarked on a defective image counts little, for the teacher marks the core and misses the rest; every example
counts by how far it is believed; and defects are also made by hand on images believed good, where the mask is exact.

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
from siad.models.training.augment import TrainingExample, make_defect, vary
from siad.vision.decide import SMOOTHING
from siad.vision.masks import DEFECT, IGNORE

VIEWS_MAX: Final = 3  # kept of an example as it is, and again with a defect: 160 kB each at 256 px
_COVER: Final = 0.2  # of a place, from which on it counts as marked; at half of it scratches are lost: image AUROC -.01
_RIM_PX: Final = 1  # of the map, to both sides of a mask's edge
_SMALL: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """How long and how hard to train. The figures are image AUROC on solar cells, from 200 of them, two seeds."""

    epochs: int = 15  # 30 begins to believe the wrong masks: -.01
    train_s: float = 45.0  # ends earlier where the machine is slow; the rate follows whichever comes first
    batch: int = 16
    rate: float = 2e-3
    defect_share: float = 0.4  # of a batch's examples, where there are any; .25: -.02
    made_share: float = 0.5  # of the good examples get a defect made by hand; none: -.04, .8: -.01
    image_share: float = 0.2  # of the loss, for the image's own score; .5: -.01, .8: -.03
    outside: float = 0.3  # what an unmarked place of a defective image counts
    refresh_share: float = 0.15  # of the views, encoded anew each epoch
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TrainingView:
    """One showing of one example, as the encoder sees it."""

    levels: tuple[Tensor, ...]  # float16 [C, h, w] each, finest first
    mask_HW: NDArray[np.uint8]
    weight: float


@dataclass(slots=True)
class SegmenterTraining:
    """A segmenter in the making; ``state`` and ``restore`` carry it over a crash.

    The encoder stays as it is, so each view of an example goes through it once; an epoch encodes a few new views and
    trains on all it has. That makes training ten times cheaper than through the whole network, and better.
    """

    segmenter: Segmenter
    recipe: TrainingRecipe
    device: torch.device
    epoch: int = 0  # the next to run
    seconds: float = 0.0  # spent training, over all attempts
    _optimizer: torch.optim.Optimizer = field(init=False, repr=False)
    _seen: dict[int, deque[TrainingView]] = field(
        default_factory=dict, repr=False
    )  # by example: as it is, and mirrored
    _made: dict[int, deque[TrainingView]] = field(default_factory=dict, repr=False)  # by good example: with a defect

    def __post_init__(self) -> None:
        """Move the network to its device."""
        self.segmenter.to(self.device).eval()
        self._optimizer = torch.optim.AdamW(self.segmenter.decoder.parameters(), lr=self.recipe.rate, weight_decay=1e-3)

    @property
    def is_done(self) -> bool:
        """Whether epochs or seconds are used up."""
        return self.epoch >= self.recipe.epochs or self.seconds >= self.recipe.train_s

    def run_epoch(self, examples: Sequence[TrainingExample], *, clock: Callable[[], float] = time.monotonic) -> float:
        """Take as many steps as show every example once; return the mean loss. Stops where the seconds are used up."""
        rng = np.random.default_rng((self.recipe.seed, self.epoch))
        first = not self._seen
        began_s = clock()
        self._look(examples, rng)
        if first:
            began_s = clock()  # what everything must be seen once for is no training
        decoder = self.segmenter.decoder.train()
        losses: list[float] = []
        steps = math.ceil(len(examples) / self.recipe.batch)
        draw = _ExampleSampler(self._seen, self._made, self.recipe, rng)
        for step in range(steps):
            self._set_rate((self.epoch + step / steps) / self.recipe.epochs)
            losses.append(self._step(draw.batch()))
            self.seconds, began_s = self.seconds + clock() - began_s, clock()
            if self.seconds >= self.recipe.train_s:
                break
        decoder.eval()
        self.epoch += 1
        return float(np.mean(losses))

    def state(self) -> dict[str, Any]:
        """Everything a resumed training needs but the examples."""
        return {
            "decoder": self.segmenter.decoder.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self.segmenter.decoder.load_state_dict(state["decoder"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.seconds = int(state["epoch"]), float(state["seconds"])

    def _look(self, examples: Sequence[TrainingExample], rng: np.random.Generator) -> None:
        """Encode new views: of every example at first, as it is and with a defect; of a few later, mirrored."""
        first = not self._seen
        count = len(examples) if first else math.ceil(len(examples) * self.recipe.refresh_share)
        shown: list[tuple[dict[int, deque[TrainingView]], int, TrainingExample]] = []
        for index in rng.permutation(len(examples))[:count].tolist():
            example = examples[index]
            shown.append((self._seen, index, example if first else vary(example, rng)))
            if not (example.mask_HW == DEFECT).any():
                shown.append((self._made, index, make_defect(vary(example, rng), rng)))
        for start in range(0, len(shown), self.recipe.batch):
            part = shown[start : start + self.recipe.batch]
            for (views, index, _), view in zip(part, self._encode([one for *_, one in part]), strict=True):
                views.setdefault(index, deque(maxlen=VIEWS_MAX)).append(view)

    def _encode(self, examples: Sequence[TrainingExample]) -> list[TrainingView]:
        images_BCHW = torch.from_numpy(np.stack([example.image_CHW for example in examples])).to(self.device)
        with torch.no_grad(), self._half():
            levels = [level.half() for level in self.segmenter.encode(normalise(images_BCHW))]
        return [
            TrainingView(tuple(level[index].clone() for level in levels), example.mask_HW, example.weight)
            for index, example in enumerate(examples)
        ]

    def _half(self) -> torch.autocast:
        """Half precision pays on tensor cores alone; on a CPU it is slower and less exact."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda")

    def _set_rate(self, progress: float) -> None:
        """Up for the first twentieth, then down along a cosine, by epochs or by seconds, whichever is further."""
        progress = min(1.0, max(progress, self.seconds / self.recipe.train_s))
        factor = min(1.0, progress / 0.05 + 0.1) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.rate * factor

    def _step(self, views: Sequence[TrainingView]) -> float:
        levels = [torch.stack(level).float() for level in zip(*(view.levels for view in views), strict=True)]
        masks_BHW = torch.from_numpy(np.stack([view.mask_HW for view in views])).to(self.device)
        beliefs_B = torch.tensor([view.weight for view in views], device=self.device)
        with self._half():
            logits_Bhw = self.segmenter.decoder(levels)
        loss = segmentation_loss(logits_Bhw.float(), masks_BHW, beliefs_B, self.recipe)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.segmenter.decoder.parameters(), 1.0)
        self._optimizer.step()
        return float(loss.detach())


class _ExampleSampler:
    """Mixes marked, good and made views in fixed shares; each example of a kind goes round before one comes again."""

    def __init__(
        self,
        seen: Mapping[int, Sequence[TrainingView]],
        made: Mapping[int, Sequence[TrainingView]],
        recipe: TrainingRecipe,
        rng: np.random.Generator,
    ) -> None:
        self._seen, self._made, self._recipe, self._rng = seen, made, recipe, rng
        self._marked = self._go_round([index for index in seen if index not in made])
        self._good = self._go_round(list(made))

    def batch(self) -> list[TrainingView]:
        """The next views to learn from."""
        return [self._one() for _ in range(self._recipe.batch)]

    def _one(self) -> TrainingView:
        index = next(self._marked if self._rng.random() < self._recipe.defect_share else self._good, None)
        if index is None:  # only one of the kinds is there
            index = next(self._marked, None)
            index = next(self._good) if index is None else index
        is_made = index in self._made and self._rng.random() < self._recipe.made_share
        views = (self._made if is_made else self._seen)[index]
        return views[int(self._rng.integers(len(views)))]

    def _go_round(self, indices: Sequence[int]) -> Iterator[int]:
        while indices:
            yield from (indices[place] for place in self._rng.permutation(len(indices)))


def normalise(images_BCHW: Tensor) -> Tensor:
    """Bring stored bytes back to what ``preprocess`` gave: float32, ``(x - 127) / 128``."""
    return (images_BCHW.float() - 127.0) / 128.0


def segmentation_loss(logits_Bhw: Tensor, masks_BHW: Tensor, beliefs_B: Tensor, recipe: TrainingRecipe) -> Tensor:
    """Cross-entropy over marked and unmarked places alike, Dice over the marked, and the image's own score.

    Args:
        logits_Bhw: float32, stride 8.
        masks_BHW: uint8, 0 good, 255 defect, 128 ignore: such places count for nothing, nor for the image's score.
        beliefs_B: float32, 0..1, how far each example is believed.
        recipe: the shares.
    """
    cover_Bhw = functional.avg_pool2d((masks_BHW == DEFECT).float()[:, None], STRIDE)[:, 0]
    target_Bhw = (cover_Bhw >= _COVER).float()
    ignored_Bhw = functional.max_pool2d((masks_BHW == IGNORE).float()[:, None], STRIDE)[:, 0] * (1 - target_Bhw)
    counts_Bhw = 1 - torch.maximum(_rim(target_Bhw), ignored_Bhw)
    is_defect_B = (target_Bhw.flatten(1).sum(1) > 0).float()
    inside_Bhw = target_Bhw * counts_Bhw * beliefs_B[:, None, None]
    around_B = torch.where(is_defect_B > 0, recipe.outside, 1.0) * beliefs_B
    outside_Bhw = (1 - target_Bhw) * counts_Bhw * around_B[:, None, None]
    entropy_Bhw = functional.binary_cross_entropy_with_logits(logits_Bhw, target_Bhw, reduction="none")
    pixels = 0.5 * (_mean(entropy_Bhw, inside_Bhw) + _mean(entropy_Bhw, outside_Bhw))
    lowest_B11 = logits_Bhw.detach().amin((1, 2), keepdim=True)
    scores_B = image_scores(torch.where(ignored_Bhw > 0, lowest_B11, logits_Bhw))
    images_B = functional.binary_cross_entropy_with_logits(scores_B, is_defect_B, reduction="none")
    dice = _dice(logits_Bhw, target_Bhw, inside_Bhw + outside_Bhw)
    return (1 - recipe.image_share) * (pixels + 0.5 * dice) + recipe.image_share * _mean(images_B, beliefs_B)


def image_scores(logits_Bhw: Tensor) -> Tensor:
    """The score that ``decide`` will read, made smooth: the mean over the top of the blurred map."""
    side = math.sqrt(logits_Bhw.shape[1] * logits_Bhw.shape[2])
    blurred_Bhw = _blur(logits_Bhw, sigma=SMOOTHING * side)
    top = max(1, round(blurred_Bhw[0].numel() * 0.002))
    return blurred_Bhw.flatten(1).topk(top, dim=1).values.mean(1)


def _blur(map_Bhw: Tensor, *, sigma: float) -> Tensor:
    reach = max(1, math.ceil(2 * sigma))
    place = torch.arange(-reach, reach + 1, device=map_Bhw.device, dtype=torch.float32)
    kernel = torch.exp(-(place**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = functional.pad(map_Bhw[:, None], (reach, reach, reach, reach), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[:, 0]


def _rim(target_Bhw: Tensor) -> Tensor:
    """1 where marked and unmarked places touch: there the teacher only guessed."""
    size = 2 * _RIM_PX + 1
    grown = functional.max_pool2d(target_Bhw[:, None], size, stride=1, padding=_RIM_PX)
    shrunk = -functional.max_pool2d(-target_Bhw[:, None], size, stride=1, padding=_RIM_PX)
    kept = functional.max_pool2d(
        shrunk, 2 * size - 1, stride=1, padding=2 * _RIM_PX
    )  # thin marks have no inside: all stays
    return (grown - torch.where(kept > 0, shrunk, target_Bhw[:, None]))[:, 0]


def _dice(logits_Bhw: Tensor, target_Bhw: Tensor, counts_Bhw: Tensor) -> Tensor:
    shown_Bhw = torch.sigmoid(logits_Bhw) * counts_Bhw
    marked_Bhw = target_Bhw * counts_Bhw
    both = (shown_Bhw * target_Bhw).sum()
    return 1 - (2 * both + 1) / (shown_Bhw.sum() + marked_Bhw.sum() + 1)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / (weights.sum() + _SMALL)


def bytes_of(image_CHW: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Keep a preprocessed image small: uint8, undone by ``normalise``; exact for 8-bit images up to resizing."""
    return np.asarray(np.clip(np.rint(image_CHW * 128.0 + 127.0), 0, 255), np.uint8)
