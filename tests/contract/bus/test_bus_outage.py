"""What every bus does when the broker, or a member, goes without a word."""

import asyncio
import sys
from collections.abc import Iterator

import pytest

from siad.core.errors import TransientError
from siad.core.topics import Topic
from siad.runtime.bus.kafka import KafkaBus
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Bus, Consumer, Message, Producer, Record
from siad.runtime.kafka.node import KafkaNode
from tests.fixtures.kafka import quick_settings, require_kafka

WORK = Topic("work", "work", "ingest", ())
AWAY_S = 20.0

MEMBER = """
import asyncio, sys
from siad.runtime.bus.kafka import KafkaBus
from tests.fixtures.kafka import quick_settings

async def main(bootstrap, topic, group):
    async with KafkaBus(quick_settings(bootstrap)).consumer([topic], group=group, start="earliest") as consumer:
        while True:
            await consumer.poll(max_records=1, timeout_s=0.1)
            print(len(consumer.assigned()), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def send_until_acknowledged(producer: Producer, message: Message) -> int:
    """How often it took."""
    for attempt in range(100):
        try:
            await producer.publish([message])
        except TransientError:
            await asyncio.sleep(0.5)
        else:
            return attempt + 1
    raise AssertionError("never acknowledged")


async def gather(consumer: Consumer, records: list[Record]) -> None:
    while True:
        try:
            records += await consumer.poll(max_records=50, timeout_s=0.2)
        except TransientError:
            await asyncio.sleep(0.2)


async def send_through_an_outage(bus: Bus, topic: str, outage: "asyncio.Task[None]") -> tuple[set[str], set[str]]:
    """Send a number every 0.2 s, from before the outage to after it; return what was sent and what came."""
    records: list[Record] = []
    sent: set[str] = set()
    async with bus.producer() as producer, bus.consumer([topic], group="g", start="earliest") as consumer:
        gathering = asyncio.create_task(gather(consumer, records))
        after = 10
        while after:
            message = Message(topic=topic, key=f"k{len(sent)}", value=str(len(sent)).encode())
            await send_until_acknowledged(producer, message)
            sent.add(str(len(sent)))
            after -= outage.done()
            await asyncio.sleep(0.2)
        async with asyncio.timeout(60):
            while {(record.value or b"").decode() for record in records} < sent:
                await asyncio.sleep(0.2)
        gathering.cancel()
    return sent, {(record.value or b"").decode() for record in records}


async def test_memory_loses_nothing_in_an_outage_and_goes_on_by_itself() -> None:
    bus = MemoryBus()
    await bus.create_topics([WORK])

    async def go_down() -> None:
        await asyncio.sleep(0.5)
        bus.down = True
        await asyncio.sleep(1.0)
        bus.down = False

    sent, came = await send_through_an_outage(bus, WORK.name, asyncio.create_task(go_down()))
    assert came == sent


async def test_memory_gives_the_places_of_a_dead_member_to_the_others() -> None:
    bus = MemoryBus(partitions=4)
    await bus.create_topics([WORK])
    async with (
        bus.consumer([WORK.name], group="g", start="earliest") as first,
        bus.consumer([WORK.name], group="g", start="earliest") as second,
    ):
        assert len(first.assigned()) == 2
        await bus.abandon(second)
        assert len(first.assigned()) == 4


@pytest.fixture
def own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """A node that a test may kill."""
    require_kafka()
    node = KafkaNode(tmp_path_factory.mktemp("kafka-own"))
    node.start()
    yield node
    node.stop()


@pytest.mark.kafka
@pytest.mark.slow
async def test_kafka_killed_and_back_loses_nothing_and_both_ends_go_on(own_node: KafkaNode) -> None:
    bus = KafkaBus(quick_settings(own_node.bootstrap))
    await bus.create_topics([WORK])

    async def fall_and_rise() -> None:
        await asyncio.sleep(3.0)
        own_node.kill()
        with pytest.raises(TransientError):
            await bus.probe()
        await asyncio.sleep(AWAY_S)
        own_node.start()  # blocks this loop as a busy one would be

    sent, came = await send_through_an_outage(bus, WORK.name, asyncio.create_task(fall_and_rise()))
    assert came == sent
    assert len(sent) > 20


@pytest.mark.kafka
async def test_kafka_gives_the_places_of_a_killed_member_to_the_others(kafka_node: KafkaNode) -> None:
    bus = KafkaBus(quick_settings(kafka_node.bootstrap))
    topic, group = "work-killed-member", "group-killed-member"
    await bus.create_topics([Topic(topic, "work", "ingest", ())])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        args = ["-c", MEMBER, kafka_node.bootstrap, topic, group]
        member = await asyncio.create_subprocess_exec(sys.executable, *args, stdout=asyncio.subprocess.DEVNULL)
        async with asyncio.timeout(60):
            while len(consumer.assigned()) != 2:
                await consumer.poll(max_records=1, timeout_s=0.1)
            member.kill()
            await member.wait()
            while len(consumer.assigned()) != 4:
                await consumer.poll(max_records=1, timeout_s=0.1)
