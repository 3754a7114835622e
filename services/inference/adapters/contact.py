"""Contact with broker and store, as the readiness checks find it."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from siad.contracts.errors import MissingError, TransientError
from siad.runtime.clock import Clock
from siad.runtime.health import Check

ANSWER_S: Final = 2.0  # under the time that a readiness probe allows a check


class Contact:
    """Which dependencies failed their last check, and when each answered last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._names: list[str] = []
        self._away: dict[str, str] = {}
        self._answered_at: dict[str, datetime] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    @property
    def away(self) -> Mapping[str, str]:
        """Dependencies that failed their last check, with the reason."""
        return self._away

    @property
    def confirmed_at(self) -> datetime | None:
        """Time at which all had answered; None before that."""
        times = [self._answered_at.get(name) for name in self._names]
        known = [moment for moment in times if moment is not None]
        return min(known) if known and len(known) == len(times) else None

    def watched(self, name: str, check: Check) -> Check:
        """Return a check that also records its result here.

        A dependency that hangs is asked once at a time, since each call may occupy a thread.
        """
        self._names.append(name)

        async def watch() -> None:
            asking = self._asking.get(name)
            if asking is None:
                asking = self._asking[name] = asyncio.ensure_future(_run(check))
            await asyncio.wait({asking}, timeout=ANSWER_S)
            if not asking.done():
                msg = self._away[name] = f"no answer in {ANSWER_S:g} s"
                raise TransientError(msg)
            self._asking.pop(name, None)
            try:
                asking.result()
            except (TransientError, MissingError) as error:
                self._away[name] = str(error)
                raise
            self._away.pop(name, None)
            self._answered_at[name] = self._clock.now()

        return watch


async def _run(check: Check) -> None:
    await check()
