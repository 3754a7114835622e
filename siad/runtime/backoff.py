"""How long to wait before the next try: longer each time, and not everybody at once."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from siad.contracts.errors import TransientError
from siad.runtime.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """A schedule with jitter; its last step repeats for ever."""

    schedule_s: tuple[float, ...] = (0.1, 0.5, 2.0, 8.0)
    spread: float = 0.5  # each wait is drawn from 1 - spread to 1 + spread of its step
    draw: Callable[[], float] = random.random  # uniform in [0, 1)

    def delay_s(self, attempt: int) -> float:
        """Seconds to wait after the failure number ``attempt``, the first being 0."""
        step = self.schedule_s[min(attempt, len(self.schedule_s) - 1)]
        return step * (1 - self.spread + 2 * self.spread * self.draw())


async def patiently(
    work: Callable[[], Awaitable[T]],
    *,
    what: str,
    stop: asyncio.Event,
    clock: Clock = SYSTEM_CLOCK,
    backoff: Backoff | None = None,
) -> T:
    """Try until what ``work`` needs is there: a store or broker that is away at the start comes back.

    Args:
        work: raises TransientError while it can't be done.
        what: names it in the log.
        stop: gives up when it is set.
        clock: to wait on.
        backoff: how long.

    Raises:
        TransientError: the last one, once ``stop`` is set.
    """
    backoff, attempt = backoff or Backoff(), 0
    while True:
        try:
            return await work()
        except TransientError as error:
            if stop.is_set():
                raise
            delay_s = backoff.delay_s(attempt)
            attempt += 1
            log.warning("waiting", what=what, reason=str(error), attempt=attempt, retry_s=round(delay_s, 3))
            await clock.sleep(delay_s)
