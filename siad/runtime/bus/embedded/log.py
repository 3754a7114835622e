"""SQL of the embedded bus: append, read, commit, expire; one connection.

An offset is used once: ``places.next`` only grows, also when all earlier records have expired.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka.partitioner import murmur2

from siad.contracts.errors import BusFailedError, TransientError
from siad.contracts.topics import Topic
from siad.runtime.bus.embedded.file import transaction
from siad.runtime.bus.port import Commit, Headers, Message, Record, TopicPartition
from siad.runtime.bus.settings import BusSettings

COMPACT_AFTER_S = 60.0  # followers of a state topic get every value for so long, then only the last
TOMBSTONES_FOR_S = 24 * 3600.0  # as on Kafka: followers have a day to read that a key is deleted
EXPIRE_BATCH = 500  # records in one transaction, so that other writers wait only shortly


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionRange:
    """One partition as the file has it."""

    id: int
    kind: str
    oldest: int  # offset; all records below have expired
    next: int  # offset of the next record


class GroupCommits(NamedTuple):
    """Offsets of one group."""

    group: str
    offsets: Mapping[TopicPartition, Commit]


def create(connection: sqlite3.Connection, topics: Iterable[Topic], partitions: int) -> None:
    """Create the topics that are missing.

    Raises:
        BusFailedError: a state topic exists with several partitions.
    """
    with transaction(connection):
        for topic in topics:
            count = len(partition_ranges(connection, [topic.name]))
            if count > 1 and topic.kind == "state":
                msg = f"topic {topic.name} has {count} partitions, but a state topic must have one"
                raise BusFailedError(msg)
            if not count:
                connection.executemany(
                    "INSERT INTO places (topic, partition, kind) VALUES (?, ?, ?)",
                    [(topic.name, number, topic.kind) for number in range(1 if topic.kind == "state" else partitions)],
                )


def partition_ranges(connection: sqlite3.Connection, topics: Iterable[str]) -> dict[TopicPartition, PartitionRange]:
    """Partitions of some topics, in order; a missing topic has none."""
    names = sorted(topics)
    rows = connection.execute(
        "SELECT topic, partition, id, kind, oldest, next FROM places "  # noqa: S608 - only question marks
        f"WHERE topic IN ({', '.join('?' * len(names))}) ORDER BY topic, partition",
        names,
    )
    return {
        TopicPartition(topic, partition): PartitionRange(id=id_, kind=kind, oldest=oldest, next=next_)
        for topic, partition, id_, kind, oldest, next_ in rows
    }


def append(
    connection: sqlite3.Connection, batches: Sequence[Sequence[Message]], *, now_ms: int
) -> list[TransientError | None]:
    """Write all batches in one transaction.

    Returns:
        For each batch None, or the error of a topic that does not exist; then nothing of that batch was written.
    """
    with transaction(connection):
        return _append(connection, batches, now_ms=now_ms)


def append_and_commit(
    connection: sqlite3.Connection, messages: Sequence[Message], commits: GroupCommits, *, now_ms: int
) -> None:
    """Write messages and move a group's offsets, in one transaction.

    Raises:
        TransientError: a topic does not exist; nothing was changed.
    """
    with transaction(connection):
        (refusal,) = _append(connection, [messages], now_ms=now_ms)
        if refusal is not None:
            raise refusal
        _commit(connection, commits)


def _append(
    connection: sqlite3.Connection, batches: Sequence[Sequence[Message]], *, now_ms: int
) -> list[TransientError | None]:
    ranges = partition_ranges(connection, {message.topic for batch in batches for message in batch})
    counts: dict[str, int] = {}
    for topic_partition in ranges:
        counts[topic_partition.topic] = counts.get(topic_partition.topic, 0) + 1
    ends = {topic_partition: range_.next for topic_partition, range_ in ranges.items()}
    refusals: list[TransientError | None] = []
    rows = []
    for batch in batches:
        missing = sorted({message.topic for message in batch} - counts.keys())
        refusals.append(TransientError(_no_topic(missing)) if missing else None)
        for message in () if missing else batch:
            key = message.key.encode()
            topic_partition = TopicPartition(
                message.topic, (murmur2(key) & 0x7FFFFFFF) % counts[message.topic]
            )  # the partition that Kafka would choose
            headers = _pack(message.headers)
            rows.append((ranges[topic_partition].id, ends[topic_partition], key, message.value, headers, now_ms))
            ends[topic_partition] += 1
    connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.executemany(
        "UPDATE places SET next = ? WHERE id = ?",
        [
            (end, ranges[topic_partition].id)
            for topic_partition, end in ends.items()
            if end != ranges[topic_partition].next
        ],
    )
    return refusals


def read(
    connection: sqlite3.Connection, topic_partition: TopicPartition, place_id: int, *, offset: int, count: int
) -> list[Record]:
    """At most ``count`` records of one partition, from ``offset`` on."""
    rows = connection.execute(
        "SELECT offset, key, value, headers, timestamp_ms FROM records "
        "WHERE place = ? AND offset >= ? ORDER BY offset LIMIT ?",
        (place_id, offset, count),
    )
    return [
        Record(
            topic_partition=topic_partition,
            offset=at,
            key=key,
            value=value,
            headers=_unpack(headers),
            timestamp_ms=timestamp_ms,
        )
        for at, key, value, headers, timestamp_ms in rows
    ]


def commits_of(connection: sqlite3.Connection, group: str) -> dict[TopicPartition, Commit]:
    """All commits of a group, by partition."""
    rows = connection.execute(
        "SELECT topic, partition, commits.offset, note FROM commits JOIN places ON places.id = place WHERE team = ?",
        (group,),
    )
    return {TopicPartition(topic, partition): Commit(offset, note) for topic, partition, offset, note in rows}


def commit(connection: sqlite3.Connection, commits: GroupCommits) -> None:
    """Move a group's offsets, in one transaction."""
    with transaction(connection):
        _commit(connection, commits)


def _commit(connection: sqlite3.Connection, commits: GroupCommits) -> None:
    ranges = partition_ranges(connection, {topic_partition.topic for topic_partition in commits.offsets})
    connection.executemany(
        "INSERT OR REPLACE INTO commits VALUES (?, ?, ?, ?)",
        [
            (commits.group, ranges[topic_partition].id, offset, note)
            for topic_partition, (offset, note) in commits.offsets.items()
        ],
    )


def publish_counters(connection: sqlite3.Connection) -> tuple[int, int]:
    """Two counters that change with every published record and new topic."""
    records, topic_partitions = connection.execute("SELECT coalesce(sum(next), 0), count(*) FROM places").fetchone()
    return int(records), int(topic_partitions)


def sweep(connection: sqlite3.Connection, settings: BusSettings, *, now_ms: int) -> int:
    """Expire old records and compact state topics.

    Returns:
        How many records were deleted.
    """
    names = [name for (name,) in connection.execute("SELECT DISTINCT topic FROM places")]
    deleted = 0
    for range_ in partition_ranges(connection, names).values():
        if range_.kind == "state":
            deleted += _compact(connection, range_, now_ms)
        else:
            dead = range_.kind == "dead-letter"
            hours = settings.dead_letter_retention_h if dead else settings.work_retention_h
            deleted += _expire(connection, range_, before_ms=now_ms - int(hours * 3_600_000))
    return deleted


def _expire(connection: sqlite3.Connection, range_: PartitionRange, *, before_ms: int) -> int:
    """Delete old records from the beginning, in batches, and return their number."""
    deleted, count = 0, EXPIRE_BATCH
    while count == EXPIRE_BATCH:
        with transaction(connection):
            oldest = connection.execute(
                "SELECT offset, timestamp_ms FROM records WHERE place = ? ORDER BY offset LIMIT ?",
                (range_.id, EXPIRE_BATCH),
            ).fetchall()
            is_old = [timestamp_ms < before_ms for _, timestamp_ms in oldest]
            count = is_old.index(False) if False in is_old else len(is_old)
            if count:
                end = oldest[count - 1][0] + 1
                connection.execute("DELETE FROM records WHERE place = ? AND offset < ?", (range_.id, end))
                connection.execute("UPDATE places SET oldest = ? WHERE id = ?", (end, range_.id))
        deleted += count
    return deleted


def _compact(connection: sqlite3.Connection, range_: PartitionRange, now_ms: int) -> int:
    with transaction(connection):
        replaced = connection.execute(
            "DELETE FROM records WHERE place = ?1 AND timestamp_ms < ?2 "
            "AND offset NOT IN (SELECT max(offset) FROM records WHERE place = ?1 GROUP BY key)",
            (range_.id, now_ms - int(COMPACT_AFTER_S * 1000)),
        ).rowcount
        tombstones = connection.execute(
            "DELETE FROM records WHERE place = ?1 AND value IS NULL AND timestamp_ms < ?2 "
            "AND offset IN (SELECT min(offset) FROM records WHERE place = ?1 GROUP BY key)",  # its only record
            (range_.id, now_ms - int(TOMBSTONES_FOR_S * 1000)),
        ).rowcount
    return int(replaced + tombstones)


def _no_topic(missing: Sequence[str]) -> str:
    return f"topic {', '.join(missing)} does not exist; create it first. Nothing was sent"


def _pack(headers: Headers) -> str:
    return json.dumps([(name, value.decode("latin-1")) for name, value in headers]) if headers else ""


def _unpack(packed: str) -> Headers:
    return tuple((name, value.encode("latin-1")) for name, value in json.loads(packed)) if packed else ()
