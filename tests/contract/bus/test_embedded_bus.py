"""What the embedded bus promises over the port: processes that are killed, that write at once, that come second."""

import asyncio
import os
import shutil
import sqlite3
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from siad.contracts.errors import TransientError
from siad.contracts.topics import Topic
from siad.runtime.bus.embedded.bus import EmbeddedBus
from siad.runtime.bus.port import Commit, Consumer, Message, Record, TopicPartition
from tests.fixtures.kafka import quick_settings

WORK = Topic("work", "work", "ingest", ())
STATE = Topic("state", "state", "ingest", ())
PATIENCE_S = 40.0

# What it prints was acknowledged.
PUBLISHER = """
import asyncio, sys
from siad.runtime.bus.embedded.bus import EmbeddedBus
from siad.runtime.bus.port import Message
from tests.fixtures.kafka import quick_settings

async def main(bootstrap, name, count):
    async with EmbeddedBus(quick_settings(bootstrap)).producer() as producer:
        for number in range(int(count)):
            key = f"{name}/{number % 7}"
            await producer.publish([Message(topic="work", key=key, value=f"{name} {number}".encode())])
            print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""

# Says each record, then commits it.
MEMBER = """
import asyncio, sys
from siad.runtime.bus.embedded.bus import EmbeddedBus
from siad.runtime.bus.port import Commit
from tests.fixtures.kafka import quick_settings

async def main(bootstrap, group):
    async with EmbeddedBus(quick_settings(bootstrap)).consumer(["work"], group=group, start="earliest") as consumer:
        print("joined", flush=True)
        while True:
            for record in await consumer.poll(max_records=5, timeout_s=0.2):
                print(record.value.decode(), flush=True)
                await consumer.commit({record.topic_partition: Commit(record.offset + 1)})

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def bus(tmp_path: Path) -> EmbeddedBus:
    """A bus in a file, with one topic of each kind."""
    bus = EmbeddedBus(quick_settings(f"embedded://{tmp_path}/bus.sqlite"))
    await bus.create_topics([WORK, STATE])
    return bus


@asynccontextmanager
async def process(code: str, bus: EmbeddedBus, *args: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of its own; killed at the end where it still runs."""
    words = ["-c", code, f"embedded://{bus.path}", *args]
    child = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def said(child: asyncio.subprocess.Process, count: int | None = None) -> list[str]:
    """Its next ``count`` lines; without it, all that come until it ends."""
    assert child.stdout is not None
    lines: list[str] = []
    while count is None or len(lines) < count:
        if not (line := await asyncio.wait_for(child.stdout.readline(), PATIENCE_S)):
            break
        lines.append(line.decode().strip())
    return lines


async def take(consumer: Consumer, count: int) -> list[Record]:
    """At least so many records, and what else is there."""
    records: list[Record] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(records) < count:
            records += await consumer.poll(max_records=500, timeout_s=0.2)
        return records + await consumer.poll(max_records=500, timeout_s=0.1)


async def everything(bus: EmbeddedBus, count: int) -> list[str]:
    async with bus.consumer([WORK.name], group=f"look-{time.monotonic_ns()}", start="earliest") as consumer:
        return [text_of(record) for record in await take(consumer, count)]


def text_of(record: Record) -> str:
    return (record.value or b"").decode()


async def publish(bus: EmbeddedBus, values: Sequence[str], *, topic: str = WORK.name) -> None:
    async with bus.producer() as producer:
        await producer.publish([Message(topic=topic, key=value, value=value.encode()) for value in values])


@pytest.mark.slow
async def test_a_publisher_killed_right_after_an_acknowledgement_loses_nothing(bus: EmbeddedBus) -> None:
    acknowledged: list[str] = []
    for number in range(25):
        async with process(PUBLISHER, bus, f"p{number}", "100000") as child:
            lines = await said(child, number % 5 + 1)
            child.kill()
            acknowledged += [f"p{number} {line}" for line in lines + await said(child)]  # also what it said last
    found = await everything(bus, len(acknowledged))
    assert len(acknowledged) >= 25 * 3
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    assert len(found) - len(acknowledged) <= 25  # of each, the one that was under way


async def test_four_processes_write_at_once_and_one_reads_all_in_order(bus: EmbeddedBus) -> None:
    names, count = [f"w{number}" for number in range(4)], 400
    seen: dict[bytes, list[int]] = defaultdict(list)
    async with bus.consumer([WORK.name], group="g", start="earliest") as consumer:
        writers = [process(PUBLISHER, bus, name, str(count)) for name in names]
        async with writers[0] as a, writers[1] as b, writers[2] as c, writers[3] as d:
            telling = [asyncio.create_task(said(child)) for child in (a, b, c, d)]
            for record in await take(consumer, 4 * count):
                seen[record.key].append(int(text_of(record).split()[1]))
            assert [len(await task) for task in telling] == [count] * 4
    assert sum(map(len, seen.values())) == 4 * count  # none twice, none missing
    for name in names:
        for rest in range(7):
            assert seen[f"{name}/{rest}".encode()] == list(range(rest, count, 7))


async def test_after_a_member_was_killed_the_next_goes_on_at_its_commits_at_once(bus: EmbeddedBus) -> None:
    await publish(bus, [str(number) for number in range(60)])
    done: list[str] = []
    for _ in range(3):
        async with process(MEMBER, bus, "g") as member:
            done += (await said(member, 11))[1:]
            member.kill()
            done += await said(member)
    began_s = time.monotonic()
    async with bus.consumer([WORK.name], group="g", start="earliest") as consumer:
        assert time.monotonic() - began_s < 3.0  # no session of a dead member's is waited for; on an idle machine 0.02
        rest = [text_of(record) for record in await take(consumer, 60 - len(done))]
    assert set(done) | set(rest) == {str(number) for number in range(60)}
    assert len(done) + len(rest) - 60 <= 4  # each time, what was said and not yet committed


async def test_a_second_member_is_refused_by_name_and_let_in_once_the_first_has_died(bus: EmbeddedBus) -> None:
    bus = EmbeddedBus(quick_settings(f"embedded://{bus.path}").model_copy(update={"session_timeout_s": 0.3}))
    async with process(MEMBER, bus, "g") as member:
        await said(member, 1)
        with pytest.raises(TransientError, match=rf"group g already has a member, process {member.pid}, .*Kafka"):
            async with bus.consumer([WORK.name], group="g", start="earliest"):
                pass
        async with bus.consumer([WORK.name], group="other", start="earliest") as consumer:
            assert len(consumer.assigned()) == 4
        member.kill()
        async with bus.consumer([WORK.name], group="g", start="earliest") as consumer:
            assert len(consumer.assigned()) == 4


async def test_a_second_member_that_waits_takes_over_when_the_first_leaves(bus: EmbeddedBus) -> None:
    async with asyncio.TaskGroup() as tasks:
        async with bus.consumer([WORK.name], group="g", start="earliest") as first:

            async def second() -> frozenset[TopicPartition]:
                async with bus.consumer([WORK.name], group="g", start="earliest") as consumer:
                    return consumer.assigned()

            waiting = tasks.create_task(second())
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await first.commit(dict.fromkeys(first.assigned(), Commit(0)))
        assert len(await waiting) == 4


async def test_news_from_another_process_wake_a_poll_soon_and_waiting_costs_little(bus: EmbeddedBus) -> None:
    late_ms: list[float] = []
    busy_s = 0.0
    async with bus.consumer([WORK.name], group="g", start="earliest") as consumer, bus.producer() as producer:
        for number in range(30):
            polling = asyncio.create_task(consumer.poll(max_records=10, timeout_s=5.0))
            began_s = time.process_time()
            await asyncio.sleep(0.05 + number % 7 / 100)
            busy_s += time.process_time() - began_s
            await producer.publish([Message(topic=WORK.name, key="k", value=b"x")])
            sent_s = time.monotonic()
            assert len(await polling) == 1
            late_ms.append(1000 * (time.monotonic() - sent_s))
        began_s, began_busy_s = time.monotonic(), time.process_time()
        assert await consumer.poll(max_records=10, timeout_s=1.5) == []
        share = (time.process_time() - began_busy_s) / (time.monotonic() - began_s)
    assert statistics.median(late_ms) < 20
    assert share < 0.1  # of one core, also on a machine that is busy; 1% on one that is not


async def test_a_reader_below_the_oldest_starts_at_the_oldest(bus: EmbeddedBus, tmp_path: Path) -> None:
    async with bus.consumer([WORK.name], group="g", start="earliest") as consumer:
        for number in range(6):
            await publish(bus, [f"{number}"] * 3)  # one key each, so one place
        first = await take(consumer, 18)
        await consumer.commit({record.topic_partition: Commit(0) for record in first})
    with sqlite3.connect(bus.path) as connection:  # three days pass
        connection.execute("UPDATE records SET timestamp_ms = timestamp_ms - 3 * 86400000")
    connection.close()
    young = quick_settings(f"embedded://{bus.path}").model_copy(update={"work_retention_h": 48.0})
    await publish(EmbeddedBus(young), ["new"])  # a publish sweeps
    async with bus.consumer([WORK.name], group="g", start="earliest") as consumer:
        assert [text_of(record) for record in await take(consumer, 1)] == ["new"]
        assert sum((await consumer.lag()).values()) == 1


async def test_no_full_place_starves_another(bus: EmbeddedBus) -> None:
    await publish(bus, [f"{number % 20}" for number in range(400)])
    async with bus.consumer([WORK.name], group="g", start="earliest") as consumer:
        first = [record for _ in range(4) for record in await consumer.poll(max_records=5, timeout_s=1.0)]
        assert {record.topic_partition for record in first} == consumer.assigned()


async def test_a_place_paused_while_a_poll_is_under_way_keeps_its_records_for_later(bus: EmbeddedBus) -> None:
    await publish(bus, ["a"])
    async with bus.consumer([WORK.name], group="g", start="earliest") as consumer:
        polling = asyncio.create_task(consumer.poll(max_records=10, timeout_s=0.1))
        await asyncio.sleep(0)  # it reads, in its thread
        consumer.pause(consumer.assigned())
        assert await polling == []
        consumer.resume(consumer.assigned())
        assert [text_of(record) for record in await take(consumer, 1)] == ["a"]


async def test_with_places_that_are_made_later_all_are_dealt_anew(bus: EmbeddedBus) -> None:
    told: list[tuple[str, int]] = []

    async def on_assign(topic_partitions: frozenset[TopicPartition]) -> None:
        told.append(("assign", len(topic_partitions)))

    async def on_revoke(topic_partitions: frozenset[TopicPartition]) -> None:
        told.append(("revoke", len(topic_partitions)))
        await consumer.commit({record.topic_partition: Commit(record.offset + 1)})

    topics = [WORK.name, "later"]
    async with bus.consumer(topics, group="g", start="earliest", on_assign=on_assign, on_revoke=on_revoke) as consumer:
        await publish(bus, ["a"])
        (record,) = await take(consumer, 1)
        await bus.create_topics([Topic("later", "work", "ingest", ())])
        await publish(bus, ["b"], topic="later")
        assert [text_of(one) for one in await take(consumer, 1)] == ["b"]  # and not "a" again
    assert told == [("assign", 4), ("revoke", 4), ("assign", 8)]


async def test_while_the_file_is_away_everybody_is_told_and_afterwards_goes_on(bus: EmbeddedBus) -> None:
    away = bus.path.with_suffix(".away")
    async with (
        bus.consumer([WORK.name], group="g", start="earliest") as consumer,
        bus.producer() as producer,
        bus.state(STATE.name) as reader,
    ):
        await producer.publish([Message(topic=WORK.name, key="k", value=b"before")])
        assert len(await take(consumer, 1)) == 1
        shutil.move(bus.path, away)
        calls = (
            bus.probe,
            lambda: producer.publish([Message(topic=WORK.name, key="k", value=b"lost")]),
            lambda: consumer.poll(max_records=1, timeout_s=0.1),
            lambda: consumer.commit(dict.fromkeys(consumer.assigned(), Commit(1))),
            reader.snapshot,
        )
        for call in calls:
            with pytest.raises(TransientError, match="is not there or can't be opened"):
                await call()
        assert not bus.path.exists()  # no process creates an empty one in its place
        shutil.move(away, bus.path)
        await producer.publish([Message(topic=WORK.name, key="k", value=b"after")])
        assert [text_of(record) for record in await take(consumer, 1)] == ["after"]


async def test_another_bus_in_its_place_ends_the_process(bus: EmbeddedBus) -> None:
    async with bus.consumer([WORK.name], group="g", start="earliest") as consumer:
        os.unlink(bus.path)  # noqa: PTH108 - beside it lie its -wal and -shm, which go with it
        for end in ("-wal", "-shm"):
            bus.path.with_name(bus.path.name + end).unlink(missing_ok=True)
        await EmbeddedBus(quick_settings(f"embedded://{bus.path}")).create_topics([WORK])
        with pytest.raises(RuntimeError, match="was replaced by another bus"):
            await consumer.poll(max_records=1, timeout_s=0.1)


async def test_a_publish_that_was_given_up_while_it_waited_is_never_written(bus: EmbeddedBus) -> None:
    blocker = sqlite3.connect(bus.path, isolation_level=None)
    async with bus.producer() as producer:
        blocker.execute("BEGIN IMMEDIATE")
        first = asyncio.create_task(producer.publish([Message(topic=WORK.name, key="k", value=b"first")]))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(producer.publish([Message(topic=WORK.name, key="k", value=b"given up")]))
        third = asyncio.create_task(producer.publish([Message(topic=WORK.name, key="k", value=b"third")]))
        await asyncio.sleep(0.1)
        second.cancel()
        blocker.execute("ROLLBACK")
        await asyncio.gather(first, third)
    blocker.close()
    assert await everything(bus, 2) == ["first", "third"]


async def test_a_publish_that_is_held_up_for_too_long_is_refused_and_never_written(bus: EmbeddedBus) -> None:
    quick = quick_settings(f"embedded://{bus.path}").model_copy(update={"publish_timeout_s": 0.4})
    blocker = sqlite3.connect(bus.path, isolation_level=None)
    async with EmbeddedBus(quick).producer() as producer:
        blocker.execute("BEGIN IMMEDIATE")
        ticks = 0
        publishing = asyncio.create_task(producer.publish([Message(topic=WORK.name, key="k", value=b"late")]))
        while not publishing.done():
            await asyncio.sleep(0.01)
            ticks += 1
        with pytest.raises(TransientError, match="held by another process"):
            await publishing
        assert ticks > 10  # the event loop went on meanwhile
        blocker.execute("ROLLBACK")
        await producer.publish([Message(topic=WORK.name, key="k", value=b"in time")])
    blocker.close()
    assert await everything(bus, 1) == ["in time"]


async def test_leaving_waits_for_what_is_under_way(bus: EmbeddedBus) -> None:
    async with bus.producer() as producer:
        publishing = []
        for number in range(30):  # several transactions, the last of them not begun
            message = Message(topic=WORK.name, key="k", value=str(number).encode())
            publishing.append(asyncio.create_task(producer.publish([message])))
            await asyncio.sleep(0)
    assert all(one.done() for one in publishing)
    await asyncio.gather(*publishing)
    assert await everything(bus, 30) == [str(number) for number in range(30)]


async def test_a_torn_end_of_the_log_loses_no_more_than_its_last_transaction(bus: EmbeddedBus, tmp_path: Path) -> None:
    holder = sqlite3.connect(bus.path)  # while a connection is open, SQLite keeps the log apart
    holder.execute("SELECT count(*) FROM records").fetchone()
    for number in range(20):
        await publish(bus, [str(number)])
    copy = tmp_path / "copy.sqlite"  # as it lay on disk at some moment
    shutil.copy(bus.path, copy)
    wal = bus.path.with_name("bus.sqlite-wal").read_bytes()
    holder.close()
    assert len(wal) > 1000
    copy.with_name("copy.sqlite-wal").write_bytes(wal[:-300])
    found = await everything(EmbeddedBus(quick_settings(f"embedded://{copy}")), 19)
    assert sorted(map(int, found)) == list(range(19))
