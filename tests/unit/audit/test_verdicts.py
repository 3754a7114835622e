"""The verdict log: the newest verdicts of a topic, and new ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from siad.audit.verdicts import VerdictLog
from siad.contracts.codec import encode
from siad.contracts.errors import TransientError
from siad.contracts.events import VerdictGiven
from siad.contracts.topics import VERDICT
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.memory_readers import MemoryLogReader
from siad.runtime.bus.port import Message, Record
from siad.runtime.testing.clock import FakeClock
from tests.unit.apps.cli.events import verdict


@pytest.fixture
async def bus() -> MemoryBus:
    bus = MemoryBus(partitions=3)
    await bus.create_topics([VERDICT])
    return bus


async def publish(bus: MemoryBus, *verdicts: VerdictGiven) -> None:
    async with bus.producer() as producer:
        for number, one in enumerate(verdicts):
            key = f"{one.line}/{number % 2}"
            await producer.publish([Message(topic=VERDICT.name, key=key, value=encode(one))])


async def captures(verdicts: AsyncIterator[VerdictGiven]) -> list[int]:
    return [int(one.capture_id, 16) async for one in verdicts]


async def test_the_newest_are_read_in_the_order_of_judging(bus: MemoryBus) -> None:
    await publish(bus, *(verdict(number, 0.5) for number in range(50)))
    assert await captures(VerdictLog(bus).read(limit=5)) == [45, 46, 47, 48, 49]


async def test_a_rare_line_is_found_however_far_back(bus: MemoryBus) -> None:
    rare = [replace(verdict(number, 0.5), line="rare") for number in range(3)]
    await publish(bus, *rare, *(verdict(number, 0.5) for number in range(3, 300)))
    assert await captures(VerdictLog(bus).read(limit=2, line="rare")) == [1, 2]
    assert await captures(VerdictLog(bus).read(limit=20, line="rare")) == [0, 1, 2]
    assert await captures(VerdictLog(bus).read(limit=20, line="absent")) == []


async def test_a_record_that_cannot_be_decoded_is_skipped(bus: MemoryBus) -> None:
    await publish(bus, verdict(1, 0.5))
    async with bus.producer() as producer:
        await producer.publish([Message(topic=VERDICT.name, key="l/0", value=b"\xff\xff")])
    await publish(bus, verdict(2, 0.5))
    assert await captures(VerdictLog(bus).read(limit=5)) == [1, 2]


async def test_following_goes_on_after_an_outage(bus: MemoryBus) -> None:
    clock = FakeClock()
    await publish(bus, verdict(1, 0.5), verdict(2, 0.5))
    async with aclosing(VerdictLog(bus, clock=clock).read(limit=1, follow=True)) as found, asyncio.timeout(10):
        assert (await anext(found)).capture_id == verdict(2, 0.5).capture_id
        bus.down = True
        following = asyncio.ensure_future(anext(found))
        while not clock.slept:
            await asyncio.sleep(0)
        bus.down = False
        await publish(bus, verdict(3, 0.5))
        assert (await following).capture_id == verdict(3, 0.5).capture_id


async def test_a_silent_broker_is_probed_and_reported_once(bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the Kafka client: no records and no error while the broker is away."""
    clock = FakeClock()
    await publish(bus, verdict(1, 0.5))
    async with aclosing(VerdictLog(bus, clock=clock).read(limit=1, follow=True)) as found, asyncio.timeout(10):
        assert (await anext(found)).capture_id == verdict(1, 0.5).capture_id
        is_quiet = True

        async def changes(reader: MemoryLogReader, *, timeout_s: float) -> list[Record]:
            await asyncio.sleep(0)
            return [] if is_quiet else await original(reader, timeout_s=timeout_s)

        original = MemoryLogReader.changes
        monkeypatch.setattr(MemoryLogReader, "changes", changes)
        bus.down = True
        with capture_logs() as logs:
            following = asyncio.ensure_future(anext(found))
            while len(clock.slept) < 3:
                await asyncio.sleep(0)
        assert [entry["event"] for entry in logs] == ["broker_unavailable"]
        bus.down = is_quiet = False
        await publish(bus, verdict(2, 0.5))
        assert (await following).capture_id == verdict(2, 0.5).capture_id


async def test_no_consumer_group_is_used(bus: MemoryBus) -> None:
    await publish(bus, verdict(1, 0.5))
    assert await captures(VerdictLog(bus).read(limit=1)) == [1]
    assert not bus._groups


async def test_a_missing_topic_and_an_unavailable_broker_are_reported() -> None:
    bus = MemoryBus()
    with pytest.raises(TransientError, match=r"topic siad\.verdict\.v1 .*does not exist"):
        await captures(VerdictLog(bus).read(limit=1))
    bus.down = True
    with pytest.raises(TransientError, match="down"):
        await captures(VerdictLog(bus).read(limit=1))
