"""Training of the methods that have a network of their own.

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
from siad.models.runner.torch import TorchRunner
from siad.models.teachers.normals import Normals
from siad.models.view_maps import score_maps
from siad.vision.images import Image
from siad.vision.preprocess import preprocess

NORMALS_MIN: Final = 4  # two to train on, two to hold out
_HELD_OUT_EVERY: Final = 3  # one normal in three is held out: of ten four; two alone often agree by chance
_SHIFT: Final = 0.03  # of the side, how far a part is moved
_GAIN, _OFFSET = 0.06, 0.06  # deviations of contrast and brightness of an augmented normal


def split_normals(normals: Normals) -> tuple[Normals, Normals]:
    """Split normals into those to train on and those to hold out.

    The order of capture ids is random.
    """
    held = range(0, len(normals), _HELD_OUT_EVERY)
    return normals.subset([index for index in range(len(normals)) if index not in held]), normals.subset(held)


def training_device() -> torch.device:
    """Choose a GPU where there is one.

    Trained networks are moved back to the CPU.
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights and dropout by a seed.

    The process's own random state stays unchanged.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class NormalBatches:
    """Batches of augmented normals.

    They are shifted a little, with a little other contrast and brightness.
    """

    def __init__(self, images: Sequence[Image], *, input_px: int, seed: int) -> None:
        inputs = [torch.from_numpy(preprocess(image_HWC, input_px=input_px)) for image_HWC in images]
        self._inputs = inputs
        self._size = (min(one.shape[1] for one in inputs), min(one.shape[2] for one in inputs))
        self._rng = np.random.default_rng(seed)
        self._order: list[int] = []

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the inputs.

        The smallest of all normals; larger ones are cropped.
        """
        return self._size

    def batch(self, count: int) -> Tensor:
        """Draw a batch, float32 [B, 3, H, W].

        Each normal is drawn as often as the others.
        """
        return torch.stack([self._next() for _ in range(count)])

    def _next(self) -> Tensor:
        if not self._order:
            self._order = self._rng.permutation(len(self._inputs)).tolist()
        input_CHW = self._inputs[self._order.pop()]
        height, width = self._size
        down, across = math.ceil(_SHIFT * height), math.ceil(_SHIFT * width)
        padded_CHW = functional.pad(input_CHW[None], (across, across, down, down), mode="replicate")[0]
        top = int(self._rng.integers(padded_CHW.shape[1] - height + 1))
        left = int(self._rng.integers(padded_CHW.shape[2] - width + 1))
        cropped_CHW = padded_CHW[:, top : top + height, left : left + width]
        return cropped_CHW * float(self._rng.normal(1, _GAIN)) + float(self._rng.normal(0, _OFFSET))


def minimise(parameters: Iterable[nn.Parameter], loss_of: Callable[[int], Tensor], *, steps: int, rate: float) -> float:
    """Minimise a loss with Adam.

    The rate rises for a twentieth of the steps, then falls along a cosine.

    Args:
        parameters: what is trained.
        loss_of: the loss of a step, by its number.
        steps: how many.
        rate: the highest.

    Returns:
        The mean loss of the last tenth.

    Raises:
        ValueError: the loss became infinite or not a number.
    """
    trained = list(parameters)
    optimizer = torch.optim.Adam(trained, lr=rate)
    losses: list[float] = []
    for step in range(steps):
        progress = step / steps
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, progress / 0.05 + 0.1) * 0.5 * (1 + math.cos(math.pi * progress))
        loss = loss_of(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    last = float(np.mean(losses[-max(1, steps // 10) :]))
    if not math.isfinite(last):
        msg = f"the loss became {last} within {steps} steps, so no network was fitted; lower the rate, {rate:g}"
        raise ValueError(msg)
    return last


def held_out_scores(detector: Detector, images: Sequence[Image], *, input_px: int) -> tuple[float, ...]:
    """Score held-out normals with the code that will serve.

    One score for each image.
    """
    return tuple(float(map_HW.max()) for map_HW in score_maps(TorchRunner(detector), images, input_px=input_px))


def held_out_values(values_of: Callable[[Tensor], Tensor], images: Sequence[Image], *, input_px: int) -> Tensor:
    """Compute values of each held-out normal, joined along the last axis."""
    with torch.inference_mode():
        return torch.cat([values_of(torch.from_numpy(preprocess(one, input_px=input_px))[None]) for one in images], -1)


def row_quantile(rows: Tensor, share: float) -> Tensor:
    """Quantile of each row, float32.

    Computed by NumPy, since torch refuses more than 16 million values.
    """
    return torch.from_numpy(np.quantile(rows.numpy(), share, axis=1)).float()
