"""Consumers of the embedded bus: group members and state-topic readers."""

import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Literal

import structlog

from siad.contracts.errors import TransientError
from siad.runtime.bus.embedded.log import GroupCommits, PartitionRange, commit, commits_of, partition_ranges, read
from siad.runtime.bus.embedded.sqlite_thread import ChangeWatcher, SqliteThread
from siad.runtime.bus.port import Commit, OnAssign, OnRevoke, Record, TopicPartition

log = structlog.get_logger()

CHANGES_MAX = 500  # records of one read


class EmbeddedConsumer:
    """The only member of its group."""

    def __init__(
        self,
        thread: SqliteThread,
        watcher: ChangeWatcher,
        topics: frozenset[str],
        *,
        group: str,
        start: Literal["earliest", "latest"],
        hooks: tuple[OnAssign | None, OnRevoke | None],
    ) -> None:
        self._thread, self._watcher, self._topics, self._group, self._start = thread, watcher, topics, group, start
        self._on_assign, self._on_revoke = hooks
        self._positions: dict[TopicPartition, int] = {}  # next offset of every assigned partition
        self._paused: set[TopicPartition] = set()
        self._turn = 0  # rotates the first partition read; otherwise a full one would starve the others

    async def assign(self) -> None:
        """Assign all partitions to this member.

        If new ones were created since, all are revoked and assigned again, as on Kafka.
        """
        ranges, commits = await self._thread.run(_observe, self._topics, self._group)
        if ranges.keys() == self._positions.keys():
            return
        if self._positions and self._on_revoke is not None:
            await self._on_revoke(self.assigned())
            commits = await self._thread.run(commits_of, self._group)
        if self._on_assign is not None:
            await self._on_assign(frozenset(ranges))
        self._paused.clear()
        self._positions = {
            topic_partition: self._beginning(range_, commits.get(topic_partition))
            for topic_partition, range_ in ranges.items()
        }

    async def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """Fetch up to ``max_records``; [] after ``timeout_s``."""
        end_s = time.monotonic() + timeout_s
        while True:
            generation = self._watcher.generation
            records = await self._fetch(max_records)
            left_s = end_s - time.monotonic()
            if records or left_s <= 0:
                return records
            await self._watcher.wait(generation, left_s)

    def assigned(self) -> frozenset[TopicPartition]:
        """The partitions assigned to this member: all that exist."""
        return frozenset(self._positions)

    def pause(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Fetch nothing from these partitions until they are resumed."""
        self._paused |= topic_partitions & self._positions.keys()

    def resume(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Fetch from these partitions again."""
        self._paused -= topic_partitions

    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Move the group's offsets."""
        if strange := commits.keys() - self._positions.keys():
            msg = f"commit refused: {', '.join(map(str, sorted(strange)))} moved to another member"
            raise TransientError(msg)
        if commits:
            await self._thread.run(commit, GroupCommits(self._group, dict(commits)))

    async def committed(self, topic_partition: TopicPartition) -> Commit | None:
        """The group's last commit of one partition."""
        return (await self._thread.run(commits_of, self._group)).get(topic_partition)

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Uncommitted records up to the end, for each assigned partition."""
        ranges, commits = await self._thread.run(_observe, self._topics, self._group)
        return {
            topic_partition: range_.next
            - max(range_.oldest, commits[topic_partition].offset if topic_partition in commits else 0)
            for topic_partition, range_ in ranges.items()
            if topic_partition in self._positions
        }

    async def _fetch(self, max_records: int) -> list[Record]:
        wanted = {
            topic_partition: offset
            for topic_partition, offset in self._positions.items()
            if topic_partition not in self._paused
        }
        ranges, records = await self._thread.run(_fetch, self._topics, wanted, max_records=max_records, turn=self._turn)
        if ranges.keys() != self._positions.keys():
            await self.assign()
            return []
        self._turn += 1
        for topic_partition, offset in wanted.items():
            if (oldest := ranges[topic_partition].oldest) > offset:
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
        ]  # a partition may have been paused during the read
        for record in records:
            self._positions[record.topic_partition] = record.offset + 1
        return records

    def _beginning(self, range_: PartitionRange, committed: Commit | None) -> int:
        if committed is not None:
            return committed.offset
        return range_.oldest if self._start == "earliest" else range_.next


class EmbeddedStateReader:
    """Reads one state topic completely, without a group."""

    def __init__(self, thread: SqliteThread, watcher: ChangeWatcher, topic: str) -> None:
        self._thread, self._watcher, self._place = thread, watcher, TopicPartition(topic, 0)
        self._position = 0

    async def snapshot(self) -> dict[str, Record]:
        """The last record of each live key, up to now."""
        table: dict[str, Record] = {}
        for record in await self._next(count=-1):
            if record.value is None:
                table.pop(record.key.decode(), None)
            else:
                table[record.key.decode()] = record
        return table

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """Records published since, in order; [] after ``timeout_s``."""
        end_s = time.monotonic() + timeout_s
        while True:
            generation = self._watcher.generation
            records = await self._next(count=CHANGES_MAX)
            left_s = end_s - time.monotonic()
            if records or left_s <= 0:
                return records
            await self._watcher.wait(generation, left_s)

    async def _next(self, *, count: int) -> list[Record]:
        records = await self._thread.run(_read_state, self._place, offset=self._position, count=count)
        if records:
            self._position = records[-1].offset + 1
        return records


def _observe(
    connection: sqlite3.Connection, topics: Iterable[str], group: str
) -> tuple[dict[TopicPartition, PartitionRange], dict[TopicPartition, Commit]]:
    return partition_ranges(connection, topics), commits_of(connection, group)


def _fetch(
    connection: sqlite3.Connection,
    topics: Iterable[str],
    wanted: Mapping[TopicPartition, int],
    *,
    max_records: int,
    turn: int,
) -> tuple[dict[TopicPartition, PartitionRange], list[Record]]:
    ranges = partition_ranges(connection, topics)
    waiting = [
        topic_partition
        for topic_partition in ranges
        if topic_partition in wanted and ranges[topic_partition].next > wanted[topic_partition]
    ]
    records: list[Record] = []
    for number in range(len(waiting)):
        topic_partition = waiting[(turn + number) % len(waiting)]
        range_, count = ranges[topic_partition], max_records - len(records)
        if count:
            records += read(connection, topic_partition, range_.id, offset=wanted[topic_partition], count=count)
    return ranges, records


def _read_state(
    connection: sqlite3.Connection, topic_partition: TopicPartition, *, offset: int, count: int
) -> list[Record]:
    if (range_ := partition_ranges(connection, [topic_partition.topic]).get(topic_partition)) is None:
        msg = f"topic {topic_partition.topic} does not exist; create it first"
        raise TransientError(msg)
    return read(connection, topic_partition, range_.id, offset=offset, count=count)
