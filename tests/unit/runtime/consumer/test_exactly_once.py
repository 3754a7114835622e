"""Exactly-once delivery: whatever ends or fails, each record has one answer."""

import asyncio
from collections import Counter
from itertools import count

import pytest

from siad.contracts.errors import BusFailedError, PoisonError, TransientError
from siad.contracts.topics import dead_letter
from siad.runtime.bus.memory import MemoryBus, MemoryTransactions
from siad.runtime.bus.port import Commit, Message, TopicPartition
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.world import IN, OUT, STAGE, World, make_world, text_of

TEXTS = ("a", "b", "c")


async def make_exact_world(in_flight: int = 2) -> World:
    world = await make_world()
    world.limit(max_in_flight=in_flight, delivery="exactly-once")
    return world


def answers(world: World) -> Counter[str]:
    return Counter(text_of(record) for record in world.bus.records(OUT.name))


@pytest.mark.parametrize("in_flight", [1, 2, 8])
@pytest.mark.parametrize("poisoned", [False, True])
async def test_a_crash_at_any_moment_repeats_nothing(in_flight: int, poisoned: bool) -> None:
    for moment in count():
        world = await make_exact_world(in_flight)
        await world.send(*TEXTS)
        if poisoned:
            world.troubles = {"b": [PoisonError("torn")] * 9}
        try:
            await world.run(die_at=moment)
        except ProcessKilled:
            await world.run()
        else:
            assert moment >= 10  # the whole diary was gone through
            break
        dead = len(world.bus.records(dead_letter(STAGE).name))
        assert (answers(world), dead) == (Counter("AC" if poisoned else "ABC"), int(poisoned)), moment
        assert world.committed()[0] == 3


async def test_dying_twice_at_any_two_moments_repeats_nothing() -> None:
    for first in range(1, 14, 3):
        for second in range(first % 3, 14, 3):
            world = await make_exact_world()
            await world.send(*TEXTS)
            for moment in (first, second):
                try:
                    await world.run(die_at=moment)
                except ProcessKilled:
                    continue
            if not world.is_done():
                await world.run()
            assert answers(world) == Counter("ABC"), (first, second)


@pytest.mark.parametrize("port", ["transact", "transacted"])
async def test_a_transaction_of_unknown_outcome_is_looked_up_before_it_is_repeated(port: str) -> None:
    world = await make_exact_world(in_flight=1)
    world.faults = {port: [TransientError("no answer in 5 s")] * 2}
    await world.send(*TEXTS)
    await world.run()
    assert answers(world) == Counter("ABC")
    assert world.committed()[0] == 3


async def test_a_process_that_lost_a_partition_without_knowing_ends_instead_of_repeating() -> None:
    world = await make_exact_world(in_flight=1)
    place = TopicPartition(IN.name, 0)

    async def another_process(bus: MemoryBus) -> None:
        async with bus.transactions(f"siad.{STAGE}") as later:
            await later.open(place)
            answered = [Message(topic=OUT.name, key="k", value=value) for value in (b"A", b"B")]
            await later.publish(place, answered, Commit(2))

    await world.send(*TEXTS)
    world.yields = {"a": 200}
    running = asyncio.create_task(world.run())
    async with asyncio.timeout(10):
        while "handle a" not in world.diary.lines:
            await asyncio.sleep(0)
        await another_process(world.bus)
        with pytest.raises(BusFailedError, match="another process has committed since"):
            await running
    await world.run()
    assert answers(world) == Counter("ABC")


async def test_records_that_a_late_transaction_has_done_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier owner's transaction may end between the fetch and the takeover."""
    world = await make_exact_world()
    await world.send(*TEXTS)
    open_ = MemoryTransactions.open

    async def end_late(transactions: MemoryTransactions, source: TopicPartition) -> Commit | None:
        world.bus.group(f"siad.{STAGE}").commits.setdefault(source, Commit(2))
        return await open_(transactions, source)

    monkeypatch.setattr(MemoryTransactions, "open", end_late)
    await world.run()
    assert answers(world) == Counter("C")
    assert world.committed()[0] == 3


async def test_a_commit_of_a_topic_that_was_made_anew_skips_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await make_exact_world()
    world.bus.group(f"siad.{STAGE}")
    await world.send(*TEXTS)
    open_ = MemoryTransactions.open

    async def from_before(transactions: MemoryTransactions, source: TopicPartition) -> Commit | None:
        return await open_(transactions, source) or Commit(5000)

    monkeypatch.setattr(MemoryTransactions, "open", from_before)
    await world.run()
    assert answers(world) == Counter("ABC")
