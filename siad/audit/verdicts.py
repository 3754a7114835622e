"""Verdicts of a plant: the newest, and new ones as published.

Read without a consumer group: the reader stores no offset, takes no partition from a stage and leaves nothing behind.
"""

from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field

import structlog

from siad.contracts.codec import decode
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import VerdictGiven
from siad.contracts.topics import VERDICT
from siad.runtime.bus.port import Bus, LogReader, Record
from siad.runtime.clock import SYSTEM_CLOCK, Clock

FIND_WINDOW = 1000  # records of each partition that a search for one verdict reads first
ALL = 2**62  # records of a partition: more than there are
WINDOW_GROWTH = 8  # how much further back the next attempt begins where too few verdicts matched
POLL_S = 1.0  # one wait for new verdicts
PROBE_EVERY = 10  # waits without a verdict
RETRY_S = 2.0  # between two attempts while the broker is unavailable

log = structlog.get_logger()


@dataclass(slots=True)
class _Newest:
    """The newest verdicts, of one line or all, among those added."""

    limit: int
    line: str | None
    _kept: list[VerdictGiven] = field(default_factory=list)

    def add(self, records: Iterable[Record]) -> None:
        self._kept += _decode(records, self.line)
        if len(self._kept) > 2 * self.limit:
            self._kept = self.verdicts()

    def verdicts(self) -> list[VerdictGiven]:
        ordered = _in_order(self._kept)
        return ordered[max(0, len(ordered) - self.limit) :]


class VerdictLog:
    """Reads the verdict topic of one plant."""

    def __init__(self, bus: Bus, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._bus, self._clock = bus, clock

    async def read(
        self, *, limit: int, line: str | None = None, follow: bool = False
    ) -> AsyncGenerator[VerdictGiven, None]:
        """Read the newest ``limit`` verdicts, oldest first.

        With ``follow`` also every later one, without end.

        Args:
            limit: verdicts of the past.
            line: only verdicts of this line.
            follow: continue with new verdicts; an unavailable broker is retried.

        Raises:
            TransientError: the topic does not exist yet, or the broker is unavailable at the start.
        """
        window = limit
        while True:
            async with self._bus.tail(VERDICT.name, last=window) as reader:
                newest = _Newest(limit, line)
                async for records in reader.backlog():
                    newest.add(records)
                verdicts = newest.verdicts()
                if len(verdicts) == limit or reader.is_complete:
                    for verdict in verdicts:
                        yield verdict
                    while follow:
                        for verdict in _in_order(_decode(await self._changes(reader), line)):
                            yield verdict
                    return
            window *= WINDOW_GROWTH

    async def find(self, matches: Callable[[VerdictGiven], bool]) -> list[VerdictGiven]:
        """Read the verdicts that match, oldest first, from the newest records backwards.

        The search ends with the first stretch of the topic that has one, or at its oldest record.

        Raises:
            TransientError: the topic does not exist yet, or the broker is unavailable.
        """
        window = FIND_WINDOW
        while True:
            found: list[VerdictGiven] = []
            async with self._bus.tail(VERDICT.name, last=window) as reader:
                async for records in reader.backlog():
                    found += [verdict for verdict in _decode(records, None) if matches(verdict)]
                if found or reader.is_complete:
                    return _in_order(found)
            window *= WINDOW_GROWTH

    async def find_all(self, matches: Callable[[VerdictGiven], bool]) -> tuple[list[VerdictGiven], int]:
        """Read every verdict of the topic that matches, oldest first.

        Also how many records were searched.

        Raises:
            TransientError: the topic does not exist yet, or the broker is unavailable.
        """
        found: list[VerdictGiven] = []
        searched = 0
        async with self._bus.tail(VERDICT.name, last=ALL) as reader:
            async for records in reader.backlog():
                searched += len(records)
                found += [verdict for verdict in _decode(records, None) if matches(verdict)]
        return _in_order(found), searched

    async def _changes(self, reader: LogReader) -> list[Record]:
        """Wait for new records; log an unavailable broker once for each outage.

        The Kafka client returns no records while its broker is away, so a quiet topic is probed now and then.
        """
        polls, is_reported = 0, False
        while True:
            try:
                if records := await reader.changes(timeout_s=POLL_S):
                    return records
                polls += 1
                if polls % PROBE_EVERY == 0:
                    await self._bus.probe()
                    is_reported = False
            except TransientError as error:
                if not is_reported:
                    log.warning("broker_unavailable", error=str(error), retry_s=RETRY_S)
                is_reported = True
                await self._clock.sleep(RETRY_S)


def _decode(records: Iterable[Record], line: str | None) -> list[VerdictGiven]:
    """Decode the verdicts of one line.

    A record that cannot be decoded is logged and skipped.
    """
    verdicts = []
    for record in records:
        try:
            verdict = decode(VerdictGiven, record.value)
        except PoisonError as error:
            place = record.topic_partition
            log.warning("verdict_unreadable", partition=place.partition, offset=record.offset, error=str(error))
            continue
        if line in (None, verdict.line):
            verdicts.append(verdict)
    return verdicts


def _in_order(verdicts: Iterable[VerdictGiven]) -> list[VerdictGiven]:
    return sorted(verdicts, key=lambda verdict: (verdict.judged_at, verdict.capture_id))
