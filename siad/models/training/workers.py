"""The workers of one training, and what they must agree on.

Each worker prepares its own share of the examples and draws its own part of every batch; gradients are averaged by
``torch.nn.parallel.DistributedDataParallel``. Whatever decides how many steps there are must be the same on all of
them, or one would wait for ever for the gradients of another: ``highest`` makes it so.

A process without a process group is the one worker of its training.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """This worker's number among those of a training."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Self:
        """Read it from this process's process group, if any."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this worker writes what the group writes once."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Take every ``size``-th item.

        All of them where some worker would have none.
        """
        return list(items[self.rank :: self.size]) if len(items) >= self.size else list(items)

    def part(self, count: int) -> int:
        """Divide a count among the workers, rounded up."""
        return math.ceil(count / self.size)

    def parallel(self, network: nn.Module) -> nn.Module:
        """Wrap a network, so that its gradients are averaged over the workers."""
        return DistributedDataParallel(network) if self.size > 1 else network

    def highest(self, value: float, device: torch.device) -> float:
        """Return the highest ``value`` of all workers, which must all ask."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=device)
        distributed.all_reduce(shared, op=distributed.ReduceOp.MAX)
        return float(shared.item())
