"""What every bus does when the broker, or a member, goes without a word."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from siad.apps.local.kafka.node import KafkaNode
from siad.contracts.errors import TransientError
from siad.contracts.topics import Topic
from siad.runtime.bus.embedded.bus import EmbeddedBus
from siad.runtime.bus.kafka.bus import KafkaBus
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Bus, Commit, Consumer, Message, Producer, Record
from tests.fixtures.kafka import quick_settings, require_kafka

WORK = Topic("work", "work", "ingest", ())
STATE = Topic("state", "state", "ingest", ())
AWAY_S = 20.0

MEMBER = """
import asyncio, sys
from siad.runtime.bus.kafka.bus import KafkaBus
from tests.fixtures.kafka import quick_settings

async def main(bootstrap, topic, group):
    async with KafkaBus(quick_settings(bootstrap)).consumer([topic], group=group, start="earliest") as consumer:
        while True:
            await consumer.poll(max_records=1, timeout_s=0.1)

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(slots=True)
class Stream:
    """What went in at one end and came out at the other, through an outage."""

    sent: list[str] = field(default_factory=list)
    came: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)  # told that they may not be there, and sent again
    longest_poll_s: float = 0.0

    async def send(self, producer: Producer, *, outage: "asyncio.Future[None]", after: int = 10) -> None:
        """Send a number every 0.1 s, each until it is acknowledged, and ``after`` more once the outage is over."""
        while after:
            value = str(len(self.sent))
            while not await self._is_acknowledged(producer, Message(topic=WORK.name, key=value, value=value.encode())):
                await asyncio.sleep(0.5)
            self.sent.append(value)
            after -= outage.done()
            await asyncio.sleep(0.1)

    async def _is_acknowledged(self, producer: Producer, message: Message) -> bool:
        try:
            await producer.publish([message])
        except TransientError:
            self.refused.add((message.value or b"").decode())
            return False
        return True

    async def receive(self, consumer: Consumer) -> None:
        """Take and commit, for ever."""
        while True:
            began_s = time.monotonic()
            try:
                for record in await consumer.poll(max_records=50, timeout_s=0.2):
                    self.came.append((record.value or b"").decode())
                    await self._commit(consumer, record)
            except TransientError:
                await asyncio.sleep(0.2)
            self.longest_poll_s = max(self.longest_poll_s, time.monotonic() - began_s)

    async def _commit(self, consumer: Consumer, record: Record) -> None:
        try:
            async with asyncio.timeout(0.5):
                await consumer.commit({record.topic_partition: Commit(record.offset + 1)})
        except (TransientError, TimeoutError):
            return  # the next commit of its place says the same


async def stream_through(bus: Bus, fall_and_rise: Callable[[], Coroutine[None, None, None]]) -> Stream:
    """Send and receive from before the outage to after it; both ends are left to themselves."""
    stream = Stream()
    async with bus.producer() as producer, bus.consumer([WORK.name], group="g", start="earliest") as consumer:
        receiving = asyncio.create_task(stream.receive(consumer))
        await stream.send(producer, outage=asyncio.create_task(wait_until_it_flows(stream)))
        await stream.send(producer, outage=(outage := asyncio.create_task(fall_and_rise())))
        await outage
        async with asyncio.timeout(60):
            while set(stream.came) < set(stream.sent) and not receiving.done():
                await asyncio.sleep(0.2)
        receiving.cancel()
        await asyncio.wait({receiving})
    return stream


async def wait_until_it_flows(stream: Stream) -> None:
    async with asyncio.timeout(60):
        while len(stream.came) < 5:
            await asyncio.sleep(0.1)


async def everything(bus: Bus, count: int) -> list[str]:
    """What lies in the topic, read by a new reader."""
    values: list[str] = []
    async with bus.consumer([WORK.name], group="later", start="earliest") as consumer, asyncio.timeout(60):
        while len(values) < count:
            values += [(r.value or b"").decode() for r in await consumer.poll(max_records=500, timeout_s=0.5)]
        values += [(r.value or b"").decode() for r in await consumer.poll(max_records=500, timeout_s=1.0)]
    return values


async def refuses_all(bus: Bus) -> None:
    """Every call that wants an answer says in time that there is none."""
    calls: list[Callable[[], Awaitable[object]]] = [
        bus.probe,
        lambda: bus.create_topics([WORK]),
        lambda: publish(bus),
        lambda: join(bus),
        lambda: read(bus),
    ]
    for call in calls:
        async with asyncio.timeout(15):
            with pytest.raises(TransientError):
                await call()


async def publish(bus: Bus) -> None:
    async with bus.producer() as producer:
        await producer.publish([Message(topic=WORK.name, key="k", value=b"x")])


async def join(bus: Bus) -> None:
    async with bus.consumer([WORK.name], group="g", start="earliest"):
        pass


async def read(bus: Bus) -> None:
    async with bus.state(STATE.name) as reader:
        await reader.snapshot()


async def test_memory_loses_nothing_in_an_outage_and_goes_on_by_itself() -> None:
    bus = MemoryBus()
    await bus.create_topics([WORK, STATE])

    async def go_down() -> None:
        bus.down = True
        await refuses_all(bus)
        await asyncio.sleep(0.6)
        bus.down = False

    stream = await stream_through(bus, go_down)
    assert stream.refused
    assert set(stream.came) == set(stream.sent)
    assert sorted(await everything(bus, len(stream.sent))) == sorted(stream.sent)


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
        assert second.assigned() == frozenset()


async def test_the_embedded_bus_taken_away_and_back_loses_nothing_and_both_ends_go_on(tmp_path: Path) -> None:
    folder, away = tmp_path / "bus", tmp_path / "away"
    folder.mkdir()
    bus = EmbeddedBus(quick_settings(f"embedded://{folder}/bus.sqlite"))
    await bus.create_topics([WORK, STATE])

    async def fall_and_rise() -> None:
        folder.rename(away)
        await refuses_all(bus)
        await asyncio.sleep(0.6)
        away.rename(folder)

    stream = await stream_through(bus, fall_and_rise)
    assert stream.refused  # the caller was told, in time
    assert stream.longest_poll_s < 1.0
    assert set(stream.came) == set(stream.sent)
    assert sorted(await everything(bus, len(stream.sent))) == sorted(stream.sent)  # and nothing lies there twice


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
    await bus.create_topics([WORK, STATE])

    async def fall_and_rise() -> None:
        async with asyncio.timeout(60), bus.producer() as doomed:
            await doomed.publish([Message(topic=STATE.name, key="before", value=b"x")])
            own_node.kill()
            fell_s = time.monotonic()
            with pytest.raises(TransientError):
                await doomed.publish([Message(topic=STATE.name, key="given up", value=b"x")])
        await refuses_all(bus)
        await asyncio.sleep(max(AWAY_S - (time.monotonic() - fell_s), 0))
        await asyncio.to_thread(own_node.start)

    stream = await stream_through(bus, fall_and_rise)
    async with bus.state(STATE.name) as reader:
        assert set(await reader.snapshot()) == {"before"}  # who left does not send from the grave
    assert stream.refused  # the caller was told, in time
    assert stream.longest_poll_s < 5.0  # also while the broker was away, and while places moved
    assert set(stream.came) == set(stream.sent)
    lies = Counter(await everything(bus, len(stream.sent)))
    assert set(lies) == set(stream.sent)
    # what it had written and was killed before it said so is there twice, since it was sent again; nothing else is
    assert {value for value, times in lies.items() if times > 1} <= stream.refused


@pytest.mark.kafka
async def test_kafka_gives_the_places_of_a_killed_member_to_the_others(kafka_node: KafkaNode) -> None:
    bus = KafkaBus(quick_settings(kafka_node.bootstrap))
    topic, group = "work-killed-member", "group-killed-member"
    await bus.create_topics([Topic(topic, "work", "ingest", ())])
    async with bus.consumer([topic], group=group, start="earliest") as consumer:
        args = ["-c", MEMBER, kafka_node.bootstrap, topic, group]
        member = await asyncio.create_subprocess_exec(sys.executable, *args)
        async with asyncio.timeout(60):
            while len(consumer.assigned()) != 2:
                await consumer.poll(max_records=1, timeout_s=0.1)
            member.kill()
            await member.wait()
            while len(consumer.assigned()) != 4:
                await consumer.poll(max_records=1, timeout_s=0.1)
