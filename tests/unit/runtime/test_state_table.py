"""A state topic as a table: whole before ready, only higher revisions, through outages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

from siad.contracts.codec import encode
from siad.contracts.errors import DeniedError, TransientError
from siad.contracts.events import LineChanged
from siad.contracts.topics import LINE
from siad.runtime import state_table as state
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.memory_readers import MemoryStateReader
from siad.runtime.bus.port import Message
from siad.runtime.state_table import StateTable
from siad.runtime.testing.clock import FakeClock
from siad.runtime.testing.waiting import until

Table = StateTable[LineChanged]
Running = tuple[MemoryBus, Table, list[tuple[str, int | None]]]


def line(name: str, revision: int, product: str = "cell") -> LineChanged:
    return LineChanged(
        line=name,
        revision=revision,
        product=product,
        false_reject_budget=0.05,
        shards=1,
        deadline_s=0,
        changed_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


async def publish(bus: MemoryBus, key: str, value: bytes | None) -> None:
    async with bus.producer() as producer:
        await producer.publish([Message(topic=LINE.name, key=key, value=value)])


async def say(bus: MemoryBus, *changes: LineChanged) -> None:
    for change in changes:
        await publish(bus, change.line, encode(change))


@asynccontextmanager
async def following(bus: MemoryBus, table: Table) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(table.follow(bus, stop))
    await table.wait_ready()
    try:
        yield
    finally:
        stop.set()
        await publish(bus, "unused", None)  # wakes the reader
        await task


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setattr(state, "POLL_S", 0.005)
    bus = MemoryBus()
    await bus.create_topics([LINE])
    told: list[tuple[str, int | None]] = []
    table = Table(
        LINE,
        LineChanged,
        stage="paint",
        on_change=lambda key, value: told.append((key, value.revision if value else None)),
        clock=FakeClock(),
    )
    return bus, table, told


async def test_is_not_ready_before_the_topic_was_read_whole(running: Running) -> None:
    bus, table, told = running
    await say(bus, line("l1", 1), line("l2", 1), line("l1", 2))
    with pytest.raises(TransientError, match=r"siad\.line\.v1 has not been read to its end yet"):
        await table.check()
    async with following(bus, table):
        await table.check()
        assert {key: value.revision for key, value in table.values().items()} == {"l1": 2, "l2": 1}
        assert sorted(told) == [("l1", 2), ("l2", 1)]


async def test_late_and_repeated_news_does_no_harm(running: Running) -> None:
    bus, table, told = running
    async with following(bus, table):
        await say(bus, line("l1", 3, "new"), line("l1", 2, "old"), line("l1", 3, "other"), line("l2", 1))
        assert await table.wait("l2", timeout_s=1)
        held = table.lookup("l1")
        assert held is not None
        assert held.product == "new"
        assert told == [("l1", 3), ("l2", 1)]


async def test_a_tombstone_removes_and_what_comes_after_counts_anew(running: Running) -> None:
    bus, table, told = running
    async with following(bus, table):
        await say(bus, line("l1", 3))
        await publish(bus, "l1", None)
        await say(bus, line("l1", 1), line("l2", 1))
        await table.wait("l2", timeout_s=1)
        assert table.values()["l1"].revision == 1
        assert told == [("l1", 3), ("l1", None), ("l1", 1), ("l2", 1)]


async def test_waits_for_a_revision_that_a_message_names(running: Running) -> None:
    bus, table, _ = running
    async with following(bus, table):
        await say(bus, line("l1", 1))
        waiting = asyncio.create_task(table.wait("l1", revision=2, timeout_s=1))
        await say(bus, line("l2", 1))
        assert await table.wait("l2", timeout_s=1)  # so everything before it was applied
        assert not waiting.done()
        await say(bus, line("l1", 2))
        found = await waiting
        assert found is not None
        assert found.revision == 2
        assert await table.wait("l1", revision=9, timeout_s=0.01) is None


async def test_an_outage_leaves_the_table_and_is_caught_up_with(running: Running) -> None:
    bus, table, told = running
    clock = table._clock
    assert isinstance(clock, FakeClock)
    async with following(bus, table):
        await say(bus, line("l1", 1), line("gone", 1))
        await table.wait("gone", timeout_s=1)
        bus.down = True
        await until(lambda: bool(clock.slept))  # the table has noticed it
        assert table.lookup("l1") is not None
        bus.down = False
        await publish(bus, "gone", None)
        await say(bus, line("l1", 2))
        assert await table.wait("l1", revision=2, timeout_s=1)
        assert table.lookup("gone") is None
        assert told.count(("l1", 1)) == 1  # reading it whole again told nothing twice


async def test_denied_access_makes_the_table_unready_until_it_is_back(running: Running) -> None:
    _, table, _ = running
    denials = [DeniedError("topic siad.line.v1: not authorized")] * 3

    class DeniedBus(MemoryBus):
        @asynccontextmanager
        async def state(self, topic: str) -> AsyncIterator[MemoryStateReader]:
            if denials:
                with pytest.raises(TransientError):
                    await table.check()
                raise denials.pop()
            async with super().state(topic) as reader:
                yield reader

    reports: list[str] = []

    class WatchedClock(FakeClock):
        async def sleep(self, seconds: float) -> None:
            with pytest.raises(DeniedError) as caught:
                await table.check()
            reports.append(str(caught.value))
            await super().sleep(seconds)

    table._clock = WatchedClock()
    denied = DeniedBus()
    await denied.create_topics([LINE])
    async with following(denied, table):
        await table.check()
    assert len(reports) == 3
    assert reports[0].startswith("access denied: topic siad.line.v1: not authorized")


async def test_bytes_that_are_no_event_leave_the_old_value(running: Running) -> None:
    bus, table, _ = running
    labels = {"stage": "paint", "topic": LINE.name, "fate": "poison"}
    before = REGISTRY.get_sample_value("siad_records_failed_total", labels) or 0
    async with following(bus, table):
        await say(bus, line("l1", 1))
        await publish(bus, "l1", b"\xff\xff")
        await say(bus, line("l2", 1))
        await table.wait("l2", timeout_s=1)
        assert table.values()["l1"].revision == 1
    assert REGISTRY.get_sample_value("siad_records_failed_total", labels) == before + 1
