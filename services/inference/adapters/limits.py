"""Threads and bounds of the predictors."""

from concurrent.futures import Executor
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingThreads:
    """The two executors, of one thread each."""

    scorer: Executor
    loader: Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingLimits:
    """Bounds of memory and batches."""

    models_max: int  # models in memory
    batch_max: int  # images scored together
    batch_wait_s: float  # how long an incomplete batch waits for more images
