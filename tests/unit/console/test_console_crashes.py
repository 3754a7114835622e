"""A console killed at every write of a correction: one correction remains, none twice."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from services.console.domain.corrections import CorrectionRefusedError, CorrectionRequest
from services.console.handlers import ConsolePorts, CorrectionResult, on_correction
from services.console.reconcile import announce, heal
from siad.contracts import keys
from siad.contracts.codec import decode
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.errors import TransientError
from siad.contracts.topics import CORRECTION
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryProducer
from siad.runtime.bus.port import Message, Producer
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.mortal import IMMORTAL
from tests.unit.console.world import LINE_NAME, Plant, make_ports, mask_png, name_of, put_capture

DEFECT = CorrectionRequest(
    line=LINE_NAME, capture_id=name_of(1), verdict=CorrectionVerdict.DEFECT, author="ann", mask=mask_png()
)
WRITES = 3  # mask, record, event


@dataclass(slots=True)
class KillableProducer:
    """A producer that is killed before or behind its effect, as the store's last write decides."""

    producer: MemoryProducer
    plant: Plant
    dies_behind: bool = False

    async def publish(self, messages: Sequence[Message]) -> None:
        self.plant.blobs._count()
        await self.producer.publish(messages)
        if self.dies_behind:
            raise ProcessKilled


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.create()
    put_capture(plant.blobs, 1)
    return plant


async def correct(plant: Plant, *, lives: int = IMMORTAL, dies_behind: bool = False) -> CorrectionResult:
    """One process takes the request, and lives for so many writes."""
    plant.blobs.lives = lives
    async with plant.bus.producer() as producer:
        killable = KillableProducer(producer, plant, dies_behind=dies_behind)
        return await on_correction(DEFECT, make_ports(plant.blobs, killable, plant.clock))


async def restart(plant: Plant) -> ConsolePorts:
    """A new process reads the topic, then the store, and publishes what is outstanding."""
    plant.blobs.lives = IMMORTAL
    async with plant.bus.producer() as producer:
        ports = make_ports(plant.blobs, producer, plant.clock)
        for record in plant.bus.records(CORRECTION.name):
            ports.book.add(decode(CaptureCorrected, record.value), is_published=True)
        await heal(ports)
        await announce(ports)
        return ports


@pytest.mark.parametrize("lives", range(WRITES))
async def test_a_console_killed_at_any_write_leaves_one_correction_after_a_repeat(plant: Plant, lives: int) -> None:
    with pytest.raises(ProcessKilled):
        await correct(plant, lives=lives)
    await restart(plant)
    result = await correct(plant)
    assert [one.revision for one in plant.records()] == [1]
    assert {one.revision for one in plant.published()} == {1}
    assert {one.to_json() for one in plant.published()} == {result.correction.to_json()}
    assert result.is_new == (lives < 2)  # the record was not written


@pytest.mark.parametrize("lives", range(WRITES))
async def test_a_console_killed_at_any_write_heals_without_a_repeat(plant: Plant, lives: int) -> None:
    with pytest.raises(ProcessKilled):
        await correct(plant, lives=lives)
    assert plant.published() == []
    await restart(plant)
    assert plant.published() == plant.records()
    assert len(plant.records()) == (1 if lives == 2 else 0)
    await restart(plant)
    assert len(plant.published()) == len(plant.records())  # a healthy start publishes nothing


async def test_a_console_killed_behind_the_event_is_not_published_again_at_the_start(plant: Plant) -> None:
    with pytest.raises(ProcessKilled):
        await correct(plant, dies_behind=True)
    ports = await restart(plant)
    assert len(plant.published()) == len(plant.records()) == 1
    assert ports.book.latest(LINE_NAME)[name_of(1)] == plant.records()[0]


async def test_what_the_broker_did_not_take_is_published_later_by_the_same_process(plant: Plant) -> None:
    async with plant.bus.producer() as producer:
        down = _Down(producer)
        ports = make_ports(plant.blobs, down, plant.clock)
        down.fails = 2
        with pytest.raises(Exception, match="away"):
            await on_correction(DEFECT, ports)
        await announce(ports)  # still down: logged, nothing is lost
        assert plant.published() == []
        await announce(ports)
        await announce(ports)
    assert [one.revision for one in plant.published()] == [1]


async def test_an_erased_correction_is_not_kept_from_the_topic(plant: Plant) -> None:
    await correct(plant)
    for info in list(plant.blobs.list(keys.corrections_prefix())):
        plant.blobs.delete(info.key)
    ports = await restart(plant)
    assert ports.book.latest(LINE_NAME) == {}
    assert len(plant.published()) == 1


async def test_an_erasure_meanwhile_leaves_nothing(plant: Plant) -> None:
    """The deletion record is written after the check of the capture, before the correction's record."""

    class Erasing(MemoryBlobs):
        def put(self, key: str, data: bytes, **options: object) -> str:
            if key.endswith("/1.json") and key.startswith(keys.corrections_prefix()):
                receipt = put_capture(MemoryBlobs(), 1)
                deletion = CaptureDeletion.of(receipt, at=plant.clock.now())
                MemoryBlobs.put(self, keys.deletion_key(LINE_NAME, name_of(1)), deletion.to_json())
            return MemoryBlobs.put(self, key, data, **options)  # type: ignore[arg-type]

    blobs = Erasing()
    put_capture(blobs, 1)
    async with plant.bus.producer() as producer:
        with pytest.raises(CorrectionRefusedError, match="erased on request"):
            await on_correction(DEFECT, make_ports(blobs, producer, plant.clock))
    assert list(blobs.list(keys.corrections_prefix())) == []
    assert plant.published() == []


class _Down:
    """A producer whose broker is away for some calls."""

    def __init__(self, producer: Producer) -> None:
        self.producer, self.fails = producer, 0

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.fails:
            self.fails -= 1
            raise TransientError("the broker is away")
        await self.producer.publish(messages)
