"""Every stage as a process, without scorer and Ray, as the monitoring sees them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from siad.apps.local.weed import WeedNode
from tests.e2e.harness import READY_S, Plant, StageProcess, wait_for

STAGES = ("ingest", "labeler", "console", "trainer", "inference")


@asynccontextmanager
async def all_stages(folder: Path, node: WeedNode) -> AsyncIterator[Plant]:
    """Start every stage; those that need neither scorer nor Ray are ready inside the block."""
    plant = Plant(folder, {"SIAD_BUS_BOOTSTRAP": f"embedded://{folder}/bus.sqlite", **node.environment("scraped")})
    for name in STAGES:
        extra = {"scorer_url": "http://127.0.0.1:9"} if name == "labeler" else {}
        plant.add(name, **extra).start()
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
