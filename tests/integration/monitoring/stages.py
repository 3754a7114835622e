"""Every stage as a process, without scorer and Ray, as the monitoring sees them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from siad.apps.local.weed import WeedNode
from siad.contracts.codec import encode
from siad.contracts.events import TeacherReleased
from siad.contracts.topics import TEACHER
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Message
from tests.e2e.harness import READY_S, Plant, StageProcess, wait_for
from tests.fixtures.kafka import quick_settings
from tests.fixtures.store import settings_of
from tests.synthetic import LINE, PRODUCT, bundle, release

BUCKET = "scraped"
NOTHING: Mapping[str, str] = {}
STAGES = ("ingest", "labeler", "console", "trainer", "inference")


@asynccontextmanager
async def all_stages(
    folder: Path, node: WeedNode, *, scorer_url: str = "http://127.0.0.1:9", extra: Mapping[str, str] = NOTHING
) -> AsyncIterator[Plant]:
    """Start every stage; those that need neither scorer nor Ray are ready inside the block."""
    bus = f"embedded://{folder}/bus.sqlite"
    plant = Plant(folder, {"SIAD_BUS_BOOTSTRAP": bus, **node.environment(BUCKET), **extra})
    for name in STAGES:
        plant.add(name, **({"scorer_url": scorer_url} if name == "labeler" else {})).start()
    try:
        for name in ("ingest", "console", "inference"):
            await plant[name].wait_ready()
        yield plant
    finally:
        await asyncio.gather(*(stage.stop() for stage in plant.stages.values()))


async def wait_alive(stage: StageProcess) -> None:
    """Wait until a stage answers; labeler and trainer are never ready here."""

    async def answers() -> bool:
        try:
            return (await stage.get("/healthz")).status_code == 200
        except httpx.TransportError:
            return False

    await wait_for(answers, READY_S, f"{stage.name} to answer", on_fail=stage.tail)


async def release_teacher(plant: Plant, node: WeedNode) -> None:
    """Put a tiny teacher in service."""
    blobs = S3Blobs(settings_of(node.environment(BUCKET)))
    pointer = await asyncio.to_thread(release, blobs, bundle())
    event = TeacherReleased(
        line=pointer.line,
        product=pointer.product,
        revision=pointer.revision,
        weights=pointer.weights,
        released_at=pointer.released_at,
    )
    async with open_bus(quick_settings(plant.env["SIAD_BUS_BOOTSTRAP"])).producer() as producer:
        await producer.publish([Message(topic=TEACHER.name, key=f"{LINE}/{PRODUCT}", value=encode(event))])
