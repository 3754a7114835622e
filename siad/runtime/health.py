"""Liveness and readiness of one stage.

Alive: the event loop of the consumer goes round, and where records wait and no pause is reported, work was completed
lately. An open port alone does not count. Ready: every check returns without an error, and no paused work reports a
failure that an operator must clear; or the stage serves requests in spite of the failures (``may_serve``), and says so.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.metrics import MISSING, PAUSED
from siad.runtime.outcomes import WAITING, outcome_of

MayServe = Callable[[Mapping[str, str]], bool]  # whether the stage serves requests in spite of these failures
Check = Callable[[], Awaitable[None]]  # returns, or raises TransientError that says what is missing


@dataclass(frozen=True, slots=True)
class Pause:
    """Why one activity waits."""

    reason: str  # label of siad_paused_info
    report: str = ""  # what readiness shows; empty where waiting does not make the stage unready


@dataclass(slots=True, eq=False)
class Health:
    """What the consumer and the reconcilers report, and the probes read."""

    stage: str
    clock: Clock = SYSTEM_CLOCK
    stuck_after_s: float = 120.0
    check_timeout_s: float = 3.0  # a probe must be answered, whatever hangs
    checks: dict[str, Check] = field(default_factory=dict)  # name -> what must hold to be ready
    may_serve: MayServe | None = None  # None: every failure makes the stage unready
    reports: dict[str, str] = field(default_factory=dict)  # activity -> failure that an operator must clear
    _ticked_at: float | None = None  # None: no consumer runs (yet)
    _progress_at: float = 0.0
    _lag: int = 0
    _pauses: dict[str, Pause] = field(default_factory=dict)  # activity -> why it waits
    _running: dict[str, asyncio.Future[None]] = field(default_factory=dict)  # checks that have not ended yet

    def tick(self) -> None:
        """Record that the consumer's loop went round."""
        self._ticked_at = self.clock.monotonic()

    def advance(self) -> None:
        """Record that work was completed."""
        self._progress_at = self.clock.monotonic()

    def lag(self, records: int) -> None:
        """Record how many records wait.

        The time without progress counts from the first of them.
        """
        if self._lag == 0:
            self.advance()
        self._lag = records

    def pause(self, activity: str, reason: str, *, report: str = "") -> None:
        """Record that ``activity`` waits for a stated reason.

        Waiting counts as alive. May be repeated.
        """
        old = self._pauses.get(activity)
        self._pauses[activity] = Pause(reason, report)
        if old is None or old.reason != reason:
            self._export(None if old is None else old.reason, reason)

    def resume(self, activity: str) -> None:
        """Record that ``activity`` no longer waits.

        The time without progress counts from here.
        """
        if (old := self._pauses.pop(activity, None)) is not None:
            self.advance()
            self._export(old.reason, None)

    def liveness_failure(self) -> str | None:
        """Return why this process must be restarted; None while it is alive."""
        now = self.clock.monotonic()
        if self._ticked_at is not None and now - self._ticked_at > self.stuck_after_s:
            return f"the consumer's loop has not gone round for {now - self._ticked_at:.0f} s"
        if self._lag and not self._pauses and now - self._progress_at > self.stuck_after_s:
            return f"{self._lag} records wait and no work was completed for {now - self._progress_at:.0f} s"
        return None

    def paused(self) -> dict[str, str]:
        """Return the reasons by activity."""
        return {activity: pause.reason for activity, pause in self._pauses.items()}

    async def readiness_failures(self) -> dict[str, str]:
        """Return what is missing, by check or paused activity.

        Empty while the stage is ready.
        """
        names = list(self.checks)
        failures = await asyncio.gather(*(self._examine(name) for name in names))
        found = {name: failure for name, failure in zip(names, failures, strict=True) if failure}
        return (
            found | self.reports | {activity: pause.report for activity, pause in self._pauses.items() if pause.report}
        )

    def is_ready_without(self, failures: Mapping[str, str]) -> bool:
        """Whether the stage is ready in spite of these failures."""
        return not failures or (self.may_serve is not None and self.may_serve(failures))

    async def _examine(self, name: str) -> str:
        """Run one check, once at a time; say why it fails.

        A dependency that hangs keeps its check for a minute. It is not asked again meanwhile, since each call would
        occupy another thread.
        """
        running = self._running.get(name)
        if running is None or running.done():
            running = self._running[name] = asyncio.ensure_future(_run(self.checks[name]))
            running.add_done_callback(_retrieve)
        await asyncio.wait({running}, timeout=self.check_timeout_s)
        failure = f"no answer in {self.check_timeout_s:g} s"
        if running.done():
            failure = ""
            try:
                running.result()
            except Exception as error:
                if outcome_of(error) not in WAITING:
                    raise
                failure = str(error)
        if failure:
            MISSING.labels(self.stage, name).set(1)
        else:
            with contextlib.suppress(KeyError):  # it never failed
                MISSING.remove(self.stage, name)
        return failure

    def _export(self, old: str | None, new: str | None) -> None:
        if old is not None and all(pause.reason != old for pause in self._pauses.values()):
            PAUSED.remove(self.stage, old)
        if new is not None:
            PAUSED.labels(self.stage, new).set(1)


async def _run(check: Check) -> None:
    await check()


def _retrieve(check: asyncio.Future[None]) -> None:
    """Take the exception of a check that nothing waits for any more."""
    if not check.cancelled():
        check.exception()
