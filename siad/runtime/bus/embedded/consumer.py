"""Reads from the embedded bus: as the one member of a group, or a state topic whole."""

import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Literal

import structlog

from siad.contracts.errors import TransientError
from siad.runtime.bus.embedded.log import PartitionRange, commit, commits_of, read, spans
from siad.runtime.bus.embedded.sqlite_thread import ChangeWatcher, SqliteThread
from siad.runtime.bus.port import Commit, OnAssign, OnRevoke, Record, TopicPartition

log = structlog.get_logger()

CHANGES_MAX = 500  # records that one look for changes brings


class EmbeddedConsumer:
    """The one member of its group."""

    def __init__(
        self,
        lane: SqliteThread,
        lookout: ChangeWatcher,
        topics: frozenset[str],
        *,
        group: str,
        start: Literal["earliest", "latest"],
        hooks: tuple[OnAssign | None, OnRevoke | None],
    ) -> None:
        self._lane, self._lookout, self._topics, self._group, self._start = lane, lookout, topics, group, start
        self._on_assign, self._on_revoke = hooks
        self._positions: dict[TopicPartition, int] = {}  # of every place that is assigned: the offset that comes
        self._paused: set[TopicPartition] = set()
        self._turn = 0  # which place is first served; else a full one would starve those behind it

    async def deal(self) -> None:
        """Take every place that there is; where some came since, all are revoked and dealt anew, as on Kafka."""
        standing, commits = await self._lane.run(_look, self._topics, self._group)
        if standing.keys() == self._positions.keys():
            return
        if self._positions and self._on_revoke is not None:
            await self._on_revoke(self.assigned())
            commits = await self._lane.run(commits_of, self._group)
        if self._on_assign is not None:
            await self._on_assign(frozenset(standing))
        self._paused.clear()
        self._positions = {
            topic_partition: self._beginning(span, commits.get(topic_partition))
            for topic_partition, span in standing.items()
        }

    async def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """Fetch up to ``max_records``; [] after ``timeout_s``."""
        end_s = time.monotonic() + timeout_s
        while True:
            generation = self._lookout.generation
            records = await self._fetch(max_records)
            left_s = end_s - time.monotonic()
            if records or left_s <= 0:
                return records
            await self._lookout.wait(generation, left_s)

    def assigned(self) -> frozenset[TopicPartition]:
        """The places that are this member's: all that there are."""
        return frozenset(self._positions)

    def pause(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Fetch nothing from these places until they are resumed."""
        self._paused |= topic_partitions & self._positions.keys()

    def resume(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Fetch from these places again."""
        self._paused -= topic_partitions

    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Move the group's offsets."""
        if strange := commits.keys() - self._positions.keys():
            msg = f"commit refused: {', '.join(map(str, sorted(strange)))} moved to another member"
            raise TransientError(msg)
        if commits:
            await self._lane.run(commit, self._group, dict(commits))

    async def committed(self, topic_partition: TopicPartition) -> Commit | None:
        """The group's last commit at ``place``."""
        return (await self._lane.run(commits_of, self._group)).get(topic_partition)

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Records behind the end that are not yet committed."""
        standing, commits = await self._lane.run(_look, self._topics, self._group)
        return {
            topic_partition: span.next
            - max(span.oldest, commits[topic_partition].offset if topic_partition in commits else 0)
            for topic_partition, span in standing.items()
            if topic_partition in self._positions
        }

    async def _fetch(self, max_records: int) -> list[Record]:
        wanted = {
            topic_partition: offset
            for topic_partition, offset in self._positions.items()
            if topic_partition not in self._paused
        }
        standing, records = await self._lane.run(_fetch, self._topics, wanted, max_records=max_records, turn=self._turn)
        if standing.keys() != self._positions.keys():
            await self.deal()
            return []
        self._turn += 1
        for topic_partition, offset in wanted.items():
            if (oldest := standing[topic_partition].oldest) > offset:
                log.warning(
                    "bus_records_expired",
                    group=self._group,
                    topic_partition=topic_partition,
                    offset=offset,
                    oldest=oldest,
                )
                self._positions[topic_partition] = oldest
        records = [
            record for record in records if record.topic_partition not in self._paused
        ]  # it may have been meanwhile
        for record in records:
            self._positions[record.topic_partition] = record.offset + 1
        return records

    def _beginning(self, span: PartitionRange, committed: Commit | None) -> int:
        if committed is not None:
            return committed.offset
        return span.oldest if self._start == "earliest" else span.next


class EmbeddedStateReader:
    """Reads one state topic whole, without a group."""

    def __init__(self, lane: SqliteThread, lookout: ChangeWatcher, topic: str) -> None:
        self._lane, self._lookout, self._place = lane, lookout, TopicPartition(topic, 0)
        self._position = 0

    async def snapshot(self) -> dict[str, Record]:
        """The last record of each key that is not gone, up to the end as it is now."""
        table: dict[str, Record] = {}
        for record in await self._next(count=-1):
            if record.value is None:
                table.pop(record.key.decode(), None)
            else:
                table[record.key.decode()] = record
        return table

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """What came since, in order; [] after ``timeout_s``."""
        end_s = time.monotonic() + timeout_s
        while True:
            generation = self._lookout.generation
            records = await self._next(count=CHANGES_MAX)
            left_s = end_s - time.monotonic()
            if records or left_s <= 0:
                return records
            await self._lookout.wait(generation, left_s)

    async def _next(self, *, count: int) -> list[Record]:
        records = await self._lane.run(_read_state, self._place, offset=self._position, count=count)
        if records:
            self._position = records[-1].offset + 1
        return records


def _look(
    connection: sqlite3.Connection, topics: Iterable[str], group: str
) -> tuple[dict[TopicPartition, PartitionRange], dict[TopicPartition, Commit]]:
    return spans(connection, topics), commits_of(connection, group)


def _fetch(
    connection: sqlite3.Connection,
    topics: Iterable[str],
    wanted: Mapping[TopicPartition, int],
    *,
    max_records: int,
    turn: int,
) -> tuple[dict[TopicPartition, PartitionRange], list[Record]]:
    standing = spans(connection, topics)
    waiting = [
        topic_partition
        for topic_partition in standing
        if topic_partition in wanted and standing[topic_partition].next > wanted[topic_partition]
    ]
    records: list[Record] = []
    for number in range(len(waiting)):
        topic_partition = waiting[(turn + number) % len(waiting)]
        span, count = standing[topic_partition], max_records - len(records)
        if count:
            records += read(connection, topic_partition, span.id, offset=wanted[topic_partition], count=count)
    return standing, records


def _read_state(
    connection: sqlite3.Connection, topic_partition: TopicPartition, *, offset: int, count: int
) -> list[Record]:
    if (span := spans(connection, [topic_partition.topic]).get(topic_partition)) is None:
        msg = f"topic {topic_partition.topic} does not exist; create it first"
        raise TransientError(msg)
    return read(connection, topic_partition, span.id, offset=offset, count=count)
