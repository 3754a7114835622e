"""Several members of one group: they come, leave and lose partitions, and every record is answered in order."""

import asyncio
from collections.abc import Sequence

from siad.runtime.bus.port import Message, Record, TopicPartition
from siad.runtime.consumer import consume
from siad.runtime.context import StageContext
from siad.runtime.health import Health
from siad.runtime.testing.waiting import until
from siad.runtime.testing.world import IN, OUT, STAGE, World, make_world, text_of


async def member(world: World, stop: asyncio.Event, seen: list[str], *, pause_s: float = 0.0) -> None:
    async def handle(record: Record) -> Sequence[Message]:
        seen.append(text_of(record))
        await asyncio.sleep(pause_s)
        return [Message(topic=OUT.name, key=record.key.decode(), value=text_of(record).encode())]

    await consume(
        world.bus,
        {IN.name: handle},
        StageContext(stage=STAGE, stop=stop, health=Health(STAGE, clock=world.clock), clock=world.clock),
        limits=world.limits,
    )


def ordered(world: World, topic_partition: TopicPartition) -> bool:
    """First answers stand in the order of their records."""
    wanted = [text_of(record) for record in world.bus.log(topic_partition)]
    return (
        list(dict.fromkeys(text_of(r) for r in world.bus.log(TopicPartition(OUT.name, topic_partition.partition))))
        == wanted
    )


async def settle(world: World) -> None:
    async with asyncio.timeout(3):
        while not world.is_done():
            await asyncio.sleep(0.005)


async def test_members_that_come_and_leave_lose_nothing_and_keep_the_order() -> None:
    world = await make_world(partitions=4)
    world.limit(drain_s=30.0)  # on a busy machine members need longer to finish what they hold
    for number in range(40):
        await world.send(f"t{number}", key=f"key{number % 7}")
    seen: list[list[str]] = [[], [], []]
    stops = [asyncio.Event() for _ in seen]
    members = []
    for stop, texts in zip(stops, seen, strict=True):
        members.append(asyncio.create_task(member(world, stop, texts, pause_s=0.002)))
        await asyncio.sleep(0.02)
    stops[0].set()
    await members[0]
    for number in range(40, 60):
        await world.send(f"t{number}", key=f"key{number % 7}")
    await settle(world)
    for stop in stops:
        stop.set()
    await asyncio.gather(*members)
    assert all(ordered(world, topic_partition) for topic_partition in world.bus.topic_partitions([IN.name]))
    assert all(seen)
    assert len(world.bus.records(OUT.name)) == 60  # in good order: nothing was even repeated


async def test_what_is_in_hand_when_a_partition_moves_is_finished_first() -> None:
    world = await make_world(partitions=2)
    await world.send("a", "b", key="a")
    await world.send("c", "d", key="d")
    first: list[str] = []
    second: list[str] = []
    stop = asyncio.Event()
    one = asyncio.create_task(member(world, stop, first, pause_s=0.02))
    await until(lambda: bool(first))  # one record is in hand
    two = asyncio.create_task(member(world, stop, second))
    await settle(world)
    stop.set()
    await asyncio.gather(one, two)
    assert sorted(first + second) == ["a", "b", "c", "d"]
    assert first
    assert second


async def test_what_does_not_finish_in_time_is_left_to_the_new_owner() -> None:
    world = await make_world(partitions=2)
    await world.send("a", key="a")
    await world.send("d", key="d")
    first: list[str] = []
    second: list[str] = []
    stop = asyncio.Event()
    one = asyncio.create_task(member(world, stop, first, pause_s=0.3))  # longer than the drain bound
    await until(lambda: bool(first))
    two = asyncio.create_task(member(world, stop, second))
    await until(lambda: bool(second))  # it does not wait for the slow one
    await settle(world)
    stop.set()
    await asyncio.gather(one, two)
    assert sorted(set(first + second)) == ["a", "d"]
    assert all(ordered(world, topic_partition) for topic_partition in world.bus.topic_partitions([IN.name]))
