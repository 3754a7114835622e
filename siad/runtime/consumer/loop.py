"""THE consume loop: fetch, handle, publish, then commit. No stage writes its own.

Order is the guarantee: results are published in offset order, all acknowledged, and only then is the offset below
which all is done committed. A crash before the commit repeats records; nothing can lose them. Several records are
handled at once within a bound. The loop polls whatever else it waits for: a member that does not poll is expelled.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog

from siad.contracts.errors import TransientError
from siad.runtime import metrics
from siad.runtime.bus.port import Bus, Consumer, Message, Producer, Record, TopicPartition
from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.consumer.breaker import BreakerOpenError, PoisonBreaker
from siad.runtime.consumer.broker_wait import BrokerWait
from siad.runtime.consumer.committer import Committer, Probe
from siad.runtime.consumer.outcomes import Outcomes, SplitBatchError
from siad.runtime.consumer.partition import PartitionState, WorkItem, WorkStatus
from siad.runtime.consumer.routes import BatchRoute, Handler, Limits, OnPoison, as_routes
from siad.runtime.health import Health

log = structlog.get_logger()


async def consume(
    bus: Bus,
    routes: Mapping[str, Handler | BatchRoute[Any]],
    *,
    stage: str,
    stop: asyncio.Event,
    health: Health,
    limits: Limits | None = None,
    on_poison: OnPoison | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Read the topics of ``routes`` as a member of group ``siad.<stage>`` until ``stop``, then drain, commit, leave.

    Args:
        bus: the broker; a group that never committed begins at the earliest record.
        routes: for each topic what handles its records, one by one or in batches.
        stage: whose group and whose dead letters.
        stop: set it to end in good order.
        health: is told of ticks, progress, pauses and lag.
        limits: when to wait, pause and give up.
        on_poison: says what to publish beside a dead letter (a line may wait for an answer).
        clock: for spans, waits and stamps.

    Raises:
        Exception: whatever a handler raises that is neither ``TransientError`` nor ``PoisonError`` is a bug and
            comes out here at once; nothing more is committed.
    """
    loop = Loop(routes, stage=stage, health=health, limits=limits or Limits(), on_poison=on_poison, clock=clock)
    async with (
        bus.producer() as producer,
        bus.consumer(
            list(routes), group=f"siad.{stage}", start="earliest", on_assign=loop.on_assign, on_revoke=loop.on_revoke
        ) as consumer,
    ):
        await loop.run(consumer, producer, stop, probe=bus.probe)


class Loop:
    """One member of one group: a lane for each partition it owns, and one bound over all handlers."""

    def __init__(
        self,
        routes: Mapping[str, Handler | BatchRoute[Any]],
        *,
        stage: str,
        health: Health,
        limits: Limits,
        on_poison: OnPoison | None,
        clock: Clock,
    ) -> None:
        self._routes = as_routes(routes)
        self._stage, self._health, self._limits, self._clock = stage, health, limits, clock
        self._alarm, self._patience = PoisonBreaker(stage, limits, health, clock), BrokerWait(health, limits, clock)
        self._fates = Outcomes(
            stage=stage,
            clock=clock,
            timeout_s=limits.handler_timeout_s,
            crashes_max=limits.crashes_max,
            on_poison=on_poison,
            alarm=self._alarm,
        )
        self._fetch_max = max(limits.max_in_flight, *(route.records_max for route in self._routes.values()))
        self._lanes: dict[TopicPartition, PartitionState] = {}
        self._paused: frozenset[TopicPartition] = frozenset()
        self._running = 0  # handlers
        self._is_alone = False  # the one that runs may end the process
        self._poll_failures = 0
        self._lag_due_s = clock.monotonic()
        self._chores: dict[str, asyncio.Task[None]] = {}
        self._may_commit = False  # not before there is a consumer, not after a bug
        self._consumer: Consumer
        self._producer: Producer
        self._commits: Committer
        self._group: asyncio.TaskGroup

    async def run(self, consumer: Consumer, producer: Producer, stop: asyncio.Event, *, probe: Probe) -> None:
        """Go round until ``stop``; a bug in any task comes out here."""
        self._consumer, self._producer, self._probe = consumer, producer, probe
        self._commits = Committer(consumer, self._stage, self._health, self._limits, self._clock)
        self._may_commit = True
        bug: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as self._group:
                while not stop.is_set():
                    await self._turn()
                await self._leave()
        except BaseExceptionGroup as failures:
            bug = failures.exceptions[0]
        finally:
            self._may_commit = False  # whoever left in good order has committed; whoever did not must not
            metrics.IN_FLIGHT.labels(self._stage).set(0)
            self._alarm.close()
        if bug is not None:
            raise bug

    async def _turn(self) -> None:
        self._health.tick()
        self._dispatch()
        self._steer()
        for record in await self._poll():
            self._accept(record)
        self._dispatch()
        self._commit_when_due()
        if self._clock.monotonic() >= self._lag_due_s:
            self._lag_due_s = self._clock.monotonic() + self._limits.lag_every_s
            self._chore("lag", lambda: self._commits.measure_lag(self._lanes.keys(), self._probe))
        await asyncio.sleep(0)  # a poll that had records at once has let nobody else run

    async def _poll(self) -> list[Record]:
        try:
            records = await self._consumer.poll(max_records=self._fetch_max, timeout_s=self._limits.poll_s)
        except TransientError as error:
            delay_s = self._limits.backoff.delay_s(self._poll_failures)
            self._poll_failures += 1
            self._health.pause("poll", "broker")
            log.warning("poll_failed", reason=str(error), retry_s=round(delay_s, 3), attempt=self._poll_failures)
            await self._clock.sleep(delay_s)
            return []
        self._poll_failures = 0
        self._health.go_on("poll")
        return records

    def _accept(self, record: Record) -> None:
        lane = self._lanes.get(record.topic_partition)
        if lane is None:
            if record.topic_partition not in self._consumer.assigned():
                return  # it moved away between the fetch and now; its new owner reads it
            lane = self._lanes[record.topic_partition] = self._new_lane(record.topic_partition)
        metrics.RECEIVED.labels(self._stage, record.topic_partition.topic).inc()
        lane.accept(record, now_s=self._clock.monotonic())
        if not lane.is_open and not lane.is_opening:
            lane.is_opening = True
            self._spawn(lane, self._open(lane))

    async def _open(self, lane: PartitionState) -> None:
        """Read the last owner's note, and leave one of our own before anything is handled."""
        attempt = 0
        while True:
            try:
                lane.open(await self._consumer.committed(lane.topic_partition))
                break
            except TransientError as error:
                attempt = await self._patience.wait_out("open", lane, error, attempt)
        if lane.is_careful:
            log.warning(
                "careful",
                topic=lane.topic_partition.topic,
                partition=lane.topic_partition.partition,
                offset=lane.watermark,
                until=lane.careful_until,
                strikes=lane.strikes,
            )
        else:
            await self._commits.commit([lane])
        self._patience.go_on(lane, "open")
        self._dispatch()

    # handling

    def _dispatch(self) -> None:
        """Start what may start; lanes take turns. A record that may end the process goes when nothing else goes.

        Else the death of the process would be laid to every record that was under way, and good ones be buried.
        """
        while self._running < self._limits.max_in_flight and not self._is_alone:
            now_s = self._clock.monotonic()
            ready = [lane for lane in self._lanes.values() if lane.is_ready(now_s=now_s)]
            if self._alarm.is_up:
                self._try_one(ready)
                return
            careful = [lane for lane in ready if lane.is_careful]
            busy = self._running or any(lane.is_publishing for lane in self._lanes.values())
            if not ready or (careful and busy):
                return
            for lane in careful[:1] or ready[: self._limits.max_in_flight - self._running]:
                self._start(lane)

    def _try_one(self, ready: Sequence[PartitionState]) -> None:
        """While the stage stands still: one record in a while, of one lane after the other."""
        innocent = [lane for lane in ready if lane.strikes < self._limits.crashes_max]  # no grave is dug now
        if innocent and not self._running and self._alarm.takes_turn():
            self._start(innocent[0])

    def _start(self, lane: PartitionState) -> None:
        self._lanes[lane.topic_partition] = self._lanes.pop(lane.topic_partition)  # to the end of the queue
        parcel = lane.next_trial() if self._alarm.is_up else lane.next_parcel()
        parcel.stand, parcel.started_s = WorkStatus.RUNNING, self._clock.monotonic()
        self._is_alone = lane.is_careful
        self._count(+1)
        self._spawn(lane, self._work(lane, parcel))

    async def _work(self, lane: PartitionState, parcel: WorkItem) -> None:
        try:
            if lane.is_careful:  # also what the others have done: else this death would be laid to them
                await self._commits.commit([one for one in self._lanes.values() if one is lane or one.is_dirty])
            parcel.messages = await self._fates.answer(lane, parcel)
        except TransientError as error:
            await self._put_back(lane, parcel, error)
        except SplitBatchError:
            lane.split(parcel)
        except BreakerOpenError:
            await self._hold(lane, parcel)
        else:
            parcel.stand = WorkStatus.DONE
            if lane.works_again(started_s=parcel.started_s):
                self._health.go_on(f"handle {lane.topic_partition}")
            if not lane.is_publishing:
                lane.is_publishing = True
                self._spawn(lane, self._publish(lane))
        finally:
            self._is_alone = False  # whoever is alone is the only one to get here
            self._count(-1)
        self._dispatch()

    async def _hold(self, lane: PartitionState, parcel: WorkItem) -> None:
        lane.hold(parcel)
        if lane.is_careful:
            await self._commits.commit([lane])  # it came back alive: standing still must not count as dying

    async def _put_back(self, lane: PartitionState, parcel: WorkItem, error: TransientError) -> None:
        delay_s = self._limits.backoff.delay_s(parcel.attempts)
        lane.fail(parcel, now_s=self._clock.monotonic(), delay_s=delay_s)
        metrics.FAILED.labels(self._stage, lane.topic_partition.topic, "transient").inc()
        self._health.pause(f"handle {lane.topic_partition}", "transient")
        log.warning(
            "record_put_back",
            reason=str(error),
            topic=lane.topic_partition.topic,
            partition=lane.topic_partition.partition,
            offset=parcel.first,
            attempt=parcel.attempts,
            retry_s=round(delay_s, 3),
        )
        if lane.is_careful:
            await self._commits.commit([lane])  # it came back alive: waiting must not count as dying
        task = self._group.create_task(self._wake(delay_s))
        lane.wakers.add(task)
        task.add_done_callback(lane.wakers.discard)

    async def _wake(self, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        self._dispatch()

    async def _publish(self, lane: PartitionState) -> None:
        """Publish what is done, from the head, until the head is not done."""
        while run := lane.due():
            await self._publish_run(lane, [message for parcel in run for message in parcel.messages])
            lane.settle(run)
            self._health.advance()
            now_s = self._clock.monotonic()
            for arrival in (arrival for parcel in run for arrival in parcel.arrivals):
                metrics.DONE.labels(self._stage, lane.topic_partition.topic).inc()
                metrics.RECORD_SECONDS.labels(self._stage, lane.topic_partition.topic).observe(now_s - arrival.at_s)
            self._commit_when_due()
        lane.is_publishing = False
        self._dispatch()

    async def _publish_run(self, lane: PartitionState, messages: Sequence[Message]) -> None:
        """Publish until acknowledged. Always the very same messages: the producer may still have them under way."""
        attempt = 0
        while messages:
            try:
                await self._producer.publish(messages)
                break
            except TransientError as error:
                attempt = await self._patience.wait_out("publish", lane, error, attempt)
        self._patience.go_on(lane, "publish")

    # coming and going

    async def on_assign(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Begin anew with these places: what was known of them may be another member's past."""
        for topic_partition in topic_partitions:
            if (old := self._lanes.pop(topic_partition, None)) is not None:
                self._drop(old)
            self._lanes[topic_partition] = self._new_lane(topic_partition)

    async def on_revoke(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Finish what is in hand within a bound, commit what is done, forget the rest: its new owner repeats it."""
        lanes = [self._lanes[topic_partition] for topic_partition in topic_partitions if topic_partition in self._lanes]
        self._alarm.forget_lines()
        if self._may_commit:
            await self._drain(lanes)
            if self._may_commit:  # still: what was drained may have held a bug
                await self._commits.say_goodbye(lanes)
        for lane in lanes:
            if self._lanes.get(lane.topic_partition) is lane:
                del self._lanes[lane.topic_partition]
            self._drop(lane)

    async def _leave(self) -> None:
        lanes = list(self._lanes.values())
        self._consumer.pause(frozenset(self._lanes))
        drained = asyncio.create_task(self._drain(lanes))
        while not drained.done():
            await self._poll()  # paused; only to stay a member
        await drained
        for chore in self._chores.values():
            chore.cancel()
        await self._commits.say_goodbye([lane for lane in lanes if self._lanes.get(lane.topic_partition) is lane])
        for lane in lanes:
            self._drop(lane)
        self._lanes.clear()

    async def _drain(self, lanes: Sequence[PartitionState]) -> None:
        """Wait for what is in hand, start nothing new; after the bound what is left is cancelled."""
        for lane in lanes:
            lane.is_closing = True
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._limits.drain_s
        while (tasks := {task for lane in lanes for task in lane.tasks}) and (left_s := end_s - loop.time()) > 0:
            await asyncio.wait(tasks, timeout=left_s)
        for task in tasks:
            task.cancel()

    def _commit_when_due(self) -> None:
        if self._commits.is_due(self._lanes.values()):
            self._chore("commit", self._commit_dirty)

    async def _commit_dirty(self) -> None:
        await self._commits.commit_dirty(self._lanes.values())
        self._dispatch()

    def _new_lane(self, topic_partition: TopicPartition) -> PartitionState:
        route = self._routes[topic_partition.topic]
        return PartitionState(topic_partition, route, bound=max(self._limits.max_in_flight, 2 * route.records_max))

    def _drop(self, lane: PartitionState) -> None:
        for task in lane.tasks | lane.wakers:
            task.cancel()
        self._paused -= {lane.topic_partition}
        for what in ("open", "handle", "publish", "commit"):
            self._health.go_on(f"{what} {lane.topic_partition}")
        metrics.forget_lag(self._stage, lane.topic_partition)

    def _steer(self) -> None:
        """Fetch nothing for lanes that are full or failing; fetch again when they have room and work.

        While the stage stands still a lane with nothing in hand may fetch: there must be something to try.
        """
        wanted = frozenset(
            topic_partition
            for topic_partition, lane in self._lanes.items()
            if lane.is_held
            or (self._alarm.is_up and lane.in_hand)
            or lane.in_hand >= (lane.bound // 2 + 1 if topic_partition in self._paused else lane.bound)
        )
        if pausing := wanted - self._paused:
            self._consumer.pause(pausing)
        if resuming := self._paused - wanted:
            self._consumer.resume(resuming)
        self._paused = wanted

    def _spawn(self, lane: PartitionState, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        lane.tasks.add(task)
        task.add_done_callback(lane.tasks.discard)
        task.add_done_callback(self._see)

    def _see(self, task: asyncio.Task[None]) -> None:
        """A bug: from here on nothing may be committed, whoever asks."""
        if not task.cancelled() and task.exception() is not None:
            self._may_commit = False

    def _chore(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if (old := self._chores.get(name)) is None or old.done():
            task = self._chores[name] = self._group.create_task(work())
            task.add_done_callback(self._see)

    def _count(self, step: int) -> None:
        self._running += step
        metrics.IN_FLIGHT.labels(self._stage).set(self._running)
