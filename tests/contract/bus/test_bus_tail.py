"""The end of a work topic is read without a consumer group."""

import asyncio
import uuid
from collections.abc import Sequence

import pytest

from siad.contracts.errors import TransientError
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Bus, LogReader, Message, Record

TIMEOUT_S = 40.0


async def publish(bus: Bus, topic: str, values: Sequence[tuple[str, bytes]]) -> None:
    async with bus.producer() as producer:
        await producer.publish([Message(topic=topic, key=key, value=value) for key, value in values])


async def backlog(reader: LogReader) -> list[Record]:
    return [record async for batch in reader.backlog() for record in batch]


def by_key(records: Sequence[Record]) -> dict[bytes, list[bytes | None]]:
    keys: dict[bytes, list[bytes | None]] = {}
    for record in records:
        keys.setdefault(record.key, []).append(record.value)
    return keys


async def test_the_last_records_of_each_partition_are_read_in_order(bus: Bus, topic: str) -> None:
    # "solar-mono/0" and "solar-mono/1" are in different partitions
    await publish(bus, topic, [(f"solar-mono/{n % 2}", str(n).encode()) for n in range(20)])
    async with bus.tail(topic, last=3) as reader:
        records = await backlog(reader)
        assert not reader.is_complete
    assert by_key(records) == {b"solar-mono/0": [b"14", b"16", b"18"], b"solar-mono/1": [b"15", b"17", b"19"]}


async def test_a_long_backlog_comes_in_batches(bus: Bus, topic: str) -> None:
    await publish(bus, topic, [("a", str(n).encode()) for n in range(1200)])
    async with bus.tail(topic, last=1100) as reader:
        batches = [batch async for batch in reader.backlog() if batch]
    assert len(batches) > 1 or isinstance(bus, MemoryBus)
    assert [record.value for batch in batches for record in batch] == [str(n).encode() for n in range(100, 1200)]


async def test_a_short_topic_is_read_completely(bus: Bus, topic: str) -> None:
    await publish(bus, topic, [("a", b"1"), ("a", b"2")])
    async with bus.tail(topic, last=2) as reader:
        assert by_key(await backlog(reader)) == {b"a": [b"1", b"2"]}
        assert reader.is_complete


async def test_an_empty_topic_has_an_empty_backlog(bus: Bus, topic: str) -> None:
    async with bus.tail(topic, last=5) as reader:
        assert await backlog(reader) == []
        assert reader.is_complete


async def test_changes_follow_the_backlog_once_each(bus: Bus, topic: str) -> None:
    await publish(bus, topic, [("a", b"1"), ("b", b"1")])
    async with bus.tail(topic, last=1) as reader:
        await backlog(reader)
        assert await reader.changes(timeout_s=0.3) == []
        await publish(bus, topic, [("a", b"2"), ("b", b"2"), ("a", b"3")])
        records: list[Record] = []
        async with asyncio.timeout(TIMEOUT_S):
            while len(records) < 3:
                records += await reader.changes(timeout_s=0.2)
        assert by_key(records) == {b"a": [b"2", b"3"], b"b": [b"2"]}
        assert await reader.changes(timeout_s=0.3) == []


async def test_several_readers_each_get_every_record(bus: Bus, topic: str) -> None:
    await publish(bus, topic, [("a", b"1")])
    async with bus.tail(topic, last=9) as first, bus.tail(topic, last=9) as second:
        assert by_key(await backlog(first)) == by_key(await backlog(second)) == {b"a": [b"1"]}


async def test_a_missing_topic_is_reported_as_not_there_yet(bus: Bus, topic: str) -> None:
    with pytest.raises(TransientError):
        async with bus.tail(f"missing-{uuid.uuid4().hex}", last=1) as reader:
            await backlog(reader)


async def test_a_reader_goes_on_where_another_stopped(bus: Bus, topic: str) -> None:
    # "solar-mono/0" and "solar-mono/1" are in different partitions
    await publish(bus, topic, [(f"solar-mono/{n % 2}", str(n).encode()) for n in range(20)])
    async with bus.tail(topic, last=100) as reader:
        read = await backlog(reader)
    resume_at = {record.topic_partition.partition: record.offset - 1 for record in read}  # two before each end
    async with bus.tail(topic, last=100, resume_at=resume_at) as reader:
        records = await backlog(reader)
        assert {place: reader.begun_at[place] for place in resume_at} == resume_at
        assert not reader.is_complete
    assert by_key(records) == {b"solar-mono/0": [b"16", b"18"], b"solar-mono/1": [b"17", b"19"]}
    ends = {place: offset + 2 for place, offset in resume_at.items()}
    async with bus.tail(topic, last=100, resume_at=ends) as reader:
        assert await backlog(reader) == []
        await publish(bus, topic, [("solar-mono/0", b"20")])
        async with asyncio.timeout(TIMEOUT_S):
            while not (records := await reader.changes(timeout_s=0.2)):
                pass
    assert [record.value for record in records] == [b"20"]


async def test_an_offset_beyond_the_end_is_that_of_a_deleted_topic(bus: Bus, topic: str) -> None:
    await publish(bus, topic, [("a", b"1"), ("a", b"2"), ("a", b"3")])
    async with bus.tail(topic, last=2, resume_at=dict.fromkeys(range(100), 99)) as reader:
        records = await backlog(reader)
        (place,) = {record.topic_partition.partition for record in records}
        assert reader.begun_at[place] == 1
    assert [record.value for record in records] == [b"2", b"3"]
