"""Handling of one work item: decode, handle, and dead-letter what is poison.

Every other failure passes through to the loop, which looks up its outcome.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.topics import dead_letter
from siad.runtime import metrics, spans, trace
from siad.runtime.bus.port import Message, Record
from siad.runtime.consumer.breaker import PoisonBreaker
from siad.runtime.consumer.dead_letters import DeadLetterKind, make_dead_letter
from siad.runtime.consumer.limits import Limits
from siad.runtime.consumer.partition import PartitionState, WorkItem
from siad.runtime.consumer.routes import Batch, OnPoison, Route
from siad.runtime.context import StageContext
from siad.runtime.outcomes import BreakerOpenError, SplitBatchError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one record is dead-lettered."""

    error: PoisonError
    kind: DeadLetterKind


class RecordHandling:
    """Turns a work item into the messages that are published for it."""

    def __init__(
        self, context: StageContext, limits: Limits, breaker: PoisonBreaker, on_poison: OnPoison | None
    ) -> None:
        self._context, self._limits, self._breaker, self._on_poison = context, limits, breaker, on_poison
        self._dead_letters = dead_letter(context.stage).name

    async def handle(self, partition: PartitionState, item: WorkItem) -> list[Message]:
        """Handle a work item within the trace of its record.

        Raises:
            SplitBatchError: the records of the batch are to be handled one at a time.
            BreakerOpenError: the record is held while the breaker is open.
            Exception: what the handler raised beside PoisonError.
        """
        records = item.records
        span = spans.follow(records[0].headers if len(records) == 1 else ())
        trace.CURRENT.set(span)  # of this task alone
        structlog.contextvars.bind_contextvars(traceparent=span.traceparent)
        others = [trace.follow(record.headers) for record in records] if len(records) > 1 else []
        topic = records[0].topic_partition.topic
        with spans.measured(span, f"handle {topic}", spans.SpanKind.CONSUMER, others=others) as running:
            messages = await self._messages(partition, item)
            running.attributes |= {"topic": topic, "offset": item.first, "records": len(records)}
            if any(message.topic == self._dead_letters for message in messages):
                running.error = "dead-lettered"
        return [trace.stamped(message, spans.kept(span, running)) for message in messages]

    async def _messages(self, partition: PartitionState, item: WorkItem) -> list[Message]:
        if partition.crash_count >= self._limits.crashes_max and item.first == partition.watermark:
            return await self._reject_crash(item.records[0], partition.crash_count)
        return await self._handle_unless_quarantined(partition.route, item)

    async def _handle_unless_quarantined(self, route: Route, item: WorkItem) -> list[Message]:
        rejections = {
            record.offset: Rejection(error, "quarantine")
            for record in item.records
            if (error := self._breaker.quarantine_error(record)) is not None
        }
        tried = [record for record in item.records if record.offset not in rejections]
        is_counted = False
        try:
            poison, answers = await self._try(route, item, tried)
            rejections |= {offset: Rejection(error, "poison") for offset, error in poison.items()}
            letters = await self._letters(item.records, rejections)
            self._count(tried, poison, is_batch=len(item.records) > 1)
            is_counted = True
        finally:
            if not is_counted:
                self._breaker.uncount(tried)
        self._report(item.records, rejections)
        return [*letters, *answers]

    async def _try(
        self, route: Route, item: WorkItem, tried: Sequence[Record]
    ) -> tuple[dict[int, PoisonError], Sequence[Message]]:
        """Decode and handle.

        Return the poison by offset, and what the handler answers for the others.
        """
        poison: dict[int, PoisonError] = {}
        decoded: list[tuple[Record, Any]] = []
        for record in tried:
            try:
                decoded.append((record, route.decode(record)))
            except PoisonError as error:
                poison[record.offset] = error
        if not decoded:
            return poison, ()
        batch = Batch(
            topic_partition=item.records[0].topic_partition,
            first=item.first,
            last=item.last,
            records=tuple(record for record, _ in decoded),
            decoded=tuple(value for _, value in decoded),
        )
        try:
            return poison, await self._call(route, batch)
        except PoisonError as error:
            if len(item.records) > 1:
                raise SplitBatchError from error
            return {item.first: error}, ()

    def _count(self, tried: Sequence[Record], poison: Mapping[int, PoisonError], *, is_batch: bool) -> None:
        """Ask the breaker whether the poison may be dead-lettered.

        A batch that may not is split and asked again.
        """
        try:
            self._breaker.count(tried, poison, is_batch=is_batch)
        except BreakerOpenError as error:
            if is_batch:
                raise SplitBatchError from error
            raise

    async def _call(self, route: Route, batch: Batch[Any]) -> Sequence[Message]:
        started_s = self._context.clock.monotonic()
        limit = asyncio.timeout(self._limits.handler_timeout_s)
        try:
            async with limit:
                return await route.on_batch(batch)
        except TimeoutError as error:
            if not limit.expired():
                raise
            msg = (
                f"the handler of {batch.topic_partition.topic}/{batch.topic_partition.partition} offset {batch.first} "
                f"took over {self._limits.handler_timeout_s:g} s; it was cancelled and is retried"
            )
            raise TransientError(msg) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            msg = "a task that the handler waited for was cancelled"  # not this one, which has no reason to end
            raise TransientError(msg) from error
        finally:
            elapsed_s = self._context.clock.monotonic() - started_s
            metrics.HANDLE_SECONDS.labels(self._context.stage, batch.topic_partition.topic).observe(
                elapsed_s, exemplar=spans.exemplar_of()
            )

    async def _reject_crash(self, record: Record, crash_count: int) -> list[Message]:
        reason = f"the process ended {crash_count} times in a row while this record was first in line"
        rejections = {record.offset: Rejection(PoisonError(reason), "crash")}
        letters = await self._letters([record], rejections)
        self._report([record], rejections)
        return letters

    async def _letters(self, records: Sequence[Record], rejections: Mapping[int, Rejection]) -> list[Message]:
        """Build the dead letters, each with what the stage answers beside it."""
        messages: list[Message] = []
        for record in records:
            if (rejection := rejections.get(record.offset)) is not None:
                messages += await self._answer(record, rejection.error)
                now, stage = self._context.clock.now(), self._context.stage
                messages.append(make_dead_letter(record, rejection.error, kind=rejection.kind, stage=stage, at=now))
        return messages

    async def _answer(self, record: Record, error: PoisonError) -> Sequence[Message]:
        if self._on_poison is None:
            return ()
        try:
            return await self._on_poison(record, error)
        except PoisonError as second:
            log.error("dead_letter_unanswered", reason=str(second), offset=record.offset)
            return ()

    def _report(self, records: Sequence[Record], rejections: Mapping[int, Rejection]) -> None:
        for record in records:
            if (rejection := rejections.get(record.offset)) is not None:
                topic_partition = record.topic_partition
                metrics.FAILED.labels(self._context.stage, topic_partition.topic, rejection.kind).inc()
                log.error(
                    "record_dead_lettered",
                    kind=rejection.kind,
                    reason=str(rejection.error),
                    topic=topic_partition.topic,
                    partition=topic_partition.partition,
                    offset=record.offset,
                )
