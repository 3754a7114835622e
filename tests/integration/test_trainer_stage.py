"""The whole stage in one process: broker and store in memory, real HTTP, and a job that only pretends to train."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx

from services.trainer.app import assemble
from services.trainer.settings import TrainerSettings
from siad.contracts.codec import decode, encode
from siad.contracts.events import PseudoMaskCreated, SegmenterReleased
from siad.contracts.ids import CaptureId, ImageId, WeightsId
from siad.contracts.topics import PSEUDO_MASK, SEGMENTER, dead_letter
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Message
from siad.runtime.worker import StageProcess, serve
from tests.unit.trainer.test_trainer_plan import LINE, PRODUCT, World
from tests.unit.trainer.test_training_set import rows

SETTINGS = TrainerSettings(
    http_port=0, batch_wait_s=0.05, plan_every_s=0.1, captures_min=100, cooldown_s=3600, drain_s=2
)


def messages(first: int, last: int) -> list[Message]:
    """Captures as the labeler announces them."""
    return [
        Message(
            topic=PSEUDO_MASK.name,
            key=f"{LINE}/0",
            value=encode(
                PseudoMaskCreated(
                    capture_id=CaptureId(row.capture_id),
                    image_id=ImageId(row.image_id),
                    image_uri=row.image_uri,
                    line=LINE,
                    product=PRODUCT,
                    captured_at=row.captured_at,
                    received_at=row.received_at,
                    mask_uri=row.mask_uri,
                    mask_sha256=row.mask_sha256,
                    weights=WeightsId("a" * 64),
                    score=row.score,
                    threshold=row.threshold,
                    defect_ratio=row.defect_ratio,
                    regions=(),
                    confidence=1.0,
                )
            ),
        )
        for row in rows(last)[first:]
    ]


async def plant() -> tuple[World, MemoryBus]:
    bus = MemoryBus(partitions=2)
    await bus.create_topics([PSEUDO_MASK, SEGMENTER, dead_letter("trainer")])
    return await World().begin(captures=0), bus


@asynccontextmanager
async def running(world: World, bus: MemoryBus) -> AsyncIterator[StageProcess]:
    stage = StageProcess("trainer", SETTINGS)

    def put_together(stage: StageProcess) -> AbstractAsyncContextManager[None]:
        return assemble(stage, SETTINGS, bus=bus, blobs=world.blobs, jobs=world.jobs)

    serving = asyncio.create_task(serve(stage, put_together))
    while stage.port is None:
        await asyncio.sleep(0.01)
        assert not serving.done(), serving.exception()
    try:
        yield stage
    finally:
        stage.stop.set()
        await serving


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not there():
            await asyncio.sleep(0.02)


async def test_pseudo_masks_go_in_and_a_segmenter_comes_out() -> None:
    world, bus = await plant()
    async with running(world, bus) as stage, httpx.AsyncClient() as http:
        async with bus.producer() as producer:
            await producer.publish(messages(0, 150))
        await until(lambda: bool(bus.records(SEGMENTER.name)))
        ready = await http.get(f"http://127.0.0.1:{stage.port}/readyz")
        text = (await http.get(f"http://127.0.0.1:{stage.port}/metrics")).text
    [record] = bus.records(SEGMENTER.name)
    event = decode(SegmenterReleased, record.value)
    pointer = world.segmenter()
    assert pointer is not None
    assert (event.weights, event.revision) == (pointer.weights, 1)
    assert ready.status_code == 200
    assert f'siad_trainer_runs_total{{line="{LINE}",outcome="accepted"}}' in text
    assert f'siad_trainer_ledger_rows_total{{line="{LINE}"}}' in text


async def test_a_trainer_that_comes_back_goes_on_where_the_last_one_was() -> None:
    world, bus = await plant()
    async with running(world, bus):
        async with bus.producer() as producer:
            await producer.publish([*messages(0, 60), Message(topic=PSEUDO_MASK.name, key="x", value=b"\xff\xff")])
        await until(lambda: bool(bus.records(dead_letter("trainer").name)))
        await until(lambda: any(world.blobs.list(f"ledger/{LINE}/")))
    async with bus.producer() as producer:
        await producer.publish(messages(60, 150))
    async with running(world, bus):
        await until(lambda: bool(bus.records(SEGMENTER.name)))
    taken = {row.capture_id for file in (await world.state()).files for row in file.rows}
    assert taken == {row.capture_id for row in rows(150)}
