"""Readers of whole topics, without a consumer group.

Every console reads them: into the projection, which keeps the offsets of what it applied, and into its memory.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

from services.console.ports import Projection, TopicBatch, TopicRecord
from siad.contracts.codec import decode
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.errors import DeniedError, PoisonError, TransientError
from siad.contracts.events import PseudoMaskCreated, VerdictGiven
from siad.contracts.topics import Topic
from siad.runtime.backoff import Backoff
from siad.runtime.bus.port import Bus, LogReader, Record
from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.outcomes import report_of

log = structlog.get_logger()

POLL_S: Final = 0.5  # longest wait for records; a stop is noticed as late
E = TypeVar("E", bound=VerdictGiven | PseudoMaskCreated | CaptureCorrected)


async def _nothing() -> None:
    """Do nothing after the backlog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions:
    """How a topic is read."""

    projection: Projection
    last: int  # records before the end of each partition to begin at, where the projection has none
    # called once the present end is reached; may raise TransientError, then it is read again from the last offset
    after_backlog: Callable[[], Awaitable[None]] = _nothing
    clock: Clock = SYSTEM_CLOCK


class TopicFollower(Generic[E]):
    """Applies the newest records of one work topic, then those that follow."""

    def __init__(
        self,
        topic: Topic,
        kind: type[E],
        apply: Callable[[E], None],
        options: ReadingOptions,
    ) -> None:
        """Describe the reading; ``follow`` does it.

        Args:
            topic: a work topic.
            kind: its event type.
            apply: called with every event, once the projection has it; a repeat must be harmless.
            options: where to begin, and what to do at the end.
        """
        self._topic, self._kind, self._apply, self._options = topic, kind, apply, options
        self._is_ready = False
        self._read = asyncio.Event()
        self._denied = ""

    async def check(self) -> None:
        """Raise TransientError until the topic was read, or while it is denied."""
        if self._denied:
            raise DeniedError(self._denied)
        if not self._is_ready:
            msg = f"{self._topic.name} has not been read to its end yet"
            raise TransientError(msg)

    async def wait_ready(self) -> None:
        """Return once the topic was read to its end."""
        await self._read.wait()

    async def follow(self, bus: Bus, stop: asyncio.Event) -> None:
        """Read the topic until ``stop``.

        While the broker is unavailable, what was read stays.
        """
        backoff, attempt = Backoff(), 0
        while not stop.is_set():
            try:
                positions = await self._options.projection.positions(self._topic.name)
                async with bus.tail(self._topic.name, last=self._options.last, resume_at=positions) as reader:
                    await self._read_backlog(reader, stop, positions)
                    attempt, self._denied = 0, ""
                    while not stop.is_set():
                        await self._apply_all(await reader.changes(timeout_s=POLL_S))
            except TransientError as error:
                delay_s = backoff.delay_s(attempt)
                attempt += 1
                self._denied = report_of(error)
                log.warning("topic_away", topic=self._topic.name, reason=str(error), retry_s=round(delay_s, 3))
                await self._options.clock.sleep(delay_s)

    async def _read_backlog(self, reader: LogReader, stop: asyncio.Event, positions: Mapping[int, int]) -> None:
        is_begun = False
        async for records in reader.backlog():
            if not is_begun:
                await self._rewind(reader, positions)
                is_begun = True
            await self._apply_all(records)
            if stop.is_set():
                return
            await asyncio.sleep(0)  # requests are answered meanwhile
        if not is_begun:
            await self._rewind(reader, positions)
        await self._options.after_backlog()
        self._is_ready = True
        self._read.set()

    async def _rewind(self, reader: LogReader, positions: Mapping[int, int]) -> None:
        """Set the projection back where the topic was deleted and created again."""
        back = {place: at for place, at in reader.begun_at.items() if at < positions.get(place, 0)}
        if back:
            log.warning("topic_created_again", topic=self._topic.name, partitions=sorted(back))
            await self._options.projection.rewind(self._topic.name, back)

    async def _apply_all(self, records: Sequence[Record]) -> None:
        if not records:
            return
        events = [self._decode(record) for record in records]
        read = [
            TopicRecord(record.topic_partition.partition, record.offset, event)
            for record, event in zip(records, events, strict=True)
        ]
        await self._options.projection.apply(TopicBatch(self._topic.name, read))
        for event in events:
            if event is not None:
                self._apply(event)

    def _decode(self, record: Record) -> E | None:
        try:
            return decode(self._kind, record.value)
        except PoisonError as error:  # the stages that act on it dead-letter it
            log.warning("record_left_out", topic=self._topic.name, offset=record.offset, reason=str(error))
            return None
