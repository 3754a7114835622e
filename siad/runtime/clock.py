"""Clock port: time and waiting that tests can control."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final, Protocol


class Clock(Protocol):
    """Time of day, monotonic time, and waiting."""

    def now(self) -> datetime:
        """Return the time of day, UTC; it may jump."""
        ...

    def monotonic(self) -> float:
        """Return monotonic seconds, for durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""
        ...


class SystemClock:
    """Clock of the machine."""

    def now(self) -> datetime:
        """Return the time of day, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""
        await asyncio.sleep(seconds)


SYSTEM_CLOCK: Final = SystemClock()
