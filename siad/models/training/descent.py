"""Optimisation of a decoder, which can be resumed."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from siad.models.training.workers import WorkerGroup

_WEIGHT_DECAY: Final = 1e-3
_GRADIENT_MAX: Final = 1.0
_WARM_UP: Final = 0.05  # of the training


class DecoderTraining:
    """Training in progress: steps of AdamW, with a warm-up and a cosine.

    ``state`` and ``restore`` resume it after a crash. In a process group every worker runs the same steps on its own
    part of each batch, so all of them have the same weights.

    Source:
        Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5 (the cosine schedule).
    """

    def __init__(self, decoder: nn.Module, device: torch.device, *, rate: float) -> None:
        """Move the decoder to its device."""
        decoder.to(device).eval()
        self.device, self.workers = device, WorkerGroup.current()
        self.epoch = 0  # the next to run
        self.seconds = 0.0  # spent on training, over all attempts; of the slowest worker
        self._decoder, self._rate = decoder, rate
        self._parallel = self.workers.parallel(decoder)  # runs the steps
        self._optimizer = torch.optim.AdamW(decoder.parameters(), lr=rate, weight_decay=_WEIGHT_DECAY)

    def _set_rate(self, progress: float) -> None:
        """Set the learning rate by the progress of the training, 0..1."""
        progress = min(1.0, progress)
        factor = min(1.0, progress / _WARM_UP + 0.1) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * factor

    def _descend(self, loss: Tensor) -> float:
        """Do one step; returns the loss."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._decoder.parameters(), _GRADIENT_MAX)
        self._optimizer.step()
        return float(loss.detach())

    @contextmanager
    def _dropout(self, seed: int, step: int) -> Iterator[None]:
        """Draw dropout by the seed, the step and the worker alone."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed * 1_000_003 + step + self.workers.rank * 1_000_000_007)
            yield

    def _spend(self, seconds: float) -> None:
        """Count the seconds of one step."""
        self.seconds = self.workers.highest(self.seconds + seconds, self.device)

    def state(self) -> dict[str, Any]:
        """Return everything that resuming needs, except the examples."""
        return {
            "decoder": self._decoder.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a ``state``."""
        self._decoder.load_state_dict(state["decoder"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.seconds = int(state["epoch"]), float(state["seconds"])
