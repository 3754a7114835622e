"""Threads and bounds of the predictors."""

from concurrent.futures import Executor
from dataclasses import dataclass

from siad.models.slots import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingThreads:
    """The two executors, of one thread each."""

    scorer: Executor
    loader: Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingLimits:
    """Bounds of memory and batches."""

    room: Room  # for weights
    batch_max: int  # images scored together
    batch_wait_s: float  # how long an incomplete batch waits for more images
