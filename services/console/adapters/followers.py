"""Readers of whole topics, without a consumer group.

Every console holds what it reads in memory.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Generic, TypeVar

import structlog

from siad.contracts.codec import decode
from siad.contracts.errors import DeniedError, PoisonError, TransientError
from siad.contracts.topics import Topic
from siad.runtime.backoff import Backoff
from siad.runtime.bus.port import Bus, LogReader, Record
from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.outcomes import report_of

log = structlog.get_logger()

POLL_S: Final = 0.5  # longest wait for records; a stop is noticed as late
E = TypeVar("E")


async def _nothing() -> None:
    """Do nothing after the backlog."""


class TopicFollower(Generic[E]):
    """Applies the newest records of one work topic, then those that follow."""

    def __init__(
        self,
        topic: Topic,
        kind: type[E],
        apply: Callable[[E], None],
        *,
        last: int,
        after_backlog: Callable[[], Awaitable[None]] = _nothing,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Describe the reading; ``follow`` does it.

        Args:
            topic: a work topic.
            kind: its event type.
            apply: called with every event; a repeat must be harmless.
            last: records before the end of each partition to begin at.
            after_backlog: called once the present end is reached; may raise TransientError, then all is read again.
            clock: for waits.
        """
        self._topic, self._kind, self._apply, self._last = topic, kind, apply, last
        self._after_backlog, self._clock = after_backlog, clock
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
                async with bus.tail(self._topic.name, last=self._last) as reader:
                    await self._read_backlog(reader, stop)
                    attempt, self._denied = 0, ""
                    while not stop.is_set():
                        self._apply_all(await reader.changes(timeout_s=POLL_S))
            except TransientError as error:
                delay_s = backoff.delay_s(attempt)
                attempt += 1
                self._denied = report_of(error)
                log.warning("topic_away", topic=self._topic.name, reason=str(error), retry_s=round(delay_s, 3))
                await self._clock.sleep(delay_s)

    async def _read_backlog(self, reader: LogReader, stop: asyncio.Event) -> None:
        async for records in reader.backlog():
            self._apply_all(records)
            if stop.is_set():
                return
            await asyncio.sleep(0)  # requests are answered meanwhile
        await self._after_backlog()
        self._is_ready = True
        self._read.set()

    def _apply_all(self, records: Iterable[Record]) -> None:
        for record in records:
            try:
                event = decode(self._kind, record.value)
            except PoisonError as error:  # the stages that act on it dead-letter it
                log.warning("record_left_out", topic=self._topic.name, offset=record.offset, reason=str(error))
                continue
            self._apply(event)
