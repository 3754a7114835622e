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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from siad.core.decide import SMOOTHING
from siad.models.augment import Example, augment
from siad.models.segmenter import STRIDE, Segmenter

_FROZEN_STAGES: Final = 3  # stem and s0 to s2: edges and textures are the same everywhere, and cost the most
_RIM_PX: Final = 1  # of the map, to both sides of a mask's edge
_SMALL: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How long and how hard to train."""

    epochs: int = 12
    train_s: float = 45.0  # ends earlier where the machine is slow; the schedule follows whichever comes first
    batch: int = 8
    defect_share: float = 0.4  # of a batch's examples, where there are any
    made_share: float = 0.5  # of the good examples get a defect made by hand
    rate: float = 1e-3  # of the decoder
    encoder_rate: float = 1e-4  # of the encoder's open stages
    outside: float = 0.3  # what an unmarked place of a defective image counts
    image_share: float = 0.5  # of the loss, for the image's own score
    seed: int = 0


@dataclass(slots=True)
class Training:
    """A segmenter in the making; ``state`` and ``restore`` carry it over a crash."""

    segmenter: Segmenter
    recipe: Recipe
    device: torch.device
    epoch: int = 0  # the next to run
    seconds: float = 0.0  # spent training, over all attempts
    _optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        """Freeze what stays, open what learns."""
        backbone = self.segmenter.backbone
        for frozen in (backbone.stem, *backbone.stages[:_FROZEN_STAGES]):
            frozen.requires_grad_(requires_grad=False)
        self.segmenter.to(self.device)
        opened = [weight for weight in backbone.parameters() if weight.requires_grad]
        inner = {id(weight) for weight in backbone.parameters()}
        decoder = [weight for weight in self.segmenter.parameters() if id(weight) not in inner]
        groups = [
            {"params": decoder, "lr": self.recipe.rate, "top": self.recipe.rate},
            {"params": opened, "lr": self.recipe.encoder_rate, "top": self.recipe.encoder_rate},
        ]
        self._optimizer = torch.optim.AdamW(groups, weight_decay=1e-4)

    @property
    def is_done(self) -> bool:
        """Whether epochs or seconds are used up."""
        return self.epoch >= self.recipe.epochs or self.seconds >= self.recipe.train_s

    def run_epoch(self, examples: Sequence[Example], *, clock: Callable[[], float] = time.monotonic) -> float:
        """See every example about once; return the mean loss. Ends in the middle where the seconds are used up."""
        rng = np.random.default_rng((self.recipe.seed, self.epoch))  # of the epoch alone, so a resumed one is the same
        self.segmenter.train()
        losses: list[float] = []
        steps = math.ceil(len(examples) / self.recipe.batch)
        for step, chosen in enumerate(draw_batches(examples, steps=steps, recipe=self.recipe, rng=rng)):
            began = clock()
            self._set_rates((self.epoch + step / steps) / self.recipe.epochs)
            losses.append(self._step([augment(example, rng, self.recipe.made_share) for example in chosen]))
            self.seconds += clock() - began
            if self.seconds >= self.recipe.train_s:
                break
        self.epoch += 1
        self.segmenter.eval()
        return float(np.mean(losses))

    def state(self) -> dict[str, Any]:
        """Everything a resumed training needs, on the CPU."""
        return {
            "network": self.segmenter.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self.segmenter.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.seconds = int(state["epoch"]), float(state["seconds"])

    def _set_rates(self, progress: float) -> None:
        """Up for the first twentieth, then down along a cosine, by epochs or by seconds, whichever is further."""
        progress = min(1.0, max(progress, self.seconds / self.recipe.train_s))
        factor = min(1.0, progress / 0.05 + 0.1) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in self._optimizer.param_groups:
            group["lr"] = group["top"] * max(factor, 0.01)

    def _step(self, examples: Sequence[Example]) -> float:
        images_BCHW = torch.from_numpy(np.stack([example.image_CHW for example in examples])).to(self.device)
        masks_BHW = torch.from_numpy(np.stack([example.mask_HW for example in examples])).to(self.device)
        beliefs_B = torch.tensor([example.weight for example in examples], device=self.device)
        # half precision pays on tensor cores alone; on a CPU it is slower and less exact
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            logits_Bhw = self.segmenter(normalise(images_BCHW))
        loss = segmentation_loss(logits_Bhw.float(), masks_BHW, beliefs_B, self.recipe)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.segmenter.parameters(), 1.0)
        self._optimizer.step()
        return float(loss.detach())


def normalise(images_BCHW: Tensor) -> Tensor:
    """Bring stored bytes back to what ``preprocess`` gave: float32, ``(x - 127) / 128``."""
    return (images_BCHW.float() - 127.0) / 128.0


def draw_batches(
    examples: Sequence[Example], *, steps: int, recipe: Recipe, rng: np.random.Generator
) -> Iterator[list[Example]]:
    """Mix good and defective examples in a fixed share; each kind goes round before one comes again."""
    bad = _go_round([example for example in examples if example.mask_HW.any()], rng)
    good = _go_round([example for example in examples if not example.mask_HW.any()], rng)
    for _ in range(steps):
        count = rng.binomial(recipe.batch, recipe.defect_share)
        kinds = [bad if index < count else good for index in range(recipe.batch)]
        yield [example for kind in kinds if (example := next(kind, None) or next(good, None) or next(bad, None))]


def _go_round(examples: Sequence[Example], rng: np.random.Generator) -> Iterator[Example]:
    while examples:
        yield from (examples[index] for index in rng.permutation(len(examples)))


def segmentation_loss(logits_Bhw: Tensor, masks_BHW: Tensor, beliefs_B: Tensor, recipe: Recipe) -> Tensor:
    """Cross-entropy over marked and unmarked places alike, Dice over the marked, and the image's own score.

    Args:
        logits_Bhw: float32, stride 4.
        masks_BHW: uint8, 0 good, 255 defect.
        beliefs_B: float32, 0..1, how far each example is believed.
        recipe: the shares.
    """
    cover_Bhw = functional.avg_pool2d((masks_BHW > 0).float()[:, None], STRIDE)[:, 0]
    target_Bhw = (cover_Bhw >= 0.5).float()
    is_defect_B = (target_Bhw.flatten(1).sum(1) > 0).float()
    inside_Bhw = target_Bhw * (1 - _rim(target_Bhw)) * beliefs_B[:, None, None]
    around_B = torch.where(is_defect_B > 0, recipe.outside, 1.0) * beliefs_B
    outside_Bhw = (1 - target_Bhw) * (1 - _rim(target_Bhw)) * around_B[:, None, None]
    entropy_Bhw = functional.binary_cross_entropy_with_logits(logits_Bhw, target_Bhw, reduction="none")
    pixels = 0.5 * (_mean(entropy_Bhw, inside_Bhw) + _mean(entropy_Bhw, outside_Bhw))
    scores_B = image_scores(logits_Bhw)
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
