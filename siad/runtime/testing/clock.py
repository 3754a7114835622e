"""Fake clock.

A sleep returns at once, and moves the time on by its length.
"""

import asyncio
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Clock whose time moves only by ``sleep`` and ``advance``.

    ``slept`` keeps every wait, in order.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed_s = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        """Return the fake time of day, UTC."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        """Return the fake seconds since the start."""
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        """Move the time on, and let other tasks run."""
        self.slept.append(seconds)
        self._elapsed_s += seconds
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Move the time on."""
        self._elapsed_s += seconds
