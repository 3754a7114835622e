"""Poison in a row: a line goes into quarantine, or the stage stands still with what it has in hand."""

import asyncio
from collections.abc import Sequence

import pytest

from siad.contracts.codec import decode
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import DeadLetter
from siad.contracts.topics import retry
from siad.runtime.bus.port import Message, Record, TopicPartition
from siad.runtime.consumer import event_route
from siad.runtime.testing.waiting import until
from siad.runtime.testing.world import IN, OUT, STAGE, World, make_world, text_of
from tests.unit.runtime.consumer.poisoned import MINUTE_S, Cell, sample


@pytest.fixture
async def world() -> World:
    world = await make_world()
    await world.bus.create_topics([retry(STAGE)])
    return world


async def test_the_twenty_first_of_a_line_is_buried_unhandled_and_other_lines_go_on(world: World) -> None:
    cell = Cell(world)
    await world.send(*[f"bad {number}" for number in range(20)], "c", "d", key="cell-1/0")
    await world.send("e", key="cell-2/0")
    async with world.running(cell.handle):
        await until(lambda: world.committed()[0] == 23)
        assert sample("siad_line_quarantined", line="cell-1") == 1
        assert sample("siad_stage_stopped") == 0
        assert await world.health.readiness_failures() == {}
    assert cell.tried[20:] == ["e"]
    assert world.letters()[:20] == [("poison", f"bad {number}") for number in range(20)]
    assert world.letters()[20:] == [("quarantine", "c"), ("quarantine", "d")]
    letter = decode(DeadLetter, world.dead_letters()[-1].value)
    assert "line cell-1 is quarantined in inference" in letter.reason
    assert "'bad 19' is no good" in letter.reason
    assert "siad dead-letters replay --stage inference --line cell-1" in letter.reason
    assert world.answers() == ["E"]
    assert sample("siad_line_quarantined", line="cell-1") is None  # of a process that is gone


async def test_one_record_a_minute_is_tried_and_the_first_that_works_ends_the_quarantine(world: World) -> None:
    cell = Cell(world)
    await world.send(*["bad"] * 20, "c", key="cell-1/0")
    async with world.running(cell.handle):
        await until(lambda: world.committed()[0] == 21)
        world.clock.advance(MINUTE_S)
        await world.send("bad again", "d", key="cell-1/0")
        await until(lambda: world.committed()[0] == 23)
        assert world.letters()[21:] == [("poison", "bad again"), ("quarantine", "d")]
        world.clock.advance(MINUTE_S)
        await world.send("e", "f", key="cell-1/0")
        await until(lambda: world.committed()[0] == 25)
        assert sample("siad_line_quarantined", line="cell-1") is None
    assert world.answers() == ["E", "F"]


async def test_a_quarantine_is_forgotten_when_partitions_move(world: World) -> None:
    world.limit(poison_max=2)
    await world.send("bad", "bad", "c", key="cell-1/0")
    async with world.running(Cell(world).handle):
        await until(lambda: world.committed()[0] == 3)
        assert sample("siad_line_quarantined", line="cell-1") == 1
        async with world.bus.consumer([IN.name], group=f"siad.{STAGE}", start="earliest"):
            pass  # a member comes and goes
        assert sample("siad_line_quarantined", line="cell-1") is None
        await world.send("d", key="cell-1/0")
        await until(lambda: world.answers() == ["D"])


async def test_a_try_that_the_store_was_away_for_is_tried_again(world: World) -> None:
    world.limit(poison_max=2)
    troubles = [PoisonError("torn"), PoisonError("torn"), TransientError("away"), TransientError("away")]

    async def handle(record: Record) -> Sequence[Message]:
        if troubles:
            raise troubles.pop(0)
        return await world.handle(record)

    await world.send("a", "b", key="cell-1/0")
    async with world.running(handle):
        await until(lambda: world.committed()[0] == 2)
        world.clock.advance(MINUTE_S)
        await world.send("c", key="cell-1/0")
        await until(lambda: world.answers() == ["C"])
    assert [kind for kind, _ in world.letters()] == ["poison", "poison"]


async def test_the_stage_answers_for_what_it_did_not_try(world: World) -> None:
    async def answer(record: Record, _: PoisonError) -> Sequence[Message]:
        return [Message(topic=OUT.name, key="k", value=f"UNKNOWN {text_of(record)}".encode())]

    world.on_poison = answer
    world.limit(poison_max=2)
    await world.send("bad 1", "bad 2", "c", key="cell-1/0")
    await world.run(Cell(world).handle)
    assert world.answers() == ["UNKNOWN bad 1", "UNKNOWN bad 2", "UNKNOWN c"]


@pytest.mark.parametrize("max_in_flight", [1, 8, 64])
async def test_twenty_over_two_lines_stop_the_stage_with_the_twentieth_in_hand(
    world: World, max_in_flight: int
) -> None:
    world.limit(max_in_flight=max_in_flight)
    cell = Cell(world)
    for number in range(30):
        await world.send(f"bad {number}", key=f"cell-{number % 2}/0")
    async with world.running(cell.handle):
        await until(lambda: sample("siad_stage_stopped") == 1)
        await world.rounds()
        held = len(world.letters())
        assert (held, world.committed()[0]) == (19, 19)
        tried = len(cell.tried)
        assert "poison" in await world.health.readiness_failures()
        world.clock.advance(59)
        world.health.tick()
        assert world.health.liveness_failure() is None
        await world.rounds()
        assert len(cell.tried) == tried
        world.clock.advance(1)
        await until(lambda: len(cell.tried) == tried + 1)
        await world.rounds()
        assert len(cell.tried) == tried + 1  # one
        cell.is_mended = True
        world.clock.advance(MINUTE_S)
        await until(lambda: world.committed()[0] == 30)
        assert sample("siad_stage_stopped") == 0
        assert await world.health.readiness_failures() == {}
    assert world.health.paused() == {}
    assert sorted(world.answers()) == sorted(f"BAD {number}" for number in range(19, 30))
    assert len(world.letters()) == 19


async def test_alive_for_a_stated_reason_however_long_it_stands_still(world: World) -> None:
    world.limit(poison_max=2)
    await world.send("bad", key="a/0")
    await world.send("bad", key="b/0")
    async with world.running(Cell(world).handle):
        await until(lambda: world.health.paused() == {"poison": "poison"})
        for _ in range(5):
            world.clock.advance(100)
            await world.rounds()
            assert world.health.liveness_failure() is None


async def test_what_is_in_hand_when_the_stage_leaves_is_repeated_by_the_next(world: World) -> None:
    world.limit(poison_max=3, max_in_flight=4)
    for number in range(8):
        await world.send(f"bad {number}", key=f"cell-{number % 2}/0")
    async with world.running(Cell(world).handle):
        await until(lambda: sample("siad_stage_stopped") == 1)
    assert world.committed() == (2, "")  # no word against the one that was held
    mended = Cell(world)
    mended.is_mended = True
    await world.run(mended.handle)
    assert mended.tried == [f"bad {number}" for number in range(2, 8)]


async def test_one_bad_record_does_not_keep_the_good_ones_behind_it_from_being_tried(world: World) -> None:
    world.limit(poison_max=3, max_in_flight=8)
    cell = Cell(world)
    for number in range(4):
        await world.send(f"bad {number}", key=f"cell-{number % 2}/0")
    await world.send("good", key="cell-3/0")
    away = [TransientError("away")]  # when it was handled with the others

    async def handle(record: Record) -> Sequence[Message]:
        if text_of(record) == "good" and away:
            raise away.pop()
        return await cell.handle(record)

    async with world.running(handle):
        await until(lambda: sample("siad_stage_stopped") == 1)
        for _ in range(3):
            world.clock.advance(MINUTE_S)
            await world.rounds()
        await until(lambda: world.committed()[0] == 5)
    assert world.answers() == ["GOOD"]
    assert [text for _, text in world.letters()] == ["bad 0", "bad 1", "bad 2", "bad 3"]


async def test_a_streak_counts_over_partitions() -> None:
    world = await make_world(partitions=2)
    world.limit(poison_max=4)
    cell = Cell(world)
    for number in range(6):
        await world.send(f"bad {number}", key="a" if number % 2 else "d")  # one in each partition
    async with world.running(cell.handle):
        await until(lambda: sample("siad_stage_stopped") == 1)
        await world.rounds()
        assert len(world.letters()) == 3


async def test_places_that_come_while_the_stage_stands_still_are_tried_from_too(world: World) -> None:
    world.limit(poison_max=2)
    cell = Cell(world)
    await world.send("bad", key="a/0")
    await world.send("bad", key="b/0")
    async with world.running(cell.handle):
        await until(lambda: sample("siad_stage_stopped") == 1)
        async with world.bus.consumer([IN.name], group=f"siad.{STAGE}", start="earliest"):
            await world.rounds()  # the group shared its places out anew: all in hand was given back
        await world.rounds()
        cell.is_mended = True
        world.clock.advance(MINUTE_S)
        await until(lambda: world.answers() == ["BAD"])
        assert sample("siad_stage_stopped") == 0


async def test_nothing_is_fetched_where_something_is_in_hand_and_something_where_nothing_is() -> None:
    world = await make_world(partitions=2)
    world.limit(poison_max=2, max_in_flight=8)
    received = {"topic": IN.name}
    cell = Cell(world)
    await world.send("bad 1", key="a")
    async with world.running(cell.handle):
        await until(lambda: len(world.letters()) == 1)
        await world.send("bad 2", key="b")  # the same partition, another line
        await until(lambda: sample("siad_stage_stopped") == 1)
        await world.rounds()
        before = sample("siad_records_received_total", **received)
        await world.send("c", "d", key="a")
        await world.rounds()
        assert sample("siad_records_received_total", **received) == before
        await world.send("e", key="d")  # the other partition
        await world.rounds()
        assert sample("siad_records_received_total", **received) == (before or 0) + 1
        world.clock.advance(MINUTE_S)
        await world.rounds()
        world.clock.advance(MINUTE_S)
        await until(lambda: sorted(world.answers()) == ["C", "D", "E"])


async def test_one_is_tried_at_a_time_however_long_it_takes(world: World) -> None:
    world.limit(poison_max=2, max_in_flight=8)
    now = asyncio.Event()
    tried: list[str] = []

    async def handle(record: Record) -> Sequence[Message]:
        tried.append(text_of(record))
        if len(tried) > 3:
            await now.wait()
        raise PoisonError("torn")

    for number in range(3):
        await world.send(f"bad {number}", key=f"cell-{number}/0")
    async with world.running(handle):
        await until(lambda: sample("siad_stage_stopped") == 1)
        for _ in range(3):
            await world.rounds()
            world.clock.advance(MINUTE_S)
        assert len(tried) == 4
        now.set()


async def test_a_store_that_goes_away_while_the_stage_stands_still_is_waited_for(world: World) -> None:
    world.limit(poison_max=2)
    troubles: list[Exception] = [PoisonError("torn"), PoisonError("torn"), TransientError("away"), PoisonError("torn")]

    async def handle(record: Record) -> Sequence[Message]:
        if troubles:
            raise troubles.pop(0)
        return await world.handle(record)

    await world.send("a", key="a/0")
    await world.send("b", key="b/0")
    async with world.running(handle):
        for _ in range(4):
            await world.rounds()
            world.clock.advance(MINUTE_S)
        await until(lambda: world.answers() == ["B"])
    assert [text for _, text in world.letters()] == ["a"]


async def test_a_batch_that_would_stop_the_stage_is_taken_apart(world: World) -> None:
    world.limit(poison_max=3)
    for number in range(6):
        await world.send(f"bad {number}", key=f"cell-{number % 2}/0")
    async with world.running(world.batches(records_max=10)):
        await until(lambda: sample("siad_stage_stopped") == 1)
        await world.rounds()
        assert [text for _, text in world.letters()] == ["bad 0", "bad 1"]
        assert world.committed()[1].endswith("strikes=0")  # to stand still is not to die
    assert world.committed()[0] == 2


async def test_poison_beside_good_in_a_batch_stops_nothing(world: World) -> None:
    world.limit(poison_max=3)
    for number in range(6):
        await world.send(f"bad {number}", key=f"cell-{number % 2}/0")
    await world.send("good", key="cell-3/0")
    lines = await world.run(world.batches(records_max=10))
    assert [line for line in lines if line.startswith("handle")] == ["handle 0-6 good"]
    assert len(world.letters()) == 6


async def test_a_line_in_quarantine_is_left_out_of_batches(world: World) -> None:
    world.limit(poison_max=3)
    await world.send("bad", "bad", "bad", key="cell-1/0")
    async with world.running(world.batches(records_max=10)):
        await until(lambda: sample("siad_line_quarantined", line="cell-1") == 1)
        await world.send("c", key="cell-1/0")
        await world.send("d", key="cell-2/0")
        await world.send("e", key="cell-1/0")
        await until(lambda: world.committed()[0] == 6)
    assert world.answers() == ["D"]
    assert world.letters()[3:] == [("quarantine", "c"), ("quarantine", "e")]


async def test_a_crash_while_the_stage_stands_still_blames_no_other_record(world: World) -> None:
    world.limit(poison_max=2, max_in_flight=8)
    for number in range(3):
        await world.send(f"bad {number}", key=f"cell-{number % 2}/0")
    await world.send("crash", key="cell-3/0")

    away = [TransientError("away")]

    async def handle(record: Record) -> Sequence[Message]:
        if text_of(record) == "crash":
            raise away.pop() if away else ZeroDivisionError
        raise PoisonError("torn")

    async def stand_still() -> None:
        async with world.running(handle):
            for _ in range(5):
                await world.rounds()
                world.clock.advance(MINUTE_S)

    with pytest.raises(ZeroDivisionError):
        await stand_still()
    assert world.committed()[0] == 1
    await stand_still()  # warned by the note: none but the first is tried
    assert world.letters() == [("poison", "bad 0"), ("poison", "bad 1")]
    assert world.committed() == (2, "careful-until=9 strikes=0")


async def test_a_key_that_is_no_text_is_poison_and_no_bug(world: World) -> None:
    async def nothing(_: DeadLetter) -> Sequence[DeadLetter]:
        return []

    record = Record(topic_partition=TopicPartition(IN.name, 0), offset=7, key=b"\xff/1", value=b"")
    with pytest.raises(PoisonError, match=r"key b'\\xff/1' of siad.in.v1 is not UTF-8"):
        await event_route(DeadLetter, nothing, to=None)(record)
