"""What an operator sends again: to the handler of its first topic, at its own place, whatever is in quarantine."""

from collections.abc import Sequence

import pytest

from siad.contracts.codec import decode
from siad.contracts.events import DeadLetter
from siad.contracts.topics import retry
from siad.runtime.bus.port import Message
from siad.runtime.consumer import Batch, BatchRoute
from siad.runtime.testing.waiting import until
from siad.runtime.testing.world import IN, OUT, STAGE, World, decode_text, make_world
from tests.unit.runtime.consumer.poisoned import Cell, sample


@pytest.fixture
async def world() -> World:
    world = await make_world()
    await world.bus.create_topics([retry(STAGE)])
    return world


async def send_again(world: World, text: str, *, topic: str = IN.name, key: str = "cell-1/0") -> None:
    message = Message(
        topic=retry(STAGE).name, key=key, value=text.encode(), headers=(("siad-first-topic", topic.encode()),)
    )
    async with world.bus.producer() as producer:
        await producer.publish([message])


async def test_what_is_sent_again_goes_where_its_first_topic_goes(world: World) -> None:
    await send_again(world, "a", key="cell-1/3")
    async with world.running(world.handle):
        await until(lambda: world.answers() == ["A"])
    assert world.bus.records(OUT.name)[0].key == b"cell-1/3"


@pytest.mark.parametrize("topic", ["siad.verdict.v1", ""])
async def test_what_another_stage_reads_can_not_be_done_here(world: World, topic: str) -> None:
    await send_again(world, "a", topic=topic)
    async with world.running(world.handle):
        await until(lambda: len(world.letters()) == 1)
    letter = decode(DeadLetter, world.dead_letters()[0].value)
    assert (letter.topic, letter.kind) == ("siad.inference.retry.v1", "poison")
    assert f"names {topic!r} in its header" in letter.reason


async def test_what_is_still_poison_is_buried_again_with_the_place_of_its_retry(world: World) -> None:
    await send_again(world, "bad")
    async with world.running(Cell(world).handle):
        await until(lambda: len(world.letters()) == 1)
    (record,) = world.dead_letters()
    assert decode(DeadLetter, record.value).topic == "siad.inference.retry.v1"
    assert ("siad-first-topic", IN.name.encode()) in record.headers  # so it can be sent again


async def test_a_batch_route_gets_what_is_sent_again_alone_and_at_its_own_place(world: World) -> None:
    await world.send("a", "b")
    await send_again(world, "c")
    await send_again(world, "bad")
    batches: list[tuple[str, int, int, tuple[str, ...]]] = []

    async def on_batch(batch: Batch[str]) -> Sequence[Message]:
        batches.append((batch.topic_partition.topic, batch.first, batch.last, batch.decoded))
        return []

    route = BatchRoute(decode=decode_text, on_batch=on_batch, records_max=10, wait_s=0.0)
    async with world.running(route):
        await until(lambda: len(batches) == 2 and len(world.letters()) == 1)
    assert sorted(batches) == [(IN.name, 0, 1, ("a", "b")), ("siad.inference.retry.v1", 0, 0, ("c",))]


async def test_an_operators_word_is_tried_in_spite_of_the_quarantine_and_ends_it(world: World) -> None:
    world.limit(poison_max=2)
    await world.send("bad", "bad", "c", key="cell-1/0")
    async with world.running(Cell(world).handle):
        await until(lambda: len(world.letters()) == 3)
        await send_again(world, "c")
        await until(lambda: world.answers() == ["C"])
        assert sample("siad_line_quarantined", line="cell-1") is None


async def test_an_operators_word_counts_for_no_streak(world: World) -> None:
    world.limit(poison_max=2)
    async with world.running(Cell(world).handle):
        for number in range(6):
            await send_again(world, f"bad {number}", key=f"cell-{number % 2}/0")
        await until(lambda: len(world.letters()) == 6)
        assert sample("siad_stage_stopped") == 0
