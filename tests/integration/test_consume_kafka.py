"""The loop on a real bus: members come, leave and crash; nothing is lost, and what ended the process is found."""

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from siad.contracts.topics import Topic
from siad.runtime.bus.kafka.bus import KafkaBus
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Bus, Message, Record, TopicPartition
from siad.runtime.consumer import Limits, consume
from siad.runtime.context import StageContext
from siad.runtime.health import Health
from siad.runtime.testing.world import text_of
from tests.fixtures.kafka import BUSES, own_bus, quick_settings

RECORDS = 400


class Run:
    """One stage of its own on a bus."""

    def __init__(self, bus: Bus) -> None:
        self.bus, self.stage = bus, f"loop{uuid.uuid4().hex[:8]}"
        self.source = Topic(f"siad.{self.stage}-in.v1", "work", "ingest", ())
        self.answers = Topic(f"siad.{self.stage}-out.v1", "work", "ingest", ())
        self.dead = Topic(f"siad.{self.stage}.dead-letter.v1", "dead-letter", "ingest", ())
        self.killer: str | None = None

    async def prepare(self, records: int) -> None:
        await self.bus.create_topics([self.source, self.answers, self.dead])
        async with self.bus.producer() as producer:
            await producer.publish(
                [Message(topic=self.source.name, key=f"k{n % 16}", value=f"t{n}".encode()) for n in range(records)]
            )

    async def handle(self, record: Record) -> Sequence[Message]:
        await asyncio.sleep(0.005)
        if text_of(record) == self.killer:
            raise ZeroDivisionError
        return [Message(topic=self.answers.name, key=record.key.decode(), value=record.value)]

    async def member(self, stop: asyncio.Event) -> None:
        await consume(
            self.bus,
            {self.source.name: self.handle},
            StageContext(stage=self.stage, stop=stop, health=Health(self.stage)),
            limits=Limits(max_in_flight=4, drain_s=2),
        )

    async def read(self, topic: Topic, count: int) -> list[Record]:
        """At least ``count`` distinct values, in the order in which they lie in their partitions."""
        records: list[Record] = []
        async with asyncio.timeout(40):
            async with self.bus.consumer([topic.name], group=f"look-{uuid.uuid4().hex}", start="earliest") as consumer:
                while len({record.value for record in records}) < count:
                    records += await consumer.poll(max_records=500, timeout_s=0.2)
                records += await consumer.poll(max_records=500, timeout_s=0.5)
        return records


def assert_in_order(records: Sequence[Record]) -> None:
    """First answers of each key stand in the order of their records."""
    by_place: dict[tuple[TopicPartition, bytes], list[int]] = {}
    for record in records:
        by_place.setdefault((record.topic_partition, record.key), []).append(int(text_of(record).removeprefix("t")))
    for numbers in by_place.values():
        firsts = list(dict.fromkeys(numbers))
        assert firsts == sorted(firsts)


@pytest.mark.kafka
async def test_members_that_come_and_leave_lose_nothing_and_repeat_nothing(kafka_bus: KafkaBus) -> None:
    run = Run(kafka_bus)
    await run.prepare(RECORDS)
    stops = [asyncio.Event() for _ in range(3)]
    members = []
    for stop in stops:
        members.append(asyncio.create_task(run.member(stop)))
        await asyncio.sleep(0.6)
    stops[0].set()
    await members[0]
    answers = await run.read(run.answers, RECORDS)
    for stop in stops:
        stop.set()
    await asyncio.gather(*members)
    assert len(answers) == RECORDS  # every handover was in good order
    assert_in_order(answers)


@pytest.mark.parametrize("kind", BUSES)
async def test_what_ends_the_process_is_found_and_buried(kind: str, tmp_path: Path) -> None:
    with own_bus(kind, tmp_path) as bus:
        await bury_what_ends_the_process(open_bus(quick_settings(bus.bootstrap)))


async def bury_what_ends_the_process(bus: Bus) -> None:
    run = Run(bus)
    await run.prepare(40)
    run.killer = "t17"
    deaths = 0
    stop = asyncio.Event()
    while not stop.is_set():
        member = asyncio.create_task(run.member(stop))
        reading = asyncio.create_task(run.read(run.dead, 1))
        await asyncio.wait((member, reading), return_when=asyncio.FIRST_COMPLETED)
        if member.done():
            reading.cancel()
            await asyncio.wait((reading,))
            assert isinstance(member.exception(), ZeroDivisionError)
            deaths += 1
            assert (
                deaths <= 10
            )  # suspects in several partitions are cleared one after the other; it must not go on for ever
        else:
            answers = await run.read(run.answers, 39)
            stop.set()
            await member
    assert deaths >= 3
    assert {text_of(record) for record in answers} == {f"t{n}" for n in range(40)} - {"t17"}
    assert_in_order(answers)
