"""Work that is not one message: look, plan, act, and look again.

The plan is pure and reads only what the store says, so nothing hangs on this process's memory: killed anywhere, the
next plan finds the same work. A lease for each unit of work keeps two replicas from doing it twice; truth is kept by
the pointers' conditional puts, so two holders do no harm.
"""

import asyncio
import contextlib
import functools
import math
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import structlog

from siad.contracts.errors import ConflictError, CorruptError, MissingError, TransientError
from siad.runtime import metrics, trace
from siad.runtime.backoff import Backoff
from siad.runtime.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger()

S = TypeVar("S")
A = TypeVar("A")
TICK_S = 0.2  # how soon a nudge, a stop or a spent backoff is noticed
# Failures that put off one unit of work with a growing delay, while the others go on: a dependency is unavailable,
# another process was first, or a record of the unit in the store is damaged or missing until an operator repairs it.
RETRIED = (TransientError, ConflictError, CorruptError, MissingError)
BACKOFF = Backoff(schedule_s=(0.5, 2.0, 8.0, 30.0))


class Reconciler(Protocol[S, A]):
    """What a stage's ``reconcile.py`` brings along."""

    async def names(self) -> Sequence[str]:
        """The units of work now, each under a lease of its own (``labeler/<line>/<product>``)."""
        ...

    async def observe(self, name: str, /) -> S:
        """Read the state of one unit from the store."""
        ...

    def plan(self, state: S, now: datetime, /) -> Sequence[A]:
        """Say what is to be done. Pure."""
        ...

    async def act(self, name: str, action: A, /) -> None:
        """Do it. Safe to repeat, and safe beside another one who does the same."""
        ...


class LeasePort(Protocol):
    """Who works on what; blocking."""

    def acquire(self, name: str, ttl_s: float, /) -> Any | None:
        """Take the lease; None where somebody has it."""
        ...

    def renew(self, lease: Any, /) -> Any:
        """Keep it for another while; ConflictError where it was lost."""
        ...

    def release(self, lease: Any, /) -> None:
        """Give it back."""
        ...


async def reconcile(
    works: Reconciler[Any, Any],
    *,
    stage: str,
    leases: LeasePort,
    stop: asyncio.Event,
    nudge: asyncio.Event | None = None,
    every_s: float = 10.0,
    lease_s: float = 60.0,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Plan and act for every unit of work, every ``every_s`` and at each nudge, until ``stop``.

    Units go side by side; one that takes long holds up no other. On ``stop`` what is under way is cancelled: the
    next plan finds it again.

    Args:
        works: what to do.
        stage: for logs and metrics.
        leases: who works on what.
        stop: set it to end.
        nudge: set it to plan now; it is cleared here.
        every_s: between two looks at everything.
        lease_s: a holder that died is replaced after so long.
        clock: for the plan's now, and to wait on.

    Raises:
        Exception: whatever a plan or an action raises beside the errors of ``RETRIED`` is a bug.
    """
    rounds = _Rounds(works, stage=stage, leases=leases, lease_s=lease_s, clock=clock)
    nudge = nudge or asyncio.Event()
    bug: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            due_s = clock.monotonic()
            while not stop.is_set():
                if nudge.is_set() or clock.monotonic() >= min(due_s, rounds.next_retry_s):
                    nudge.clear()
                    due_s = clock.monotonic() + every_s
                    await rounds.start_all(group)
                await clock.sleep(TICK_S)
            rounds.cancel()
    except BaseExceptionGroup as failures:
        bug = failures.exceptions[0]
    if bug is not None:
        raise bug


class _Rounds(Generic[S, A]):
    def __init__(self, works: Reconciler[S, A], *, stage: str, leases: LeasePort, lease_s: float, clock: Clock) -> None:
        self._works, self._stage, self._leases = works, stage, leases
        self._lease_s, self._clock = lease_s, clock
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, int] = {}  # in a row, by unit
        self._retry_s: dict[str, float] = {}

    async def start_all(self, group: asyncio.TaskGroup) -> None:
        """Begin a look at every unit that is neither under way nor backing off."""
        try:
            names = await self._works.names()
        except TransientError as error:
            log.warning("reconcile_put_off", unit="names", reason=str(error))
            return
        now_s = self._clock.monotonic()
        for gone in self._retry_s.keys() - set(names):
            del self._retry_s[gone]
        for name in names:
            if name not in self._busy and now_s >= self._retry_s.get(name, 0.0):
                task = self._busy[name] = group.create_task(self._one(name), name=f"reconcile {name}")
                task.add_done_callback(functools.partial(self._end, name))

    def _end(self, name: str, _: asyncio.Task[None]) -> None:
        self._busy.pop(name, None)

    @property
    def next_retry_s(self) -> float:
        """When the first unit that is backing off may be looked at again."""
        return min((at_s for name, at_s in self._retry_s.items() if name not in self._busy), default=math.inf)

    def cancel(self) -> None:
        """Stop what is under way."""
        for task in self._busy.values():
            task.cancel()

    async def _one(self, name: str) -> None:
        span = trace.TraceSpan.root()
        trace.CURRENT.set(span)
        structlog.contextvars.bind_contextvars(traceparent=span.traceparent, unit=name)
        try:
            if await self._plan(name):  # a look without the lease: most rounds have nothing to do
                await self._act_on(name)
        except RETRIED as error:
            failures = self._failures[name] = self._failures.get(name, 0) + 1
            delay_s = BACKOFF.delay_s(failures - 1)
            self._retry_s[name] = self._clock.monotonic() + delay_s
            log.warning("reconcile_put_off", reason=str(error), attempt=failures, retry_s=round(delay_s, 3))
        else:
            self._failures.pop(name, None)
            self._retry_s.pop(name, None)

    async def _plan(self, name: str) -> Sequence[A]:
        return self._works.plan(await self._works.observe(name), self._clock.now())

    async def _act_on(self, name: str) -> None:
        lease = await asyncio.to_thread(self._leases.acquire, name, self._lease_s)
        if lease is None:
            return  # another replica is at it
        async with self._held(lease):
            for action in await self._plan(name):  # again: somebody may have done it before we had the lease
                kind = type(action).__name__
                log.info("action_started", action=kind)
                began_s = self._clock.monotonic()
                await self._works.act(name, action)
                metrics.ACTIONS.labels(self._stage, kind).inc()
                log.info("action_done", action=kind, seconds=round(self._clock.monotonic() - began_s, 3))

    @contextlib.asynccontextmanager
    async def _held(self, lease: Any) -> AsyncIterator[None]:
        held = [lease]
        renewing = asyncio.create_task(self._renew(held))
        try:
            yield
        finally:
            renewing.cancel()
            with contextlib.suppress(TransientError, ConflictError):  # it ends by itself
                await _to_the_end(asyncio.create_task(asyncio.to_thread(self._leases.release, held[0])))

    async def _renew(self, held: list[Any]) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                held[0] = await asyncio.to_thread(self._leases.renew, held[0]) or held[0]
            except (TransientError, ConflictError) as error:  # double work at worst; the pointers keep the truth
                log.warning("lease_not_renewed", reason=str(error))


async def _to_the_end(task: asyncio.Task[None]) -> None:
    """Wait for a task even if the waiting is cancelled; then let the cancellation through."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
