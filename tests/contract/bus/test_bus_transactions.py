"""Transactions on every bus: results and offset, both or neither, and one owner of a partition."""

import asyncio

import pytest

from siad.contracts.errors import TransientError
from siad.runtime.bus.embedded.bus import EmbeddedBus
from siad.runtime.bus.port import MESSAGE_BYTES_MAX, Bus, Commit, Message, TopicPartition, Transactions


def message(topic: str, text: str) -> Message:
    return Message(topic=topic, key=text, value=text.encode(), headers=(("h", b"1"),))


async def opened(transactions: Transactions, source: TopicPartition) -> Commit | None:
    """Open, also where the broker has yet to make the topic in which it keeps offsets."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await transactions.open(source)
            except TransientError:
                await asyncio.sleep(0.2)


async def values(bus: Bus, topic: str, count: int) -> list[str]:
    """Everything that a reader of the topic gets, at least ``count`` records."""
    found: list[str] = []
    async with asyncio.timeout(20), bus.tail(topic, last=10**6) as reader:
        async for batch in reader.backlog():
            found += [(record.value or b"").decode() for record in batch]
        while len(found) < count:
            found += [(record.value or b"").decode() for record in await reader.changes(timeout_s=0.2)]
        found += [(record.value or b"").decode() for record in await reader.changes(timeout_s=0.5)]
    return sorted(found)


async def test_results_and_offset_arrive_together(bus: Bus, topic: str, group: str) -> None:
    source = TopicPartition(topic, 1)
    async with bus.transactions(group) as transactions:
        assert await opened(transactions, source) is None
        await transactions.publish(source, [message(topic, "a"), message(topic, "b")], Commit(2, "note"))
        await transactions.publish(source, [], Commit(3, "none"))
        await transactions.publish(source, [message(topic, "c")], Commit(4))
    async with bus.transactions(group) as transactions:
        assert await opened(transactions, source) == Commit(4)
        assert await opened(transactions, TopicPartition(topic, 2)) is None
    assert await values(bus, topic, 3) == ["a", "b", "c"]


async def test_a_member_of_the_group_sees_the_offset_and_its_note(bus: Bus, topic: str, group: str) -> None:
    source = TopicPartition(topic, 0)
    async with bus.transactions(group) as transactions:
        await opened(transactions, source)
        await transactions.publish(source, [message(topic, "a")], Commit(1, "careful-until=9 strikes=1"))
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        async with asyncio.timeout(20):
            while source not in consumer.assigned():
                await consumer.poll(max_records=1, timeout_s=0.1)
        assert await consumer.committed(source) == Commit(1, "careful-until=9 strikes=1")
        await consumer.commit({source: Commit(1, "")})
        assert await consumer.committed(source) == Commit(1, "")


async def test_a_refused_transaction_changes_nothing(bus: Bus, topic: str, group: str) -> None:
    source = TopicPartition(topic, 0)
    async with bus.transactions(group) as transactions:
        await opened(transactions, source)
        large = Message(topic=topic, key="k", value=b"x" * (MESSAGE_BYTES_MAX + 1))
        with pytest.raises(ValueError, match="are allowed"):
            await transactions.publish(source, [message(topic, "a"), large], Commit(1))
        assert await opened(transactions, source) is None
        await transactions.publish(source, [message(topic, "b")], Commit(1))
    assert await values(bus, topic, 1) == ["b"]


async def test_a_later_owner_fences_the_earlier_one(bus: Bus, topic: str, group: str) -> None:
    if isinstance(bus, EmbeddedBus):
        pytest.skip("the embedded bus has one member a group, by design (docs/adr/0008)")
    source = TopicPartition(topic, 0)
    async with bus.transactions(group) as first, bus.transactions(group) as second:
        await opened(first, source)
        await first.publish(source, [message(topic, "a")], Commit(1))
        assert await opened(second, source) == Commit(1)
        with pytest.raises(TransientError):
            await first.publish(source, [message(topic, "from the past")], Commit(2))
        await second.publish(source, [message(topic, "b")], Commit(2))
        assert await opened(first, source) == Commit(2)  # an owner that comes back learns what happened
    assert await values(bus, topic, 2) == ["a", "b"]
