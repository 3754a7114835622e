"""Batches: the same loop, several records a call."""

import asyncio

import pytest

from siad.contracts.codec import decode
from siad.contracts.errors import PoisonError
from siad.contracts.events import DeadLetter
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.waiting import until
from siad.runtime.testing.world import World, away, make_world


@pytest.fixture
async def world() -> World:
    return await make_world()


def handled(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("handle")]


async def test_a_full_batch_is_handled_by_one_call(world: World) -> None:
    await world.send(*"abcde")
    lines = await world.run(world.batches(records_max=2))
    assert handled(lines) == ["handle 0-1 a b", "handle 2-3 c d", "handle 4-4 e"]
    assert lines.index("publish A B") < lines.index("commit 0:2")
    assert world.committed() == (5, "")


async def test_a_batch_that_does_not_fill_goes_when_its_time_is_up(world: World) -> None:
    await world.send("a", "b")
    run = asyncio.create_task(world.run(world.batches(records_max=10, wait_s=2.0)))
    await until(lambda: world.diary.polls > 0)
    await world.rounds()
    assert handled(world.diary.lines) == []
    await world.send("c")
    world.clock.advance(1.9)
    await world.rounds()
    assert handled(world.diary.lines) == []
    world.clock.advance(0.1)
    assert handled(await run) == ["handle 0-2 a b c"]


async def test_poison_in_a_batch_is_buried_alone(world: World) -> None:
    await world.send("a", "bad", "c")
    lines = await world.run(world.batches(records_max=3))
    assert handled(lines) == ["handle 0-2 a c"]
    assert "publish dead-letter(k) A C" in lines
    letter = decode(DeadLetter, world.dead_letters()[0].value)
    assert (letter.offset, letter.payload, letter.reason) == (1, b"bad", "'bad' is no good")


async def test_a_batch_of_nothing_but_poison_calls_no_handler(world: World) -> None:
    await world.send("bad", "bad2")
    assert handled(await world.run(world.batches(records_max=2))) == []
    assert len(world.dead_letters()) == 2


async def test_poison_that_only_the_handler_finds_is_found_one_by_one(world: World) -> None:
    world.troubles = {"b": [PoisonError("torn"), PoisonError("torn")]}
    await world.send(*"abcde")
    lines = await world.run(world.batches(records_max=3))
    assert handled(lines) == ["handle 0-2 a b c", "handle 0-0 a", "handle 1-1 b", "handle 2-2 c", "handle 3-4 d e"]
    assert world.answers() == ["A", "C", "D", "E"]
    assert decode(DeadLetter, world.dead_letters()[0].value).offset == 1


async def test_a_batch_is_tried_again_whole(world: World) -> None:
    world.troubles = {"b": away(2)}
    await world.send("a", "b")
    assert handled(await world.run(world.batches(records_max=2))) == ["handle 0-1 a b"] * 3


async def test_after_a_crash_batches_are_of_one(world: World) -> None:
    world.troubles = {"b": [ZeroDivisionError()] * 9}
    await world.send(*"abcd")
    for _ in range(4):
        with pytest.raises(ZeroDivisionError):
            await world.run(world.batches(records_max=4))
    await world.run(world.batches(records_max=4))
    assert world.answers() == ["A", "C", "D"]
    assert [decode(DeadLetter, record.value).kind for record in world.dead_letters()] == ["crash"]


async def test_a_crash_at_any_moment_loses_no_batch() -> None:
    for moment in range(60):
        world = await make_world()
        await world.send("a", "bad", "c", "d", "e")
        route = world.batches(records_max=2)
        try:
            await world.run(route, die_at=moment)
        except ProcessKilled:
            await world.run(route)
        else:
            assert moment > 10
            return
        assert sorted(set(world.answers())) == ["A", "C", "D", "E"]
        assert world.committed()[0] == 5
    pytest.fail("the diary never ended")


async def test_partitions_are_batched_apart() -> None:
    world = await make_world(partitions=2)
    world.limit(max_in_flight=2)
    await world.send("a", "b", key="a")
    await world.send("c", "d", key="d")
    lines = await world.run(world.batches(records_max=10))
    assert sorted(handled(lines)) == ["handle 0-1 a b", "handle 0-1 c d"]
