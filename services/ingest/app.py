"""Composition root of ingest: settings, adapters, routes, tasks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog

from services.ingest.access import ROUTES
from services.ingest.adapters.admission import AdmissionControl
from services.ingest.adapters.image_validator import DecodingImageValidator
from services.ingest.adapters.publisher import BusEventPublisher
from services.ingest.adapters.store import LineRevisions, StoredCaptures, StoredLedger
from services.ingest.domain.lines import missing_after_s
from services.ingest.metrics import STAGE
from services.ingest.reconcile import LineReconciler, NoLeases, RetentionReconciler
from services.ingest.routes import IngestDependencies, add_routes
from services.ingest.settings import IngestSettings
from siad.audit.keeper import LedgerKeeper, LedgerPolicy
from siad.audit.reader import LETTERS
from siad.contracts.events import LineChanged
from siad.contracts.topics import IMAGE, LINE, VERDICT
from siad.erasure.expiry_plan import RetentionPolicy
from siad.erasure.expiry_store import InventoryStore
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.boot import boot, connect, leases_of, protect
from siad.runtime.bus.port import Bus
from siad.runtime.reconcile import reconcile
from siad.runtime.state_table import StateTable
from siad.runtime.worker import StageProcess

log = structlog.get_logger()


def main() -> None:
    """Run ingest with the settings of its environment until a signal."""
    settings = IngestSettings.load()
    boot(STAGE, settings, partial(assemble, settings=settings))


@asynccontextmanager
async def assemble(stage: StageProcess, settings: IngestSettings, *, bus: Bus, blobs: Blobs) -> AsyncIterator[None]:
    """Fill in the stage; on exit close threads and producer."""
    topics = [LINE, IMAGE, VERDICT, LETTERS]  # the capture ledger reads the last two
    async with (
        connect(stage, bus, blobs, topics=topics, store_threads=settings.store_threads) as store,
        bus.producer() as producer,
    ):
        protect(stage, store, ROUTES)
        validator = DecodingImageValidator(threads=settings.decode_threads, pixels_max=settings.pixels_max)
        lines = LineRevisions(store)
        table = StateTable(LINE, LineChanged, stage=STAGE, clock=stage.clock)
        publisher = BusEventPublisher(producer)
        announcing = LineReconciler(lines, table, publisher)
        dependencies = IngestDependencies(
            settings=settings,
            lines=lines,
            captures=StoredCaptures(store),
            validator=validator,
            publisher=publisher,
            admission=AdmissionControl(
                uploads_max=settings.uploads_max,
                bytes_max=settings.uploads_bytes_max,
                queue_max=settings.queue_max,
                wait_s=settings.queue_wait_s,
            ),
            ledger=StoredLedger(store),
            clock=stage.clock,
        )
        add_routes(stage.app, dependencies)
        stage.health.checks["lines"] = announcing.check
        stage.tasks["topics"] = partial(table.follow, bus, stage.stop)
        stage.tasks["announce"] = partial(_announce_lines, stage, announcing, table, every_s=settings.announce_every_s)
        keeper = LedgerKeeper(
            bus,
            store,
            missing_after_s=lambda line: missing_after_s(
                table.lookup(line), default_s=settings.missing_after_s, grace_s=settings.missing_grace_s
            ),
            policy=LedgerPolicy(write_every_s=settings.books_every_s),
            clock=stage.clock,
        )
        stage.tasks["books"] = partial(keeper.run, stage.stop)
        policy = policy_of(settings)
        if not policy.is_off:
            stage.tasks["retention"] = partial(_retain, stage, store, policy, every_s=settings.retention_every_s)
        try:
            yield
        finally:
            validator.close()


async def _announce_lines(
    stage: StageProcess, announcing: LineReconciler, table: StateTable[LineChanged], *, every_s: float
) -> None:
    if await stage.unless_stopped(table.wait_ready()):
        await reconcile(announcing, stage.context, NoLeases(), every_s=every_s)


def policy_of(settings: IngestSettings) -> RetentionPolicy:
    """Return the retention that the settings state."""
    return RetentionPolicy(
        images_days=settings.images_days,
        masks_days=settings.masks_days,
        receipts_days=settings.receipts_days,
        objects_max=settings.removals_max,
    )


async def _retain(stage: StageProcess, store: AsyncBlobs, policy: RetentionPolicy, *, every_s: float) -> None:
    """Expire objects of every line."""
    nudge = asyncio.Event()
    expiring = RetentionReconciler(
        LineRevisions(store), InventoryStore(store, policy), policy=policy, nudge=nudge, clock=stage.clock
    )
    await reconcile(expiring, stage.context, leases_of(stage, store), nudge=nudge, every_s=every_s)
