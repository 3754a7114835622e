"""Reconcile loop of a stage: observe, plan, act, and observe again.

It does the work that is not the handling of one message. The plan is pure and depends on the store alone, so a process
that is killed anywhere leaves the same work to the next plan. A lease for each unit of work keeps two replicas from
doing it twice. Correctness does not depend on leases: pointers move by conditional puts, so two holders do no harm.
"""

import asyncio
import contextlib
import functools
import math
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog

from siad.contracts.errors import ConflictError, TransientError
from siad.runtime import metrics, spans, trace
from siad.runtime.backoff import Backoff
from siad.runtime.context import StageContext
from siad.runtime.outcomes import WAITING, Outcome, Rule, report_of, rule_of

log = structlog.get_logger()

S = TypeVar("S")
A = TypeVar("A")

TICK_S: Final = 0.2  # how soon a nudge, a stop or an elapsed backoff is noticed
LEASE_S: Final = 60.0  # a holder that was killed is replaced after so long
BACKOFF: Final = Backoff(schedule_s=(0.5, 2.0, 8.0, 30.0))
STAGE_WIDE: Final = frozenset({"denied", "machine"})  # fates of a unit that concern the whole stage


class Reconciler(Protocol[S, A]):
    """What a stage's ``reconcile.py`` implements."""

    async def names(self) -> Sequence[str]:
        """Return the units of work, which are also names of leases (``labeler/<line>/<product>``)."""
        ...

    async def observe(self, name: str, /) -> S:
        """Read the state of one unit from the store."""
        ...

    def plan(self, state: S, now: datetime, /) -> Sequence[A]:
        """Return the actions to take. Pure."""
        ...

    async def act(self, name: str, action: A, /) -> None:
        """Take one action; safe to repeat, also while another process takes it."""
        ...


class LeasePort(Protocol):
    """Leases of one holder; blocking calls."""

    def acquire(self, name: str, ttl_s: float, /) -> Any | None:
        """Take a lease; None while another process holds it."""
        ...

    def renew(self, lease: Any, /) -> Any:
        """Extend a lease; ConflictError where it was lost."""
        ...

    def release(self, lease: Any, /) -> None:
        """Return a lease."""
        ...


async def reconcile(
    reconciler: Reconciler[Any, Any],
    context: StageContext,
    leases: LeasePort,
    *,
    nudge: asyncio.Event | None = None,
    every_s: float = 10.0,
) -> None:
    """Plan and act for every unit of work until the stage stops.

    Units are handled side by side; a slow one delays no other. On stop, actions in flight are cancelled: the next plan
    finds them again.

    Args:
        reconciler: observes, plans and acts.
        context: stage, health, stop and clock.
        leases: one for each unit.
        nudge: set it to plan now; it is cleared here.
        every_s: time between two observations of everything.

    Raises:
        Exception: an error that ends the process by the table in ``siad.runtime.outcomes``, as it was raised.
    """
    units = _Units(reconciler, context, leases)
    nudge, clock = nudge or asyncio.Event(), context.clock
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            due_s = clock.monotonic()
            while not context.stop.is_set():
                if nudge.is_set() or clock.monotonic() >= min(due_s, units.next_retry_s):
                    nudge.clear()
                    due_s = clock.monotonic() + every_s
                    await units.start_all(group)
                await clock.sleep(TICK_S)
            units.cancel()
    except BaseExceptionGroup as failures:
        failure = failures.exceptions[0]
    finally:
        units.withdraw_reports()
    if failure is not None:
        raise failure


def _waiting_rule(error: Exception) -> Rule | None:
    """Return the rule of an error that puts a unit off.

    None for one that ends the process.

    A unit has no dead letter, so poison waits for an operator too.
    """
    rule = rule_of(error)
    return rule if rule.outcome in WAITING or rule.outcome is Outcome.DEAD_LETTER else None


class _Units(Generic[S, A]):
    """Tasks and backoffs of the units of work."""

    def __init__(self, reconciler: Reconciler[S, A], context: StageContext, leases: LeasePort) -> None:
        self._reconciler, self._context, self._leases = reconciler, context, leases
        self._clock = context.clock
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, int] = {}  # consecutive, by unit
        self._retry_s: dict[str, float] = {}

    async def start_all(self, group: asyncio.TaskGroup) -> None:
        """Start every unit that is neither running nor backing off."""
        try:
            names = await self._reconciler.names()
        except Exception as error:
            if (rule := _waiting_rule(error)) is None:
                raise
            self._report("names", error, rule)
            log.warning("reconcile_put_off", unit="names", fate=rule.fate, reason=str(error))
            return
        self._clear("names")
        now_s = self._clock.monotonic()
        for name in self._retry_s.keys() - set(names):
            del self._retry_s[name]
            self._clear(name)
        for name in names:
            if name not in self._busy and now_s >= self._retry_s.get(name, 0.0):
                task = self._busy[name] = group.create_task(self._reconcile(name), name=f"reconcile {name}")
                task.add_done_callback(functools.partial(self._end, name))

    def _end(self, name: str, _: asyncio.Task[None]) -> None:
        self._busy.pop(name, None)

    @property
    def next_retry_s(self) -> float:
        """Earliest time at which a unit's backoff ends."""
        return min((at_s for name, at_s in self._retry_s.items() if name not in self._busy), default=math.inf)

    def cancel(self) -> None:
        """Cancel the units that run."""
        for task in self._busy.values():
            task.cancel()

    def withdraw_reports(self) -> None:
        """Remove what this loop shows in readiness: it has ended."""
        for name in ("names", *self._failures):
            self._clear(name)

    async def _reconcile(self, name: str) -> None:
        span = spans.follow(())
        trace.CURRENT.set(span)
        structlog.contextvars.bind_contextvars(traceparent=span.traceparent, unit=name)
        try:
            with spans.measured(span, "reconcile", spans.SpanKind.INTERNAL) as running:
                running.is_left_out = True
                if await self._plan(name):  # without the lease first: most rounds have no work
                    running.is_left_out = False
                    await self._act_on(name)
        except Exception as error:
            if (rule := _waiting_rule(error)) is None:
                raise
            failures = self._failures[name] = self._failures.get(name, 0) + 1
            delay_s = BACKOFF.delay_s(failures - 1)
            self._retry_s[name] = self._clock.monotonic() + delay_s
            self._report(name, error, rule)
            log.warning(
                "reconcile_put_off", fate=rule.fate, reason=str(error), attempt=failures, retry_s=round(delay_s, 3)
            )
        else:
            self._failures.pop(name, None)
            self._retry_s.pop(name, None)
            self._clear(name)

    def _report(self, name: str, error: Exception, rule: Rule) -> None:
        """Show in readiness what concerns the whole stage.

        The failure of one unit stays in the log.
        """
        if rule.fate in STAGE_WIDE:
            self._context.health.reports[self._activity(name)] = report_of(error)

    def _clear(self, name: str) -> None:
        self._context.health.reports.pop(self._activity(name), None)

    def _activity(self, name: str) -> str:
        return f"{type(self._reconciler).__name__} {name}"

    async def _plan(self, name: str) -> Sequence[A]:
        return self._reconciler.plan(await self._reconciler.observe(name), self._clock.now())

    async def _act_on(self, name: str) -> None:
        lease = await asyncio.to_thread(self._leases.acquire, name, LEASE_S)
        if lease is None:
            return  # another replica holds it
        async with self._held(lease):
            for action in await self._plan(name):  # again: another replica may have acted before the lease was taken
                kind = type(action).__name__
                log.info("action_started", action=kind)
                started_s = self._clock.monotonic()
                with spans.step(f"act {kind}"):
                    await self._reconciler.act(name, action)
                metrics.ACTIONS.labels(self._context.stage, kind).inc()
                log.info("action_done", action=kind, seconds=round(self._clock.monotonic() - started_s, 3))

    @contextlib.asynccontextmanager
    async def _held(self, lease: Any) -> AsyncIterator[None]:
        held = [lease]
        renewing = asyncio.create_task(self._renew(held))
        try:
            yield
        finally:
            renewing.cancel()
            with contextlib.suppress(TransientError, ConflictError):  # the lease expires by itself
                await _finish(asyncio.create_task(asyncio.to_thread(self._leases.release, held[0])))

    async def _renew(self, held: list[Any]) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            try:
                held[0] = await asyncio.to_thread(self._leases.renew, held[0]) or held[0]
            except (TransientError, ConflictError) as error:  # at worst the work is done twice; the pointers stay right
                log.warning("lease_not_renewed", reason=str(error))


async def _finish(task: asyncio.Task[None]) -> None:
    """Wait for a task even while cancelled; then let the cancellation through."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
