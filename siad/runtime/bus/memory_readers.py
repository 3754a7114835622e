"""Readers of the in-memory bus that need no consumer group."""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from siad.runtime.bus.port import NOT_READ, Record, TopicPartition, first_offset

if TYPE_CHECKING:
    from siad.runtime.bus.memory import MemoryBus


class MemoryStateReader:
    """Reads one state topic of a ``MemoryBus`` completely."""

    def __init__(self, bus: "MemoryBus", topic_partition: TopicPartition) -> None:
        self._bus, self._partition, self._position = bus, topic_partition, 0

    async def snapshot(self) -> dict[str, Record]:
        """The last record of each key that is not deleted."""
        table: dict[str, Record] = {}
        for record in self._next():
            if record.value is None:
                table.pop(record.key.decode(), None)
            else:
                table[record.key.decode()] = record
        return table

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """Records published since, in order; [] after ``timeout_s``."""
        if records := self._next():
            return records
        await self._bus.wait_for_publish(timeout_s)
        return self._next()

    def _next(self) -> list[Record]:
        log = self._bus.log(self._partition)
        records, self._position = log[self._position :], len(log)
        return records


class MemoryLogReader:
    """Reads the end of one work topic of a ``MemoryBus``."""

    def __init__(self, bus: "MemoryBus", topic: str, last: int, resume_at: Mapping[int, int] = NOT_READ) -> None:
        self._bus, self._topic, self._last, self._resume_at = bus, topic, last, resume_at
        self._positions: dict[TopicPartition, int] = {}
        self.is_complete = False
        self.begun_at: Mapping[int, int] = {}

    async def backlog(self) -> AsyncIterator[list[Record]]:
        """Read up to the present end; one batch."""
        places = self._bus.topic_partitions([self._topic]) or [TopicPartition(self._topic, 0)]
        lengths = {place: len(self._bus.log(place)) for place in places}
        self._positions = {
            place: first_offset(0, length, last=self._last, resume_at=self._resume_at.get(place.partition))
            for place, length in lengths.items()
        }
        self.begun_at = {place.partition: at for place, at in self._positions.items()}
        self.is_complete = not any(self._positions.values())
        yield self._next()

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """Read records published since; [] after ``timeout_s``."""
        if records := self._next():
            return records
        await self._bus.wait_for_publish(timeout_s)
        return self._next()

    def _next(self) -> list[Record]:
        records = [record for place, position in self._positions.items() for record in self._bus.log(place)[position:]]
        self._positions |= {record.topic_partition: record.offset + 1 for record in records}
        return records
