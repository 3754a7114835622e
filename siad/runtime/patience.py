"""Waiting, at the start of a stage, for what is not there yet."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from siad.core.errors import TransientError
from siad.runtime.backoff import Backoff
from siad.runtime.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger()


async def patiently(
    work: Callable[[], Awaitable[object]], *, event: str, stop: asyncio.Event, clock: Clock = SYSTEM_CLOCK
) -> bool:
    """Try ``work`` again and again until what it needs is there; False where the stage is told to stop first.

    Args:
        work: raises TransientError while it has to wait.
        event: what the log says of each failure.
        stop: set it to end the waiting.
        clock: to wait on.
    """
    backoff, attempt = Backoff(), 0
    while not stop.is_set():
        try:
            await work()
        except TransientError as error:
            delay_s = backoff.delay_s(attempt)
            attempt += 1
            log.warning(event, reason=str(error), attempt=attempt, retry_s=round(delay_s, 3))
            await clock.sleep(delay_s)
        else:
            return True
    return False
