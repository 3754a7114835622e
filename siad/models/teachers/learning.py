"""What methods with a network of their own share: who is held out, what a batch shows, how steps are taken.

Steps are counted, never timed: the same normals must give the same weights on a slow machine.

Shape suffixes: B = batch, C = channels, H, W = size of the network's input.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from siad.models.detector import Detector
from siad.models.predictor import score_maps
from siad.models.runner.torch import TorchRunner
from siad.vision.images import Image
from siad.vision.preprocess import preprocess

NORMALS_MIN: Final = 4  # two to learn from, two to hold out
_EVERY: Final = 3  # one normal of so many is held out: of ten four; two alone often agree by chance
_SHIFT: Final = 0.03  # of the side, how far a part is moved
_GAIN, _OFFSET = 0.06, 0.06  # deviations of contrast and brightness of a showing


def hold_out(count: int) -> tuple[list[int], list[int]]:
    """Split so many normals into those to learn from and those to hold out; capture ids have no order of their own."""
    held = set(range(0, count, _EVERY))
    return [index for index in range(count) if index not in held], sorted(held)


def training_device() -> torch.device:
    """A GPU where there is one. What is learnt is moved back: every detector serves where its images are."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw first weights and dropout by seed, and leave the process's own draws as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class NormalBatches:
    """Batches of normals as a network is shown them: moved a little, in a little other light."""

    def __init__(self, images: Sequence[Image], *, input_px: int, seed: int, mirrors: bool = False) -> None:
        inputs = [torch.from_numpy(preprocess(image_HWC, input_px=input_px)) for image_HWC in images]
        self._inputs = inputs
        self._size = (min(one.shape[1] for one in inputs), min(one.shape[2] for one in inputs))
        self._rng = np.random.default_rng(seed)
        self._order: list[int] = []
        self._mirrors = mirrors

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what is shown: the smallest of all normals, larger ones are cut."""
        return self._size

    def batch(self, count: int) -> Tensor:
        """Show so many, each normal as often as the others: float32 [B, 3, H, W]."""
        return torch.stack([self._one() for _ in range(count)])

    def _one(self) -> Tensor:
        if not self._order:
            self._order = self._rng.permutation(len(self._inputs)).tolist()
        input_CHW = self._inputs[self._order.pop()]
        height, width = self._size
        down, across = math.ceil(_SHIFT * height), math.ceil(_SHIFT * width)
        padded_CHW = functional.pad(input_CHW[None], (across, across, down, down), mode="replicate")[0]
        top = int(self._rng.integers(padded_CHW.shape[1] - height + 1))
        left = int(self._rng.integers(padded_CHW.shape[2] - width + 1))
        shown_CHW = padded_CHW[:, top : top + height, left : left + width]
        if self._mirrors and self._rng.random() < 0.5:
            shown_CHW = shown_CHW.flip(2)
        return shown_CHW * float(self._rng.normal(1, _GAIN)) + float(self._rng.normal(0, _OFFSET))


def take_steps(
    parameters: Iterable[nn.Parameter], loss_of: Callable[[int], Tensor], *, steps: int, rate: float
) -> float:
    """Lower a loss by Adam, its rate up for a twentieth of the steps and then down along a cosine.

    Args:
        parameters: what is learnt.
        loss_of: the loss of a step, by its number.
        steps: how many.
        rate: the highest.

    Returns:
        The mean loss of the last tenth.

    Raises:
        ValueError: the loss is no finite number any more.
    """
    learnt = list(parameters)
    optimizer = torch.optim.Adam(learnt, lr=rate)
    losses: list[float] = []
    for step in range(steps):
        progress = step / steps
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, progress / 0.05 + 0.1) * 0.5 * (1 + math.cos(math.pi * progress))
        loss = loss_of(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    last = float(np.mean(losses[-max(1, steps // 10) :]))
    if not math.isfinite(last):
        msg = f"the loss became {last} within {steps} steps, so nothing was fitted; lower the rate, {rate:g}"
        raise ValueError(msg)
    return last


def held_scores(detector: Detector, images: Sequence[Image], *, input_px: int) -> tuple[float, ...]:
    """Image scores of held-out normals, by the code that will judge."""
    return tuple(float(map_HW.max()) for map_HW in score_maps(TorchRunner(detector), images, input_px=input_px))


def held_maps(maps_of: Callable[[Tensor], Tensor], images: Sequence[Image], *, input_px: int) -> Tensor:
    """What is said of each held-out normal, joined along the last axis."""
    with torch.inference_mode():
        return torch.cat([maps_of(torch.from_numpy(preprocess(one, input_px=input_px))[None]) for one in images], -1)


def row_quantile(rows: Tensor, share: float) -> Tensor:
    """A quantile of each row, float32; by NumPy, for torch refuses more than 16 million values."""
    return torch.from_numpy(np.quantile(rows.numpy(), share, axis=1)).float()
