"""What becomes of records: an answer, another try, a grave, or the end of the process.

``TransientError`` and bugs pass through; poison is answered for here: it is kept whole, with its place and the
reason, and the stage may say something beside it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import structlog

from siad.contracts.codec import encode
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import DeadLetter
from siad.contracts.topics import dead_letter
from siad.runtime import metrics, trace
from siad.runtime.bus.port import Message, Record, bytes_max
from siad.runtime.clock import Clock
from siad.runtime.consumer.breaker import BreakerOpenError, PoisonBreaker
from siad.runtime.consumer.partition import PartitionState, WorkItem
from siad.runtime.consumer.routes import Batch, OnPoison, Route

log = structlog.get_logger()

DeadLetterKind = Literal["poison", "crash", "quarantine"]

REASON_MAX = 2_000  # characters
ROOM_BYTES = 10_240  # for place and reason beside the payload


def bury(record: Record, error: PoisonError, *, kind: str, stage: str, at: datetime) -> Message:
    """Write the dead letter of one record.

    A payload that would not fit (only a stranger can have sent it: the bus takes no such event) is cut, and the
    reason says so.
    """
    topic = dead_letter(stage).name
    payload, reason = record.value or b"", str(error)[:REASON_MAX] or type(error).__name__
    room = bytes_max(topic) - ROOM_BYTES - len(record.key)
    if len(payload) > room:
        reason = f"{reason} [payload cut from {len(payload)} to {room} bytes]"
        payload = payload[:room]
    letter = DeadLetter(
        topic=record.topic_partition.topic,
        partition=record.topic_partition.partition,
        offset=record.offset,
        key=record.key,
        payload=payload,
        kind=kind,
        reason=reason,
        buried_at=at,
    )
    return Message(topic=topic, key=record.key.decode("utf-8", "replace"), value=encode(letter), headers=record.headers)


class SplitBatchError(Exception):
    """A batch holds poison and nobody knows where: its records must be handled one at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Turns a parcel into what is to be published for it."""

    stage: str
    clock: Clock
    timeout_s: float
    crashes_max: int
    on_poison: OnPoison | None
    alarm: PoisonBreaker

    async def answer(self, lane: PartitionState, parcel: WorkItem) -> list[Message]:
        """Handle a parcel in the trace it belongs to.

        Raises:
            TransientError: try again later.
            SplitError: take the batch apart.
            HeldError: keep it in hand, for the stage stands still.
        """
        arrivals = parcel.arrivals
        span = trace.follow(arrivals[0].record.headers if len(arrivals) == 1 else ())
        trace.CURRENT.set(span)  # this task's own: nobody else sees it
        structlog.contextvars.bind_contextvars(traceparent=span.traceparent)
        if lane.strikes >= self.crashes_max and parcel.first == lane.watermark:
            reason = PoisonError(f"the process ended {lane.strikes} times running while this record was first in line")
            messages = await self._bury(arrivals[0].record, reason, kind="crash")
        else:
            messages = await self._handle(lane, parcel)
        return [trace.stamped(message, span) for message in messages]

    async def _handle(self, lane: PartitionState, parcel: WorkItem) -> list[Message]:
        topic_partitions = {one.record.offset: self.alarm.bars(one.record) for one in parcel.arrivals}
        barred = {offset: error for offset, error in topic_partitions.items() if error is not None}
        tried = [one for one in parcel.arrivals if one.record.offset not in barred]
        spoilt = {one.record.offset: one.poison for one in tried if one.poison is not None}
        batch = parcel.batch(lane.topic_partition, without=barred.keys() | spoilt.keys())
        is_batch = len(parcel.arrivals) > 1
        answers: Sequence[Message] = ()
        try:
            if batch.records:
                answers = await self._call(lane.route, batch)
        except TransientError:
            self.alarm.give_back([one.record for one in tried])
            raise
        except PoisonError as error:
            if is_batch:
                self.alarm.give_back([one.record for one in tried])
                raise SplitBatchError from error
            spoilt[batch.first] = error
        self._tell([one.record for one in tried], spoilt, is_batch=is_batch)
        messages: list[Message] = []
        for record in (one.record for one in parcel.arrivals):
            if (poison := spoilt.get(record.offset)) is not None:
                messages += await self._bury(record, poison, kind="poison")
            elif (reason := barred.get(record.offset)) is not None:
                messages += await self._bury(record, reason, kind="quarantine")
        return [*messages, *answers]

    def _tell(self, tried: Sequence[Record], spoilt: Mapping[int, PoisonError], *, is_batch: bool) -> None:
        """Ask whether the poison may be buried; of a batch that may not, as much as may is found one by one."""
        try:
            self.alarm.tell(tried, spoilt, is_batch=is_batch)
        except BreakerOpenError as held:
            if is_batch:
                raise SplitBatchError from held
            raise

    async def _call(self, route: Route, batch: Batch[Any]) -> Sequence[Message]:
        began_s = self.clock.monotonic()
        bound = asyncio.timeout(self.timeout_s)
        try:
            async with bound:
                return await route.on_batch(batch)
        except TimeoutError as error:
            if not bound.expired():
                raise  # the handler's own, and a bug: its ports speak of TransientError
            msg = f"the handler of {batch.topic_partition} offset {batch.first} took over {self.timeout_s:g} s"
            raise TransientError(msg) from error
        finally:
            spent_s = self.clock.monotonic() - began_s
            metrics.HANDLE_SECONDS.labels(self.stage, batch.topic_partition.topic).observe(spent_s)

    async def _bury(self, record: Record, error: PoisonError, *, kind: DeadLetterKind) -> list[Message]:
        said = [] if self.on_poison is None else list(await self.on_poison(record, error))
        metrics.FAILED.labels(self.stage, record.topic_partition.topic, kind).inc()
        log.error(
            "record_buried",
            kind=kind,
            reason=str(error),
            topic=record.topic_partition.topic,
            partition=record.topic_partition.partition,
            offset=record.offset,
        )
        return [*said, bury(record, error, kind=kind, stage=self.stage, at=self.clock.now())]
