"""The composition root of ingest: settings, adapters, routes, tasks."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog

from services.ingest.adapters.admission import AdmissionControl
from services.ingest.adapters.image_validator import DecodingImageValidator
from services.ingest.adapters.publisher import BusEventPublisher
from services.ingest.adapters.store import StoredCaptures, StoredLines
from services.ingest.reconcile import LineReconciler, NoLeases, RetentionReconciler
from services.ingest.routes import STAGE, IngestDependencies, add_routes
from services.ingest.settings import IngestSettings
from siad.contracts.errors import TransientError
from siad.contracts.events import LineChanged
from siad.contracts.topics import IMAGE, LINE
from siad.erasure.expiry_plan import RetentionPolicy
from siad.erasure.expiry_store import InventoryStore
from siad.runtime.backoff import Backoff
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Bus
from siad.runtime.bus.settings import BusSettings
from siad.runtime.reconcile import reconcile
from siad.runtime.state_table import StateTable
from siad.runtime.store.leases import Leases
from siad.runtime.worker import StageProcess, run_stage

log = structlog.get_logger()

Work = Callable[[], Awaitable[None]]


def main() -> None:
    """Run ingest as its environment says, until a signal."""
    settings, bus, store = IngestSettings.load(), BusSettings.load(), StoreSettings.load()
    blobs = S3Blobs(store)  # not opened yet: senders are asked to wait, also where the store is away at the start

    @asynccontextmanager
    async def open_all(stage: StageProcess) -> AsyncIterator[None]:
        async with assemble(stage, settings, bus=open_bus(bus), blobs=blobs, prepare=blobs.ensure_bucket):
            yield

    run_stage(STAGE, settings, open_all)


@asynccontextmanager
async def assemble(
    stage: StageProcess, settings: IngestSettings, *, bus: Bus, blobs: Blobs, prepare: Callable[[], None] = lambda: None
) -> AsyncIterator[None]:
    """Fill in the stage; on leaving let threads and producer go.

    Args:
        stage: what to fill in.
        settings: of ingest.
        bus: where the events go.
        blobs: where the bytes go.
        prepare: makes the bucket ready; tried in the background until the store is there.
    """
    store = AsyncBlobs(blobs, workers=settings.store_threads)
    pixels = DecodingImageValidator(threads=settings.decode_threads, pixels_max=settings.pixels_max)
    lines = StoredLines(store)
    table = StateTable(LINE, LineChanged, stage=STAGE, clock=stage.clock)
    async with bus.producer() as producer:
        news = BusEventPublisher(producer)
        works = LineReconciler(lines, table, news)
        desk = IngestDependencies(
            settings=settings,
            lines=lines,
            captures=StoredCaptures(store),
            pixels=pixels,
            news=news,
            gate=AdmissionControl(
                uploads_max=settings.uploads_max,
                bytes_max=settings.uploads_bytes_max,
                queue_max=settings.queue_max,
                wait_s=settings.queue_wait_s,
            ),
            clock=stage.clock,
        )
        add_routes(stage.app, desk)
        stage.health.checks |= {"bus": bus.probe, "store": store.probe, "lines": works.check}
        stage.tasks["topics"] = partial(_follow_lines, stage, table, bus)
        first = (partial(store.run, prepare), table.check)
        stage.tasks["announce"] = partial(_announce_lines, stage, works, first, every_s=settings.announce_every_s)
        policy = policy_of(settings)
        if not policy.is_off:
            stage.tasks["retention"] = partial(_retain, stage, store, policy, every_s=settings.retention_every_s)
        try:
            yield
        finally:
            store.close()
            pixels.close()


async def _follow_lines(stage: StageProcess, table: StateTable[LineChanged], bus: Bus) -> None:
    """Make the topics that ingest writes, then read back what it says of lines."""
    await _until_done(stage, lambda: bus.create_topics([LINE, IMAGE]))
    await table.follow(bus, stage.stop)


async def _announce_lines(stage: StageProcess, works: LineReconciler, first: Sequence[Work], *, every_s: float) -> None:
    for work in first:
        await _until_done(stage, work)
    await reconcile(works, stage=STAGE, leases=NoLeases(), stop=stage.stop, every_s=every_s, clock=stage.clock)


def policy_of(settings: IngestSettings) -> RetentionPolicy:
    """How long things are kept."""
    return RetentionPolicy(
        images_days=settings.images_days,
        masks_days=settings.masks_days,
        receipts_days=settings.receipts_days,
        removals_max=settings.removals_max,
    )


async def _retain(stage: StageProcess, store: AsyncBlobs, policy: RetentionPolicy, *, every_s: float) -> None:
    """Delete what has had its time."""
    nudge = asyncio.Event()
    works = RetentionReconciler(
        StoredLines(store), InventoryStore(store, policy), policy=policy, nudge=nudge, clock=stage.clock
    )
    leases = Leases(store.blobs, holder=f"{socket.gethostname()}-{os.getpid()}", clock=stage.clock)
    await reconcile(works, stage=STAGE, leases=leases, stop=stage.stop, nudge=nudge, every_s=every_s, clock=stage.clock)


async def _until_done(stage: StageProcess, work: Work) -> None:
    """Try until it works or the stage stops; a broker that is away at the start comes back."""
    backoff, attempt = Backoff(schedule_s=(0.1, 0.2, 0.5, 1.0)), 0
    while not stage.stop.is_set():
        try:
            await work()
        except TransientError as error:
            log.info("start_waits", reason=str(error))
            await asyncio.sleep(backoff.delay_s(attempt))
            attempt += 1
        else:
            return
