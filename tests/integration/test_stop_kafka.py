"""A bad deploy on Kafka: the stage stands still, stays a member for as long as it takes, and then goes on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from siad.audit.dead_letters import read_whole
from siad.contracts.codec import decode
from siad.contracts.errors import PoisonError
from siad.contracts.events import DeadLetter
from siad.contracts.topics import Topic
from siad.runtime.bus.kafka.bus import KafkaBus
from siad.runtime.bus.port import Bus, Message, Record
from siad.runtime.consumer import Limits, consume
from siad.runtime.context import StageContext
from siad.runtime.health import Health
from siad.runtime.testing.world import text_of

RECORDS = 120
STAGE = "halted"
IN = Topic("siad.halted-in.v1", "work", "ingest", ())
OUT = Topic("siad.halted-out.v1", "work", "ingest", ())
DEAD = Topic(f"siad.{STAGE}.dead-letter.v1", "dead-letter", "ingest", ())
SESSION_S = 4.0  # of the fixture's settings: a member that is silent for so long is dead


class Deploy:
    """A stage that can't read anything, until it is mended."""

    def __init__(self, bus: Bus) -> None:
        self.bus, self.is_mended = bus, False

    async def handle(self, record: Record) -> Sequence[Message]:
        if not self.is_mended:
            msg = f"{text_of(record)} is Greek to me"
            raise PoisonError(msg)
        return [Message(topic=OUT.name, key=record.key.decode(), value=record.value)]

    @asynccontextmanager
    async def member(self) -> AsyncIterator[Health]:
        stop, health = asyncio.Event(), Health(STAGE, stuck_after_s=3.0)
        limits = Limits(max_in_flight=8, drain_s=2, probe_every_s=1.0)
        consuming = asyncio.create_task(
            consume(
                self.bus,
                {IN.name: self.handle},
                StageContext(stage=STAGE, stop=stop, health=health),
                limits=limits,
            )
        )
        try:
            yield health
            assert not consuming.done()
        finally:
            stop.set()
            await consuming

    async def texts(self, topic: Topic) -> list[str]:
        records = await read_whole(self.bus, [topic])
        if topic is DEAD:
            return [decode(DeadLetter, record.value).payload.decode() for record in records]
        return [text_of(record) for record in records]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.1)


@pytest.mark.kafka
@pytest.mark.slow
async def test_what_is_in_hand_waits_for_the_mended_deploy(kafka_bus: KafkaBus) -> None:
    deploy = Deploy(kafka_bus)
    await deploy.bus.create_topics([IN, OUT, DEAD])
    async with deploy.bus.producer() as producer:
        await producer.publish(
            [Message(topic=IN.name, key=f"cell-{n % 12}/0", value=f"t{n}".encode()) for n in range(RECORDS)]
        )
    async with deploy.member() as first:
        await until(lambda: bool(first.paused()))
        assert "of several lines" in (await first.readiness_failures())["poison"]
        await asyncio.sleep(SESSION_S + 2)
        assert first.liveness_failure() is None
        assert len(await deploy.texts(DEAD)) == 19
        async with deploy.member() as second:  # its places come from the first, with all that was in hand
            await until(lambda: bool(second.paused()))
            buried = await deploy.texts(DEAD)
            assert len(set(buried)) == len(buried) == 38
            deploy.is_mended = True
            await until(lambda: not first.paused() and not second.paused())
            async with asyncio.timeout(30):
                while len(set(await deploy.texts(OUT))) < RECORDS - 38:
                    await asyncio.sleep(0.3)
    assert sorted({*await deploy.texts(OUT), *buried}) == sorted(f"t{n}" for n in range(RECORDS))
    assert sorted(await deploy.texts(DEAD)) == sorted(buried)
