"""Waits of tests: for a condition, never for a time."""

import asyncio
from collections.abc import Callable
from typing import Final

GIVE_UP_S: Final = 10.0  # a condition that does not hold by then never will


async def until(holds: Callable[[], bool]) -> None:
    """Let other tasks and threads run until ``holds``.

    TimeoutError where it never does.
    """
    async with asyncio.timeout(GIVE_UP_S):
        while not holds():
            await asyncio.sleep(0.001)


async def until_grown(count: Callable[[], int], *, by: int) -> None:
    """Wait for so many more rounds of a loop.

    To assert that something does not happen, count rounds of the loop that would do it; a sleep proves nothing on a
    busy machine.
    """
    least = count() + by
    await until(lambda: count() >= least)
