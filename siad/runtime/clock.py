"""Time as a port: what waits or stamps is given a clock, so that tests need not wait."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final, Protocol


class Clock(Protocol):
    """The time of day, a time that only grows, and a way to wait."""

    def now(self) -> datetime:
        """The time of day, UTC; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow; for spans."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own."""

    def now(self) -> datetime:
        """The time of day, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


SYSTEM_CLOCK: Final = SystemClock()
