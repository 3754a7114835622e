"""Alive and ready: what a stage says of itself. Liveness is progress, not an open port.

Alive: the loop ticks, and where there is lag, and nobody said why it pauses, something was done lately.
Ready: every check that the stage brought along returns without an error.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from siad.contracts.errors import TransientError
from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.metrics import PAUSED

Check = Callable[[], Awaitable[None]]  # returns, or raises TransientError saying what is missing


@dataclass(slots=True, eq=False)
class Health:
    """What the loop reports and the probes ask."""

    stage: str
    clock: Clock = SYSTEM_CLOCK
    stuck_after_s: float = 120.0
    checks: dict[str, Check] = field(default_factory=dict)  # name -> what must hold to be ready
    _ticked_at: float | None = None  # None: there is no loop to tick (yet)
    _progress_at: float = 0.0
    _lag: int = 0
    _paused: dict[str, str] = field(default_factory=dict)  # who -> why

    def tick(self) -> None:
        """The loop went round."""
        self._ticked_at = self.clock.monotonic()

    def advance(self) -> None:
        """Something was done."""
        self._progress_at = self.clock.monotonic()

    def lag(self, records: int) -> None:
        """So many records wait. Waiting time counts from when the first of them came."""
        if self._lag == 0:
            self.advance()
        self._lag = records

    def pause(self, who: str, why: str) -> None:
        """``who`` waits for a stated reason, which is alive; say it again as often as you like."""
        if (old := self._paused.get(who)) == why:
            return
        self._paused[who] = why
        self._tell(old, why)

    def go_on(self, who: str) -> None:
        """``who`` no longer waits. The time without progress counts from here."""
        if (old := self._paused.pop(who, None)) is not None:
            self.advance()
            self._tell(old, None)

    def dead(self) -> str | None:
        """Why this process should be restarted; None while it is alive."""
        now = self.clock.monotonic()
        if self._ticked_at is not None and now - self._ticked_at > self.stuck_after_s:
            return f"the loop has not gone round for {now - self._ticked_at:.0f} s"
        if self._lag and not self._paused and now - self._progress_at > self.stuck_after_s:
            return f"{self._lag} records wait and nothing was done for {now - self._progress_at:.0f} s"
        return None

    def paused(self) -> dict[str, str]:
        """Who waits, and why."""
        return dict(self._paused)

    async def missing(self) -> dict[str, str]:
        """What is not ready, by check; empty where all is."""
        found = {}
        for name, check in list(self.checks.items()):
            try:
                await check()
            except TransientError as error:
                found[name] = str(error)
        return found

    def _tell(self, old: str | None, new: str | None) -> None:
        if old is not None and old not in self._paused.values():
            PAUSED.remove(self.stage, old)
        if new is not None:
            PAUSED.labels(self.stage, new).set(1)
