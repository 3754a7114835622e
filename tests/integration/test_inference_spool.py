"""Verdicts given while the broker is away: spooled, and published as they were when it returns."""

import asyncio
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from siad.contracts.topics import IMAGE, THRESHOLD, VERDICT
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blob
from siad.runtime.bus.port import Record
from siad.runtime.worker import StageProcess
from tests.integration.inference_plant import T1, T1_ID, TOPICS, Plant
from tests.synthetic import image_message, part_image, png, store_capture

CAPTURES = 8


@dataclass
class GatedBlobs(MemoryBlobs):
    """A store that answers no request for an image while its gate is closed."""

    gate: threading.Event = field(default_factory=threading.Event)
    reads: int = 0

    def get(self, key: str) -> Blob:
        if key.startswith("images/"):
            self.reads += 1
            self.gate.wait(10)
        return super().get(key)


@dataclass
class SpoolPlant(Plant):
    """A plant whose captures can be held up between fetch and verdict."""

    blobs: GatedBlobs = field(default_factory=GatedBlobs)

    async def judged_without_broker(self, stage: StageProcess, count: int = CAPTURES) -> None:
        """Have captures fetched, then take the broker away, then let them be judged."""
        self.blobs.gate.clear()
        events = [store_capture(self.blobs, png(part_image(n)), key=f"held-{n}") for n in range(count)]
        await self.send(*map(image_message, events))
        async with asyncio.timeout(10):
            while self.blobs.reads < count:
                await asyncio.sleep(0.01)
            self.bus.down = True
            self.blobs.gate.set()
            while await self.spooled() < count:
                await asyncio.sleep(0.02)

    async def spooled(self) -> int:
        lines = (await self.http.get("/metrics")).text.splitlines()
        (count,) = (line.split()[1] for line in lines if line.startswith("siad_inference_spooled_captures "))
        return int(float(count))

    async def readiness(self) -> dict[str, Any]:
        response = await self.http.get("/readyz")
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body


@pytest.fixture
async def plant() -> SpoolPlant:
    plant = SpoolPlant()
    await plant.bus.create_topics([*TOPICS, THRESHOLD])
    await plant.make_line()
    await plant.release(T1)
    plant.blobs.gate.set()
    return plant


def commits(plant: Plant) -> int:
    """Captures that are committed."""
    group = plant.bus.group("siad.inference")
    return sum(commit.offset for place, commit in group.commits.items() if place.topic == IMAGE.name)


def numbers(records: list[Record]) -> list[tuple[int, bytes]]:
    return [(record.topic_partition.partition, record.key) for record in records]


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
async def test_verdicts_of_an_outage_are_published_by_the_next_process_unjudged(
    plant: SpoolPlant, tmp_path: Path, delivery: str
) -> None:
    async with plant.running(cache_dir=tmp_path, poll_s=0.1, drain_s=0.3, delivery=delivery) as stage:
        async with asyncio.timeout(10):
            while not (tmp_path / "known-state.json").exists():
                await asyncio.sleep(0.02)
        await plant.judged_without_broker(stage)
        assert (commits(plant), plant.verdicts()) == (0, {})
        reads = plant.blobs.reads
    async with plant.running(cache_dir=tmp_path, delivery=delivery):
        assert await plant.spooled() == CAPTURES
        plant.bus.down = False
        async with asyncio.timeout(20):
            while commits(plant) < CAPTURES:
                await asyncio.sleep(0.02)
        assert await plant.spooled() == 0
    verdicts = plant.verdicts().values()
    assert {(verdict.decision.value, verdict.weights) for verdict in verdicts} == {("pass", T1_ID)}
    assert plant.blobs.reads == reads  # no image was fetched again
    records = plant.bus.records(VERDICT.name)
    assert numbers(records) == numbers(plant.bus.records(IMAGE.name))  # once each, in the order of the captures


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
async def test_the_same_process_publishes_when_the_broker_returns(
    plant: SpoolPlant, tmp_path: Path, delivery: str
) -> None:
    async with plant.running(cache_dir=tmp_path, delivery=delivery) as stage:
        await plant.judged_without_broker(stage)
        plant.bus.down = False
        async with asyncio.timeout(20):
            while commits(plant) < CAPTURES or await plant.spooled():
                await asyncio.sleep(0.02)
        assert len(plant.bus.records(VERDICT.name)) == len(plant.verdicts()) == CAPTURES
        assert "missing" not in await plant.readiness()


async def test_readiness_names_the_spool_from_half_of_its_room_on(plant: SpoolPlant, tmp_path: Path) -> None:
    async with plant.running(cache_dir=tmp_path, spool_max=4, max_in_flight=2) as stage:
        await plant.judged_without_broker(stage, count=2)
        assert "2 of at most 4 are spooled" in (await plant.readiness())["missing"]["spool"]
        plant.bus.down = False
        async with asyncio.timeout(20):
            while len(plant.verdicts()) < 2:
                await asyncio.sleep(0.02)
