"""What is done inside the embedded bus's file: append, read, commit, forget. Plain SQL on one connection, no threads.

An offset is given once: ``places.next`` only grows, also when everything before it was forgotten.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka.partitioner import murmur2

from siad.contracts.errors import TransientError
from siad.contracts.topics import Topic
from siad.runtime.bus.embedded.file import transaction
from siad.runtime.bus.port import Commit, Headers, Message, Record, TopicPartition
from siad.runtime.bus.settings import BusSettings

COMPACT_AFTER_S = 60.0  # readers that follow a state topic see every value for so long, then only the last
TOMBSTONES_FOR_S = 24 * 3600.0  # as Kafka: whoever follows has a day to see that a key is gone
FORGET_AT_ONCE = 500  # records in one transaction, so that nobody waits for long


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionRange:
    """One place as it stands in the file."""

    id: int
    kind: str
    oldest: int  # offset; below it everything was forgotten
    next: int  # offset of the record that comes


def create(connection: sqlite3.Connection, topics: Iterable[Topic], partitions: int) -> None:
    """Make the topics that are missing.

    Raises:
        RuntimeError: a state topic stands there with several partitions.
    """
    with transaction(connection):
        for topic in topics:
            standing = len(spans(connection, [topic.name]))
            if standing > 1 and topic.kind == "state":
                msg = f"topic {topic.name} has {standing} partitions, but a state topic is read from one"
                raise RuntimeError(msg)
            if not standing:
                connection.executemany(
                    "INSERT INTO places (topic, partition, kind) VALUES (?, ?, ?)",
                    [(topic.name, number, topic.kind) for number in range(1 if topic.kind == "state" else partitions)],
                )


def spans(connection: sqlite3.Connection, topics: Iterable[str]) -> dict[TopicPartition, PartitionRange]:
    """The places of some topics, in order; a topic that is not there has none."""
    names = sorted(topics)
    rows = connection.execute(
        "SELECT topic, partition, id, kind, oldest, next FROM places "  # noqa: S608 - question marks alone
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
    """Write all batches in one transaction; for each what keeps it out: a topic that is not there."""
    with transaction(connection):
        standing = spans(connection, {message.topic for batch in batches for message in batch})
        counts: dict[str, int] = {}
        for topic_partition in standing:
            counts[topic_partition.topic] = counts.get(topic_partition.topic, 0) + 1
        ends = {topic_partition: span.next for topic_partition, span in standing.items()}
        refusals: list[TransientError | None] = []
        rows = []
        for batch in batches:
            missing = sorted({message.topic for message in batch} - counts.keys())
            refusals.append(TransientError(_no_topic(missing)) if missing else None)
            for message in () if missing else batch:
                key = message.key.encode()
                topic_partition = TopicPartition(
                    message.topic, (murmur2(key) & 0x7FFFFFFF) % counts[message.topic]
                )  # where Kafka has it
                headers = _pack(message.headers)
                rows.append((standing[topic_partition].id, ends[topic_partition], key, message.value, headers, now_ms))
                ends[topic_partition] += 1
        connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.executemany(
            "UPDATE places SET next = ? WHERE id = ?",
            [
                (end, standing[topic_partition].id)
                for topic_partition, end in ends.items()
                if end != standing[topic_partition].next
            ],
        )
    return refusals


def read(
    connection: sqlite3.Connection, topic_partition: TopicPartition, place_id: int, *, offset: int, count: int
) -> list[Record]:
    """At most ``count`` records of one place, from ``offset`` on."""
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
    """How far a group is, at every place where it ever committed."""
    rows = connection.execute(
        "SELECT topic, partition, commits.offset, note FROM commits JOIN places ON places.id = place WHERE team = ?",
        (group,),
    )
    return {TopicPartition(topic, partition): Commit(offset, note) for topic, partition, offset, note in rows}


def commit(connection: sqlite3.Connection, group: str, commits: Mapping[TopicPartition, Commit]) -> None:
    """Move a group's offsets, all of them or none."""
    with transaction(connection):
        standing = spans(connection, {topic_partition.topic for topic_partition in commits})
        connection.executemany(
            "INSERT OR REPLACE INTO commits VALUES (?, ?, ?, ?)",
            [
                (group, standing[topic_partition].id, offset, note)
                for topic_partition, (offset, note) in commits.items()
            ],
        )


def written(connection: sqlite3.Connection) -> tuple[int, int]:
    """A number that changes with every record published and every topic made."""
    records, topic_partitions = connection.execute("SELECT coalesce(sum(next), 0), count(*) FROM places").fetchone()
    return int(records), int(topic_partitions)


def sweep(connection: sqlite3.Connection, settings: BusSettings, *, now_ms: int) -> int:
    """Forget what is too old; of state topics what a later record of its key replaces. How many records went."""
    names = [name for (name,) in connection.execute("SELECT DISTINCT topic FROM places")]
    gone = 0
    for span in spans(connection, names).values():
        if span.kind == "state":
            gone += _compact(connection, span, now_ms)
        else:
            dead = span.kind == "dead-letter"
            hours = settings.dead_letter_retention_h if dead else settings.work_retention_h
            gone += _expire(connection, span, before_ms=now_ms - int(hours * 3_600_000))
    return gone


def _expire(connection: sqlite3.Connection, span: PartitionRange, *, before_ms: int) -> int:
    """Forget from the oldest on, up to the first record that is young enough; order is kept."""
    gone, went = 0, FORGET_AT_ONCE
    while went == FORGET_AT_ONCE:
        with transaction(connection):
            oldest = connection.execute(
                "SELECT offset, timestamp_ms FROM records WHERE place = ? ORDER BY offset LIMIT ?",
                (span.id, FORGET_AT_ONCE),
            ).fetchall()
            is_old = [timestamp_ms < before_ms for _, timestamp_ms in oldest]
            went = is_old.index(False) if False in is_old else len(is_old)
            if went:
                end = oldest[went - 1][0] + 1
                connection.execute("DELETE FROM records WHERE place = ? AND offset < ?", (span.id, end))
                connection.execute("UPDATE places SET oldest = ? WHERE id = ?", (end, span.id))
        gone += went
    return gone


def _compact(connection: sqlite3.Connection, span: PartitionRange, now_ms: int) -> int:
    with transaction(connection):
        replaced = connection.execute(
            "DELETE FROM records WHERE place = ?1 AND timestamp_ms < ?2 "
            "AND offset NOT IN (SELECT max(offset) FROM records WHERE place = ?1 GROUP BY key)",
            (span.id, now_ms - int(COMPACT_AFTER_S * 1000)),
        ).rowcount
        tombstones = connection.execute(
            "DELETE FROM records WHERE place = ?1 AND value IS NULL AND timestamp_ms < ?2 "
            "AND offset IN (SELECT min(offset) FROM records WHERE place = ?1 GROUP BY key)",  # the first of its key
            (span.id, now_ms - int(TOMBSTONES_FOR_S * 1000)),
        ).rowcount
    return int(replaced + tombstones)


def _no_topic(missing: Sequence[str]) -> str:
    return f"topic {', '.join(missing)} does not exist; create it first. Nothing was sent"


def _pack(headers: Headers) -> str:
    return json.dumps([(name, value.decode("latin-1")) for name, value in headers]) if headers else ""


def _unpack(packed: str) -> Headers:
    return tuple((name, value.encode("latin-1")) for name, value in json.loads(packed)) if packed else ()
