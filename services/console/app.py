"""Composition root of the console: settings, adapters, tasks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from services.console.metrics import STAGE
from services.console.settings import ConsoleSettings
from siad.contracts.events import LineChanged
from siad.contracts.topics import CORRECTION, LINE, PSEUDO_MASK, THRESHOLD, VERDICT
from siad.runtime.blobs.port import Blobs
from siad.runtime.boot import boot, connect
from siad.runtime.bus.port import Bus
from siad.runtime.state_table import StateTable
from siad.runtime.worker import StageProcess

TOPICS: Final = (LINE, PSEUDO_MASK, VERDICT, CORRECTION, THRESHOLD)


def main() -> None:
    """Run the console with the settings of its environment until a signal."""
    settings = ConsoleSettings.load()
    boot(STAGE, settings, partial(assemble, settings=settings))


@asynccontextmanager
async def assemble(stage: StageProcess, settings: ConsoleSettings, *, bus: Bus, blobs: Blobs) -> AsyncIterator[None]:
    """Fill in the stage; on exit close its threads."""
    async with connect(stage, bus, blobs, topics=TOPICS, store_threads=settings.store_threads):
        lines = StateTable(LINE, LineChanged, stage=STAGE, clock=stage.clock)
        stage.health.checks["lines"] = lines.check
        stage.tasks["lines"] = partial(lines.follow, bus, stage.stop)
        yield
