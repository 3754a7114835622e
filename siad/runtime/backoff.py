"""Backoff with jitter: longer waits, spread so that clients retry apart."""

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
    """Schedule of waits with jitter; the last step repeats."""

    schedule_s: tuple[float, ...] = (0.1, 0.5, 2.0, 8.0)
    spread: float = 0.5  # each wait is drawn from 1 - spread to 1 + spread of its step
    draw: Callable[[], float] = random.random  # uniform in [0, 1)

    def delay_s(self, attempt: int) -> float:
        """Return the seconds to wait after failure ``attempt``, counted from 0."""
        step = self.schedule_s[min(attempt, len(self.schedule_s) - 1)]
        return step * (1 - self.spread + 2 * self.spread * self.draw())


async def until_available(
    work: Callable[[], Awaitable[T]], *, what: str, clock: Clock = SYSTEM_CLOCK, backoff: Backoff | None = None
) -> T:
    """Repeat ``work`` until it no longer raises ``TransientError``, and return its result.

    For the start of a process, when the store or the broker may not be up yet. Cancel it to give up.

    Args:
        work: raises TransientError while its dependency is unavailable or denies access.
        what: names the dependency in the log.
        clock: to wait on.
        backoff: seconds between attempts.
    """
    backoff, attempt = backoff or Backoff(), 0
    while True:
        try:
            return await work()
        except TransientError as error:
            delay_s = backoff.delay_s(attempt)
            attempt += 1
            log.warning("waiting", what=what, reason=str(error), attempt=attempt, retry_s=round(delay_s, 3))
            await clock.sleep(delay_s)
