"""Log reader of the embedded bus."""

import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from siad.contracts.errors import TransientError
from siad.runtime.bus.embedded.log import partition_ranges, read
from siad.runtime.bus.embedded.sqlite_thread import ChangeWatcher, SqliteThread
from siad.runtime.bus.port import Record, TopicPartition, first_offset

BATCH_MAX = 500  # records of one partition in one batch


@dataclass(frozen=True, slots=True)
class LogStart:
    """Where to begin in one topic."""

    topic: str
    last: int  # records before the end of each partition
    resume_at: Mapping[int, int]  # offsets that take precedence, by partition


class EmbeddedLogReader:
    """Reads one work topic from a start."""

    def __init__(self, thread: SqliteThread, watcher: ChangeWatcher, start: LogStart) -> None:
        self._thread, self._watcher, self._start = thread, watcher, start
        self.begun_at: Mapping[int, int] = {}
        self._positions: dict[TopicPartition, int] = {}
        self.is_complete = False

    async def backlog(self) -> AsyncIterator[list[Record]]:
        """Read in batches up to the present end."""
        self._positions, ends, self.is_complete = await self._thread.run(_start_positions, self._start)
        self.begun_at = {place.partition: at for place, at in self._positions.items()}
        while any(self._positions[partition] < end for partition, end in ends.items()):
            yield await self._next()

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """Read records published since; [] after ``timeout_s``."""
        end_s = time.monotonic() + timeout_s
        while True:
            generation = self._watcher.generation
            records = await self._next()
            left_s = end_s - time.monotonic()
            if records or left_s <= 0:
                return records
            await self._watcher.wait(generation, left_s)

    async def _next(self) -> list[Record]:
        records, oldest = await self._thread.run(_read_from, dict(self._positions))
        self._positions = {partition: max(at, oldest[partition]) for partition, at in self._positions.items()}
        self._positions |= {record.topic_partition: record.offset + 1 for record in records}
        return records


def _start_positions(
    connection: sqlite3.Connection, start: LogStart
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int], bool]:
    """Start offsets, end offsets, and whether every start is the oldest record."""
    ranges = partition_ranges(connection, [start.topic])
    if not ranges:
        msg = f"topic {start.topic} does not exist; create it first"
        raise TransientError(msg)
    starts = {
        place: first_offset(held.oldest, held.next, last=start.last, resume_at=start.resume_at.get(place.partition))
        for place, held in ranges.items()
    }
    is_complete = all(starts[partition] == held.oldest for partition, held in ranges.items())
    return starts, {partition: held.next for partition, held in ranges.items()}, is_complete


def _read_from(
    connection: sqlite3.Connection, positions: dict[TopicPartition, int]
) -> tuple[list[Record], dict[TopicPartition, int]]:
    """Records from given offsets on, and each partition's oldest offset."""
    ranges = partition_ranges(connection, {partition.topic for partition in positions})
    records = [
        record
        for partition, offset in positions.items()
        if ranges[partition].next > offset
        for record in read(connection, partition, ranges[partition].id, offset=offset, count=BATCH_MAX)
    ]
    return records, {partition: held.oldest for partition, held in ranges.items()}
