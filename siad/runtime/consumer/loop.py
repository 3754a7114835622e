"""Consume loop: fetch, handle, publish, then commit.

The order is the guarantee: results are published in offset order and acknowledged, and only then the offset below
which everything is published is committed. A crash before the commit repeats records and loses none. Several records
are handled at once within a bound. The loop keeps polling whatever it waits for, since a member that does not poll is
expelled from its group. With exactly-once delivery one transaction publishes and commits (``publishing``).

The loop owns the control flow. ``PartitionState`` and ``Scheduler`` are pure and return decisions, ``RecordHandling``
handles one work item, ``Committer`` and ``Pauses`` talk to the broker and to the operator.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from siad.runtime import metrics
from siad.runtime.bus.port import Consumer, Record
from siad.runtime.consumer.assignment import Assignment
from siad.runtime.consumer.breaker import PoisonBreaker
from siad.runtime.consumer.committer import Committer, Probe
from siad.runtime.consumer.handling import RecordHandling
from siad.runtime.consumer.limits import Limits
from siad.runtime.consumer.partition import PartitionState, WorkItem
from siad.runtime.consumer.pauses import Pauses
from siad.runtime.consumer.publishing import Publishing
from siad.runtime.consumer.scheduler import Scheduler
from siad.runtime.context import StageContext
from siad.runtime.outcomes import WAITING, Outcome, outcome_of, rule_of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopParts:
    """Parts that the loop works with."""

    consumer: Consumer
    publishing: Publishing
    probe: Probe
    assignment: Assignment
    breaker: PoisonBreaker
    pauses: Pauses
    committer: Committer
    scheduler: Scheduler
    handling: RecordHandling
    fetch_max: int  # records of one poll


class Loop:
    """One member of one group, and the tasks of its partitions."""

    def __init__(self, parts: LoopParts, context: StageContext, limits: Limits, group: asyncio.TaskGroup) -> None:
        self.blames_record = False  # a handler raised a bug: the crash marker stays, and counts against its record
        self._parts, self._context, self._limits, self._group = parts, context, limits, group
        self._partitions = parts.assignment.partitions
        self._tasks: defaultdict[PartitionState, set[asyncio.Task[None]]] = defaultdict(set)
        self._background: dict[str, asyncio.Task[None]] = {}  # lag, commit
        self._timers: set[asyncio.Task[None]] = set()  # wake the scheduler after a backoff
        self._poll_failures = 0
        self._lag_due_s = context.clock.monotonic()
        parts.assignment.owner = self

    async def run(self) -> None:
        """Repeat the loop until the stage stops, then drain and commit."""
        while not self._context.stop.is_set():
            await self._turn()
        await self._leave()

    async def _turn(self) -> None:
        self._context.health.tick()
        self._dispatch()
        self._update_pauses()
        for record in await self._poll():
            self._accept(record)
        self._dispatch()
        self._commit_when_due()
        now_s = self._context.clock.monotonic()
        if now_s >= self._lag_due_s:
            self._lag_due_s = now_s + self._limits.lag_every_s
            measure = partial(self._parts.committer.measure_lag, self._partitions, self._parts.probe)
            self._start_background("lag", measure)
        await asyncio.sleep(0)  # a poll that returned at once has not let other tasks run

    async def _poll(self) -> list[Record]:
        try:
            records = await self._parts.consumer.poll(max_records=self._parts.fetch_max, timeout_s=self._limits.poll_s)
        except Exception as error:
            if outcome_of(error) not in WAITING:
                raise
            delay_s = self._limits.backoff.delay_s(self._poll_failures)
            self._poll_failures += 1
            self._parts.pauses.pause("poll", None, error)
            log.warning("poll_failed", reason=str(error), retry_s=round(delay_s, 3), attempt=self._poll_failures)
            await self._context.clock.sleep(delay_s)
            return []
        self._poll_failures = 0
        self._parts.pauses.resume("poll", None)
        return records

    def _accept(self, record: Record) -> None:
        partition = self._partitions.get(record.topic_partition)
        if partition is None:
            if record.topic_partition not in self._parts.consumer.assigned():
                return  # it moved away since the fetch; its new owner reads it
            partition = self._parts.assignment.add(record.topic_partition)
        metrics.RECEIVED.labels(self._context.stage, record.topic_partition.topic).inc()
        partition.accept(record, now_s=self._context.clock.monotonic())
        if not partition.is_open and not partition.is_opening:
            partition.is_opening = True
            self._spawn(partition, self._open(partition))

    async def _open(self, partition: PartitionState) -> None:
        """Replace the crash marker of the last owner by this owner's.

        No record is handled before.
        """
        read = partial(self._parts.publishing.open, partition)
        partition.open(await self._parts.pauses.until_accepted("open", partition, read))
        if partition.is_isolated:
            log.warning(
                "partition_isolated",
                topic=partition.topic_partition.topic,
                partition=partition.topic_partition.partition,
                offset=partition.watermark,
                until=partition.isolated_until,
                crash_count=partition.crash_count,
            )
        else:
            await self._parts.committer.commit([partition])
        self._dispatch()

    def _dispatch(self) -> None:
        """Start every work item that may start."""
        while started := self._parts.scheduler.start(now_s=self._context.clock.monotonic()):
            for partition, item in started:
                self._spawn(partition, self._handle(partition, item))
            self._report_running()

    async def _handle(self, partition: PartitionState, item: WorkItem) -> None:
        """Handle one work item.

        Where it may end the process, the crash marker is committed before.
        """
        try:
            if partition.is_isolated:
                await self._commit_before_crash(partition)
            await self._try(partition, item)
        finally:
            self._parts.scheduler.finish()
            self._report_running()
        self._dispatch()

    async def _try(self, partition: PartitionState, item: WorkItem) -> None:
        """Handle one work item.

        What becomes of a failure is in the table of outcomes.
        """
        try:
            messages = await self._parts.handling.handle(partition, item)
        except Exception as error:
            match outcome_of(error):
                case Outcome.RETRY | Outcome.PAUSE:
                    await self._retry(partition, item, error)
                case Outcome.ISOLATE:
                    partition.isolate(item)
                case Outcome.HOLD:
                    partition.hold(item)
                    await self._commit_after_survival(partition)
                case outcome:
                    self.blames_record = outcome is not Outcome.RESTART
                    raise
        else:
            if partition.complete(item, messages):
                self._parts.pauses.resume("handle", partition.topic_partition)
            if not partition.is_publishing:
                partition.is_publishing = True
                self._spawn(partition, self._publish(partition))

    async def _commit_before_crash(self, partition: PartitionState) -> None:
        """Commit this partition's marker, and what the others have published.

        A crash is then counted here alone.
        """
        dirty = [other for other in self._partitions.values() if other is partition or other.is_dirty]
        await self._parts.committer.commit(dirty)

    async def _commit_after_survival(self, partition: PartitionState) -> None:
        """Clear the crash that an isolated partition's marker counts.

        The handler returned or raised.
        """
        if partition.is_isolated:
            await self._parts.committer.commit([partition])

    async def _retry(self, partition: PartitionState, item: WorkItem, error: Exception) -> None:
        delay_s = self._limits.backoff.delay_s(item.attempts)
        partition.retry(item, now_s=self._context.clock.monotonic(), delay_s=delay_s)
        topic_partition, fate = partition.topic_partition, rule_of(error).fate
        metrics.FAILED.labels(self._context.stage, topic_partition.topic, fate).inc()
        self._parts.pauses.pause("handle", topic_partition, error)
        log.warning(
            "record_put_back",
            fate=fate,
            reason=str(error) or type(error).__name__,
            topic=topic_partition.topic,
            partition=topic_partition.partition,
            offset=item.first,
            attempt=item.attempts,
            retry_s=round(delay_s, 3),
        )
        await self._commit_after_survival(partition)
        timer = self._group.create_task(self._dispatch_after(delay_s))
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    async def _dispatch_after(self, delay_s: float) -> None:
        await self._context.clock.sleep(delay_s)
        self._dispatch()

    async def _publish(self, partition: PartitionState) -> None:
        """Publish the items that are done, from the head on."""
        topic = partition.topic_partition.topic
        while items := partition.publishable():
            send = partial(self._parts.publishing.publish, partition, items)
            await self._parts.pauses.until_accepted("publish", partition, send)
            self._context.health.advance()
            now_s = self._context.clock.monotonic()
            for fetched in (fetched for item in items for fetched in item.fetched):
                metrics.DONE.labels(self._context.stage, topic).inc()
                metrics.RECORD_SECONDS.labels(self._context.stage, topic).observe(now_s - fetched.fetched_at_s)
            self._commit_when_due()
        partition.is_publishing = False
        self._dispatch()

    async def release(self, partitions: Sequence[PartitionState]) -> None:
        """Finish the work of partitions that move away, and commit it.

        What is not finished within the bound is cancelled; the next owner repeats it.
        """
        self._parts.breaker.reset_lines()
        if self._parts.committer.is_open:
            await self._drain(partitions)
            await self._parts.committer.final_commit(partitions)

    def drop(self, partition: PartitionState) -> None:
        """Cancel the tasks of a partition, and withdraw its reports."""
        for task in self._tasks.pop(partition, ()):
            task.cancel()
        self._parts.pauses.drop(partition.topic_partition)
        metrics.forget_lag(self._context.stage, partition.topic_partition)

    async def _leave(self) -> None:
        partitions = list(self._partitions.values())
        self._parts.consumer.pause(frozenset(self._partitions))
        drained = asyncio.create_task(self._drain(partitions))
        while not drained.done():
            await self._poll()  # everything is paused; this keeps the membership
        await drained
        for task in (*self._background.values(), *self._timers):
            task.cancel()
        left = [partition for partition in partitions if self._partitions.get(partition.topic_partition) is partition]
        await self._parts.committer.final_commit(left)
        for partition in left:
            self._parts.assignment.remove(partition)

    async def _drain(self, partitions: Sequence[PartitionState]) -> None:
        """Wait for the work in flight and start no new work.

        Cancel what is not done within the bound.
        """
        for partition in partitions:
            partition.is_closing = True
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._limits.drain_s
        while (tasks := self._tasks_of(partitions)) and (left_s := end_s - loop.time()) > 0:
            await asyncio.wait(tasks, timeout=left_s)
        for task in tasks:
            task.cancel()

    def _tasks_of(self, partitions: Sequence[PartitionState]) -> set[asyncio.Task[None]]:
        return {task for partition in partitions for task in self._tasks.get(partition, ())}

    def _commit_when_due(self) -> None:
        if self._parts.committer.is_due(self._partitions.values()):
            self._start_background("commit", self._commit_dirty)

    async def _commit_dirty(self) -> None:
        await self._parts.committer.commit_dirty(self._partitions.values())
        self._dispatch()

    def _update_pauses(self) -> None:
        is_open = self._parts.breaker.is_open
        pausing, resuming = self._parts.assignment.update_pauses(is_breaker_open=is_open)
        if pausing:
            self._parts.consumer.pause(pausing)
        if resuming:
            self._parts.consumer.resume(resuming)

    def _spawn(self, partition: PartitionState, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        tasks = self._tasks[partition]
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(self._close_commits)

    def _start_background(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if (old := self._background.get(name)) is None or old.done():
            task = self._background[name] = self._group.create_task(work())
            task.add_done_callback(self._close_commits)

    def _close_commits(self, task: asyncio.Task[None]) -> None:
        """Commit nothing more once a task has raised: the process ends."""
        if not task.cancelled() and task.exception() is not None:
            self._parts.committer.is_open = False

    def _report_running(self) -> None:
        metrics.IN_FLIGHT.labels(self._context.stage).set(self._parts.scheduler.running)
