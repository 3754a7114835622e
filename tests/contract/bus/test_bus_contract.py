"""What every bus promises."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import pytest

from siad.contracts.errors import TransientError
from siad.contracts.topics import LINE, TOPICS, Topic, dead_letter
from siad.runtime import trace
from siad.runtime.bus.port import MESSAGE_BYTES_MAX, Bus, Commit, Consumer, Message, Record, TopicPartition

PATIENCE_S = 40.0
PLACES = {"solar-mono/0": 1, "solar-mono/1": 2, "solar-mono/2": 3, "ä": 1}  # Java's murmur2 of the key, of 4


def message(topic: str, key: str, value: bytes | None, **headers: bytes) -> Message:
    return Message(topic=topic, key=key, value=value, headers=tuple(headers.items()))


async def publish(bus: Bus, messages: Sequence[Message]) -> None:
    async with bus.producer() as producer:
        await producer.publish(messages)


async def take(consumer: Consumer, count: int) -> list[Record]:
    """Poll until so many records came."""
    records: list[Record] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(records) < count:
            records += await consumer.poll(max_records=count - len(records), timeout_s=0.2)
    return records


async def poll_until(condition: Callable[[], bool], *consumers: Consumer) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.gather(*(consumer.poll(max_records=1, timeout_s=0.1) for consumer in consumers))


def values(records: Sequence[Record]) -> set[bytes]:
    return {record.value for record in records if record.value is not None}


def past(records: Sequence[Record]) -> dict[TopicPartition, Commit]:
    """Commits that lie behind all of these."""
    return {
        record.topic_partition: Commit(record.offset + 1)
        for record in sorted(records, key=lambda record: record.offset)
    }


async def test_order_is_kept_per_key(bus: Bus, topic: str, group: str) -> None:
    await publish(bus, [message(topic, f"k{n % 5}", str(n).encode()) for n in range(100)])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        records = await take(consumer, 100)
    seen: dict[bytes, list[int]] = defaultdict(list)
    for record in records:
        seen[record.key].append(int(record.value or b""))
    assert {key: sorted(numbers) for key, numbers in seen.items()} == dict(seen)
    assert sum(map(len, seen.values())) == 100


async def test_one_key_lies_in_one_partition_and_many_keys_are_spread(bus: Bus, topic: str, group: str) -> None:
    await publish(bus, [message(topic, f"line/{n % 40}", b"x") for n in range(80)])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        records = await take(consumer, 80)
    topic_partitions: dict[bytes, set[TopicPartition]] = defaultdict(set)
    for record in records:
        topic_partitions[record.key].add(record.topic_partition)
    assert all(len(where) == 1 for where in topic_partitions.values())
    assert len({record.topic_partition for record in records}) == 4


async def test_a_member_resumes_at_the_committed_offset_with_its_note(bus: Bus, topic: str, group: str) -> None:
    await publish(bus, [message(topic, "k", str(n).encode()) for n in range(10)])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        records = await take(consumer, 10)
        topic_partition = records[0].topic_partition
        await consumer.commit({topic_partition: Commit(4, "2 crashes")})
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        again = await take(consumer, 6)
        assert [record.offset for record in again] == [4, 5, 6, 7, 8, 9]
        assert await consumer.committed(topic_partition) == Commit(4, "2 crashes")


async def test_what_was_never_committed_is_delivered_again(bus: Bus, topic: str, group: str) -> None:
    await publish(bus, [message(topic, f"k{n}", str(n).encode()) for n in range(20)])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        first = await take(consumer, 20)
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        assert values(await take(consumer, 20)) == values(first)
        assert await consumer.committed(first[0].topic_partition) is None


async def test_many_publishers_at_once_each_get_their_answer(bus: Bus, topic: str, group: str) -> None:
    async with bus.producer() as producer:
        batches = [[message(topic, f"k{n}", f"{n}-{m}".encode()) for m in range(5)] for n in range(40)]
        await asyncio.gather(*(producer.publish(batch) for batch in batches))
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        records = await take(consumer, 200)
    for n in range(40):
        assert [r.value for r in records if r.key == f"k{n}".encode()] == [f"{n}-{m}".encode() for m in range(5)]


async def test_the_places_of_keys_are_the_same_on_every_bus(bus: Bus, topic: str, group: str) -> None:
    await publish(bus, [message(topic, key, b"x") for key in ("solar-mono/0", "solar-mono/1", "solar-mono/2", "ä")])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        found = {record.key.decode(): record.topic_partition.partition for record in await take(consumer, 4)}
    assert found == PLACES


async def test_a_group_that_starts_at_the_latest_skips_what_was_there(bus: Bus, topic: str, group: str) -> None:
    await publish(bus, [message(topic, "k", b"old")])
    async with bus.consumer([topic], group=group, start="latest") as consumer:
        await poll_until(lambda: bool(consumer.assigned()), consumer)
        await consumer.poll(max_records=10, timeout_s=1.0)
        await publish(bus, [message(topic, "k", b"new")])
        assert values(await take(consumer, 1)) == {b"new"}


@pytest.mark.usefixtures("_groups_grow")
async def test_a_member_joins_and_takes_its_share(bus: Bus, topic: str, group: str) -> None:
    async with bus.consumer([topic], group=group, start="earliest") as first:
        await poll_until(lambda: len(first.assigned()) == 4, first)
        async with bus.consumer([topic], group=group, start="earliest") as second:
            await poll_until(lambda: len(first.assigned()) == len(second.assigned()) == 2, first, second)
            assert not first.assigned() & second.assigned()


@pytest.mark.usefixtures("_groups_grow")
async def test_a_member_leaves_and_its_places_move_at_once(bus: Bus, topic: str, group: str) -> None:
    async with AsyncExitStack() as rest, bus.consumer([topic], group=group, start="earliest") as first:
        async with bus.consumer([topic], group=group, start="earliest") as second:
            await poll_until(lambda: bool(second.assigned()), first, second)
        await poll_until(lambda: len(first.assigned()) == 4, first)
        await rest.aclose()


@pytest.mark.usefixtures("_groups_grow")
async def test_what_moves_is_told_before_and_can_still_be_committed(bus: Bus, topic: str, group: str) -> None:
    await publish(bus, [message(topic, f"k{n}", str(n).encode()) for n in range(40)])
    told: list[frozenset[TopicPartition]] = []
    async with AsyncExitStack() as stack:
        taken: list[Record] = []

        async def on_revoke(topic_partitions: frozenset[TopicPartition]) -> None:
            told.append(topic_partitions)
            await first.commit(
                {
                    topic_partition: commit
                    for topic_partition, commit in past(taken).items()
                    if topic_partition in topic_partitions
                }
            )

        first = await stack.enter_async_context(
            bus.consumer([topic], group=group, start="earliest", on_revoke=on_revoke)
        )
        taken += await take(first, 40)
        async with bus.consumer([topic], group=group, start="earliest") as second:
            await poll_until(lambda: len(second.assigned()) == 2, first, second)
            for topic_partition in second.assigned():
                assert await second.committed(topic_partition) == past(taken)[topic_partition]
    assert any(told)


@pytest.mark.usefixtures("_groups_grow")
async def test_after_a_newcomer_also_the_old_member_gets_again_what_it_did_not_commit(
    bus: Bus, topic: str, group: str
) -> None:
    await publish(bus, [message(topic, f"k{n}", str(n).encode()) for n in range(40)])
    async with bus.consumer([topic], group=group, start="earliest") as first:
        taken = await take(first, 40)
        done = {
            topic_partition: commit for topic_partition, commit in past(taken).items() if topic_partition.partition < 2
        }
        await first.commit(done)
        first.pause(first.assigned())
        async with bus.consumer([topic], group=group, start="earliest") as second:
            again: list[Record] = []
            async with asyncio.timeout(PATIENCE_S):
                while len(again) < sum(record.topic_partition not in done for record in taken):
                    for member in (first, second):  # the pause is forgotten as well
                        again += await member.poll(max_records=50, timeout_s=0.1)
    assert values(again) == values([record for record in taken if record.topic_partition not in done])


@pytest.mark.usefixtures("_groups_grow")
async def test_poll_keeps_its_timeout_while_places_move(bus: Bus, topic: str, group: str) -> None:
    async def on_revoke(topic_partitions: frozenset[TopicPartition]) -> None:
        await asyncio.sleep(2.0)  # finishes what is in hand

    async with (
        bus.consumer([topic], group=group, start="earliest", on_revoke=on_revoke) as first,
        asyncio.TaskGroup() as tasks,
    ):
        await poll_until(lambda: len(first.assigned()) == 4, first)

        async def come_and_go() -> None:
            async with bus.consumer([topic], group=group, start="earliest") as second:
                await poll_until(lambda: len(second.assigned()) == 2, second)

        coming = tasks.create_task(come_and_go())
        while not coming.done():
            async with asyncio.timeout(1.9):
                await first.poll(max_records=1, timeout_s=0.1)


async def test_leaving_calls_no_on_revoke(bus: Bus, topic: str, group: str) -> None:
    told: list[frozenset[TopicPartition]] = []

    async def on_revoke(topic_partitions: frozenset[TopicPartition]) -> None:
        told.append(topic_partitions)

    async with bus.consumer([topic], group=group, start="earliest", on_revoke=on_revoke) as consumer:
        await poll_until(lambda: len(consumer.assigned()) == 4, consumer)
    assert told == []


async def test_what_a_hook_raises_comes_out(bus: Bus, topic: str, group: str) -> None:
    async def on_assign(topic_partitions: frozenset[TopicPartition]) -> None:
        raise ZeroDivisionError(len(topic_partitions))

    with pytest.raises(ZeroDivisionError, match="4"):
        async with bus.consumer([topic], group=group, start="earliest", on_assign=on_assign) as consumer:
            await poll_until(lambda: False, consumer)


@pytest.mark.usefixtures("_groups_grow")
async def test_a_commit_for_a_place_that_moved_is_refused(bus: Bus, topic: str, group: str) -> None:
    async with bus.consumer([topic], group=group, start="earliest") as first:
        await poll_until(lambda: len(first.assigned()) == 4, first)
        async with bus.consumer([topic], group=group, start="earliest") as second:
            await poll_until(lambda: len(second.assigned()) == 2, first, second)
            with pytest.raises(TransientError, match="moved to another member"):
                await first.commit(dict.fromkeys(second.assigned(), Commit(0)))


async def test_a_message_published_within_a_trace_carries_it(bus: Bus, topic: str, group: str) -> None:
    span, other = trace.TraceSpan.root(), trace.headers_of(trace.TraceSpan.root())
    token = trace.CURRENT.set(span)
    try:
        await publish(bus, [message(topic, "k", b"1"), message(topic, "k", b"2", traceparent=other[0][1])])
    finally:
        trace.CURRENT.reset(token)
    await publish(bus, [message(topic, "k", b"3")])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        records = await take(consumer, 3)
    found = {record.value: record.headers for record in records}
    assert found == {b"1": trace.headers_of(span), b"2": other, b"3": ()}


async def test_messages_up_to_the_bound_pass_with_their_headers(bus: Bus, topic: str, group: str) -> None:
    largest = bytes(range(256)) * (MESSAGE_BYTES_MAX // 256)
    await publish(bus, [message(topic, "k", largest, traceparent=b"00-ab-cd-01", other=b"\xff")])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        (record,) = await take(consumer, 1)
    assert record.value == largest
    assert record.headers == (("traceparent", b"00-ab-cd-01"), ("other", b"\xff"))
    assert record.timestamp_ms > 1_600_000_000_000


async def test_a_message_over_the_bound_stops_all_it_was_sent_with(bus: Bus, topic: str, group: str) -> None:
    too_large = message(topic, "k", b"x" * (MESSAGE_BYTES_MAX + 1))
    with pytest.raises(ValueError, match=r"65537 bytes, 65536 are allowed"):
        await publish(bus, [message(topic, "k", b"small"), too_large])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        assert await consumer.poll(max_records=10, timeout_s=1.5) == []


async def test_a_dead_letter_may_be_twice_as_long(bus: Bus, group: str) -> None:
    letters = dead_letter(f"test-{group}")
    await bus.create_topics([letters])
    await publish(bus, [message(letters.name, "k", bytes(2 * MESSAGE_BYTES_MAX))])
    with pytest.raises(ValueError, match=r"131073 bytes, 131072 are allowed"):
        await publish(bus, [message(letters.name, "k", bytes(2 * MESSAGE_BYTES_MAX + 1))])
    async with bus.consumer([letters.name], group=group, start="earliest") as consumer:
        assert [len(record.value or b"") for record in await take(consumer, 1)] == [2 * MESSAGE_BYTES_MAX]


async def test_lag_is_what_is_not_committed(bus: Bus, topic: str, group: str) -> None:
    await publish(bus, [message(topic, f"k{n}", b"x") for n in range(30)])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        records = await take(consumer, 30)
        assert sum((await consumer.lag()).values()) == 30
        await consumer.commit(past(records))
        assert set((await consumer.lag()).values()) == {0}
        assert len(await consumer.lag()) == 4


async def test_paused_places_give_nothing_until_they_are_resumed(bus: Bus, topic: str, group: str) -> None:
    await publish(bus, [message(topic, "a", b"1")])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        (record,) = await take(consumer, 1)
        consumer.pause(frozenset({record.topic_partition, TopicPartition("nowhere", 7)}))
        await publish(bus, [message(topic, "a", b"2")])
        assert await consumer.poll(max_records=10, timeout_s=1.0) == []
        consumer.resume(frozenset({record.topic_partition, TopicPartition("nowhere", 7)}))
        assert values(await take(consumer, 1)) == {b"2"}


async def test_a_state_topic_is_read_whole_the_last_of_each_key(bus: Bus, state_topic: str) -> None:
    news = [message(state_topic, f"line-{n % 3}", str(n).encode()) for n in range(30)]
    await publish(bus, [*news, message(state_topic, "line-1", None)])
    async with bus.state(state_topic) as reader:
        table = await reader.snapshot()
    assert {key: record.value for key, record in table.items()} == {"line-0": b"27", "line-2": b"29"}


async def test_changes_of_a_state_topic_follow_its_snapshot(bus: Bus, state_topic: str) -> None:
    await publish(bus, [message(state_topic, "a", b"1")])
    async with bus.state(state_topic) as reader:
        assert set(await reader.snapshot()) == {"a"}
        assert await reader.changes(timeout_s=0.3) == []
        await publish(bus, [message(state_topic, "a", b"2"), message(state_topic, "a", None)])
        changes: list[Record] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(changes) < 2:
                changes += await reader.changes(timeout_s=0.2)
    assert [record.value for record in changes] == [b"2", None]


async def test_an_empty_state_topic_has_an_empty_snapshot(bus: Bus, state_topic: str) -> None:
    async with bus.state(state_topic) as reader:
        assert await reader.snapshot() == {}


async def test_the_topics_of_the_flow_can_be_made_side_by_side(bus: Bus) -> None:
    await asyncio.gather(*(bus.create_topics(TOPICS) for _ in range(3)))
    async with bus.state(LINE.name) as reader:
        assert await reader.snapshot() == {}


async def test_making_topics_again_leaves_what_is_in_them(bus: Bus, topic: str, group: str) -> None:
    await publish(bus, [message(topic, "k", b"x")])
    await bus.create_topics([Topic(topic, "work", "ingest", ())])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        assert values(await take(consumer, 1)) == {b"x"}
