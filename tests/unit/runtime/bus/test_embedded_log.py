"""What the embedded bus keeps, forgets and refuses: SQL alone, without threads."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from siad.contracts.errors import TransientError
from siad.contracts.topics import Topic, dead_letter
from siad.runtime.bus.embedded.bus import EmbeddedBus
from siad.runtime.bus.embedded.file import (
    SCHEMA,
    ConnectionOptions,
    check_whole,
    open_file,
    transaction,
    translated_errors,
)
from siad.runtime.bus.embedded.log import (
    GroupCommits,
    append,
    commit,
    commits_of,
    create,
    partition_ranges,
    publish_counters,
    read,
    sweep,
)
from siad.runtime.bus.kafka.bus import KafkaBus
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Commit, Headers, Message, Record, TopicPartition
from siad.runtime.bus.settings import BusSettings

WORK, STATE, DEAD = Topic("work", "work", "ingest", ()), Topic("state", "state", "ingest", ()), dead_letter("labeler")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bus.sqlite"


@pytest.fixture
def connection(file: Path) -> Iterator[sqlite3.Connection]:
    connection = open_file(ConnectionOptions(file, busy_s=0.2, create=True))
    create(connection, [WORK, STATE, DEAD], 1)
    yield connection
    connection.close()


def put(
    connection: sqlite3.Connection, topic: str, *pairs: tuple[str, bytes | None], at_ms: int, headers: Headers = ()
) -> None:
    messages = [Message(topic=topic, key=key, value=value, headers=headers) for key, value in pairs]
    assert append(connection, [messages], now_ms=at_ms) == [None]


def everything(connection: sqlite3.Connection, topic: str) -> list[Record]:
    topic_partition = TopicPartition(topic, 0)
    return read(
        connection, topic_partition, partition_ranges(connection, [topic])[topic_partition].id, offset=0, count=-1
    )


def settings(file: Path, **hours: float) -> BusSettings:
    return BusSettings.model_validate({"bootstrap": f"embedded://{file}", **hours})


def test_work_is_forgotten_by_age_from_the_oldest_on_and_offsets_go_on(
    connection: sqlite3.Connection, file: Path
) -> None:
    for hour in range(10):
        put(connection, WORK.name, ("k", str(hour).encode()), at_ms=hour * HOUR_MS)
    assert sweep(connection, settings(file, work_retention_h=3), now_ms=9 * HOUR_MS) == 6
    assert [record.offset for record in everything(connection, WORK.name)] == [6, 7, 8, 9]
    assert sweep(connection, settings(file, work_retention_h=3), now_ms=99 * HOUR_MS) == 4
    put(connection, WORK.name, ("k", b"new"), at_ms=99 * HOUR_MS)
    assert [record.offset for record in everything(connection, WORK.name)] == [10]
    assert (partition_ranges(connection, [WORK.name])[TopicPartition(WORK.name, 0)].oldest) == 10


def test_a_clock_that_was_set_back_makes_no_hole(connection: sqlite3.Connection, file: Path) -> None:
    for at_ms in (0, 9 * HOUR_MS, 1, 9 * HOUR_MS):
        put(connection, WORK.name, ("k", b"x"), at_ms=at_ms)
    assert sweep(connection, settings(file, work_retention_h=3), now_ms=9 * HOUR_MS) == 1
    assert [record.offset for record in everything(connection, WORK.name)] == [1, 2, 3]


def test_many_are_forgotten_in_many_small_steps(connection: sqlite3.Connection, file: Path) -> None:
    put(connection, WORK.name, *(("k", b"x") for _ in range(1700)), at_ms=0)
    assert sweep(connection, settings(file, work_retention_h=1), now_ms=DAY_MS) == 1700
    assert everything(connection, WORK.name) == []


def test_dead_letters_are_kept_for_longer(connection: sqlite3.Connection, file: Path) -> None:
    for topic in (WORK, DEAD):
        put(connection, topic.name, ("k", b"x"), at_ms=0)
    sweep(connection, settings(file, work_retention_h=1, dead_letter_retention_h=5), now_ms=2 * HOUR_MS)
    assert everything(connection, WORK.name) == []
    assert len(everything(connection, DEAD.name)) == 1
    sweep(connection, settings(file, work_retention_h=1, dead_letter_retention_h=5), now_ms=6 * HOUR_MS)
    assert everything(connection, DEAD.name) == []


def test_what_a_state_topic_says_is_the_same_before_and_after_it_is_compacted(
    connection: sqlite3.Connection, file: Path
) -> None:
    rng = random.Random(7)
    for at_ms in range(0, 5 * DAY_MS, HOUR_MS):
        value = None if rng.random() < 0.4 else b"%d" % at_ms
        put(connection, STATE.name, (rng.choice("abcdef"), value), at_ms=at_ms)
        before = table_of(everything(connection, STATE.name))
        if rng.random() < 0.5:
            sweep(connection, settings(file), now_ms=at_ms + 2 * HOUR_MS)
            assert table_of(everything(connection, STATE.name)) == before
    sweep(connection, settings(file), now_ms=99 * DAY_MS)
    left = everything(connection, STATE.name)
    assert [record.value for record in left] == list(before.values())  # one of each key, tombstones gone
    assert sorted(record.offset for record in left) == [record.offset for record in left]


def table_of(records: list[Record]) -> dict[bytes, bytes]:
    """As a reader builds it, slowly; in the order of the last words."""
    table: dict[bytes, bytes] = {}
    for record in records:
        table.pop(record.key, None)
        if record.value is not None:
            table[record.key] = record.value
    return table


def test_who_follows_a_state_topic_sees_young_values_and_young_tombstones(
    connection: sqlite3.Connection, file: Path
) -> None:
    put(connection, STATE.name, ("a", b"1"), ("a", b"2"), ("b", b"1"), ("b", None), at_ms=0)
    assert sweep(connection, settings(file), now_ms=30_000) == 0
    assert sweep(connection, settings(file), now_ms=HOUR_MS) == 2
    assert [record.value for record in everything(connection, STATE.name)] == [b"2", None]
    assert sweep(connection, settings(file), now_ms=2 * DAY_MS) == 1
    assert [record.value for record in everything(connection, STATE.name)] == [b"2"]


def test_headers_come_back_byte_for_byte(connection: sqlite3.Connection) -> None:
    headers = (("all", bytes(range(256))), ("empty", b""), ("all", b"twice"))
    put(connection, WORK.name, ("k", b"x"), at_ms=0, headers=headers)
    assert everything(connection, WORK.name)[0].headers == headers


def test_in_one_transaction_a_missing_topic_keeps_only_its_own_batch_out(connection: sqlite3.Connection) -> None:
    good = [Message(topic=WORK.name, key="k", value=b"1")]
    bad = [*good, Message(topic="nowhere", key="k", value=b"2")]
    first, refusal, last = append(connection, [good, bad, good], now_ms=0)
    assert (first, last) == (None, None)
    assert "topic nowhere does not exist" in str(refusal)
    assert len(everything(connection, WORK.name)) == 2


def test_a_failure_in_mid_transaction_leaves_everything_as_it_was(connection: sqlite3.Connection) -> None:
    before = publish_counters(connection)

    def fail_half_way() -> None:
        with transaction(connection):
            connection.execute("UPDATE places SET next = 99")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert publish_counters(connection) == before
    put(connection, WORK.name, ("k", b"x"), at_ms=0)


def test_commits_of_one_group_are_its_own(connection: sqlite3.Connection) -> None:
    commit(connection, GroupCommits("a", {TopicPartition(WORK.name, 0): Commit(7, "1 crash")}))
    commit(connection, GroupCommits("a", {TopicPartition(DEAD.name, 0): Commit(1)}))
    commit(connection, GroupCommits("a", {TopicPartition(WORK.name, 0): Commit(9)}))
    assert commits_of(connection, "a") == {
        TopicPartition(WORK.name, 0): Commit(9),
        TopicPartition(DEAD.name, 0): Commit(1),
    }
    assert commits_of(connection, "b") == {}


def test_a_state_topic_of_several_partitions_is_refused(connection: sqlite3.Connection) -> None:
    create(connection, [Topic("odd", "work", "ingest", ())], 3)
    with pytest.raises(RuntimeError, match="odd has 3 partitions"):
        create(connection, [Topic("odd", "state", "ingest", ())], 3)


def test_a_file_of_a_newer_siad_is_refused_and_left_alone(connection: sqlite3.Connection, file: Path) -> None:
    connection.execute("UPDATE about SET schema = ?", (SCHEMA + 1,))
    with pytest.raises(RuntimeError, match=f"has schema {SCHEMA + 1}, this SIAD reads {SCHEMA}; nothing was changed"):
        open_file(ConnectionOptions(file, busy_s=0.2, create=True))


def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "photos.sqlite"
    with sqlite3.connect(theirs) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
    connection.close()
    before = theirs.read_bytes()
    with pytest.raises(RuntimeError, match="not a SIAD bus; nothing was changed"):
        open_file(ConnectionOptions(theirs, busy_s=0.2, create=True))
    assert theirs.read_bytes() == before


def test_a_file_that_is_not_there_is_made_only_by_who_makes_topics(file: Path) -> None:
    with pytest.raises(TransientError, match="is not there or can't be opened"):
        open_file(ConnectionOptions(file, busy_s=0.2))
    assert not file.exists()
    with pytest.raises(TransientError, match="create that folder, or correct the path"):
        open_file(ConnectionOptions(file.parent / "typing-error" / "bus.sqlite", busy_s=0.2, create=True))


@pytest.mark.parametrize("size", [0, 50, 100, 4096, 5000, 20_000])
def test_a_file_of_noise_is_refused_in_plain_words(file: Path, size: int) -> None:
    file.write_bytes(random.Random(7).randbytes(size))
    with pytest.raises((RuntimeError, TransientError), match=r"damaged or not a SIAD bus|being created"):
        open_file(ConnectionOptions(file, busy_s=0.2))


def test_a_page_that_was_torn_is_found_before_anything_starts(connection: sqlite3.Connection, file: Path) -> None:
    put(connection, WORK.name, *((f"k{n}", bytes(500)) for n in range(200)), at_ms=0)
    connection.close()
    check_whole(file)
    torn = bytearray(file.read_bytes())
    middle = len(torn) // 2 // 4096 * 4096
    torn[middle : middle + 4096] = b"\xff" * 4096
    file.write_bytes(torn)
    with pytest.raises(RuntimeError, match=r"bus\.sqlite is damaged .*move the file away with its -wal and -shm"):
        check_whole(file)


def test_nothing_is_checked_where_nothing_is(file: Path) -> None:
    check_whole(file)
    assert not file.exists()


def test_a_file_held_for_too_long_is_tried_again_not_given_up(connection: sqlite3.Connection, file: Path) -> None:
    other = open_file(ConnectionOptions(file, busy_s=0.05))
    connection.execute("BEGIN IMMEDIATE")
    with (
        pytest.raises(TransientError, match="held by another process for too long"),
        translated_errors(file, "publish"),
    ):
        put(other, WORK.name, ("k", b"x"), at_ms=0)
    connection.execute("ROLLBACK")
    put(other, WORK.name, ("k", b"x"), at_ms=0)
    other.close()


def test_a_full_disk_refuses_and_loses_nothing(connection: sqlite3.Connection, file: Path) -> None:
    put(connection, WORK.name, ("k", b"before"), at_ms=0)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with (
        pytest.raises(TransientError, match=r"the disk is full\. Nothing was written"),
        translated_errors(file, "publish"),
    ):
        put(connection, WORK.name, *(("k", bytes(60_000)) for _ in range(5)), at_ms=0)
    connection.execute("PRAGMA max_page_count = 100000")
    put(connection, WORK.name, ("k", b"after"), at_ms=0)
    assert [(record.offset, record.value) for record in everything(connection, WORK.name)] == [
        (0, b"before"),
        (1, b"after"),
    ]


def test_the_address_says_which_bus(file: Path) -> None:
    assert isinstance(open_bus(settings(file)), EmbeddedBus)
    assert isinstance(open_bus(BusSettings(bootstrap="localhost:9092")), KafkaBus)


@pytest.mark.parametrize("address", ["embedded://bus.sqlite", "embedded://", "embedded:///srv/", "sqlite:///srv/bus"])
def test_an_address_that_means_nothing_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match=r"absolute path of a file|unknown scheme"):
        BusSettings(bootstrap=address)
