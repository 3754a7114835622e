"""Boot of every stage on its bus and its store.

A stage's ``main`` calls ``boot``; its ``assemble`` calls ``connect`` first, and ``leases_of`` where it reconciles.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Protocol

from siad.contracts.topics import Topic
from siad.runtime.access.audit_log import AuditLog
from siad.runtime.access.bearer import HOW, KeyBearer
from siad.runtime.access.guard import guard
from siad.runtime.access.settings import AccessSettings
from siad.runtime.access.table import AccessTable, RouteNeed
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.open import check_store
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Bus
from siad.runtime.bus.settings import BusSettings
from siad.runtime.settings import StageSettings
from siad.runtime.store.leases import Leases
from siad.runtime.worker import StageProcess, run_stage


class AssembleOn(Protocol):
    """Fill in a stage; close its adapters on exit."""

    def __call__(self, stage: StageProcess, /, *, bus: Bus, blobs: Blobs) -> AbstractAsyncContextManager[None]:
        """Return the context within which the stage runs."""
        ...


def boot(name: str, settings: StageSettings, assemble: AssembleOn) -> None:
    """Run a stage on the bus and store of the environment.

    It runs until a signal or a bug.

    Neither is contacted before the HTTP server answers: a store that is unavailable at the start is reported by
    readiness and retried.
    """
    bus, blobs, access = open_bus(BusSettings.load()), S3Blobs(StoreSettings.load()), AccessSettings.load()

    @asynccontextmanager
    async def open_all(stage: StageProcess) -> AsyncIterator[None]:
        stage.access = access
        stage.preparations["store"] = partial(asyncio.to_thread, check_store, blobs)
        async with assemble(stage, bus=bus, blobs=blobs):
            yield

    run_stage(name, settings, open_all)


@asynccontextmanager
async def connect(
    stage: StageProcess, bus: Bus, blobs: Blobs, *, topics: Sequence[Topic], store_threads: int = 16
) -> AsyncIterator[AsyncBlobs]:
    """Connect a stage to its bus and store.

    Adds health checks and topics, yields the store for asyncio, and closes it on exit.

    Args:
        stage: gets the checks ``bus`` and ``store`` and the preparation ``topics``.
        bus: the broker.
        blobs: the store.
        topics: created before any task starts, where they are missing.
        store_threads: concurrent calls to the store.
    """
    store = AsyncBlobs(blobs, workers=store_threads)
    stage.health.checks |= {"bus": bus.probe, "store": store.probe}
    stage.preparations["topics"] = partial(bus.create_topics, topics)
    try:
        yield store
    finally:
        store.close()


def protect(stage: StageProcess, store: AsyncBlobs, routes: Mapping[str, RouteNeed]) -> None:
    """Require API keys of the stage's senders, where the settings say so.

    Args:
        stage: its routes are guarded.
        store: holds the keys.
        routes: what each needs, as the stage's ``access.py`` says.
    """
    if stage.access.is_required:
        keys = KeyBearer(store, clock=stage.clock)
        guard(stage.app, AccessTable(routes), keys, audit=audit_log_of(stage, store), how=HOW)
        stage.is_guarded = True


def audit_log_of(stage: StageProcess, store: AsyncBlobs) -> AuditLog:
    """Return the audit log of a stage, whose entries a task stores."""
    audit = AuditLog(store, stage.context)
    stage.tasks["audit"] = audit.run
    return audit


def leases_of(stage: StageProcess, store: AsyncBlobs) -> Leases:
    """Return leases whose holder is this process."""
    return Leases(store.blobs, holder=f"{socket.gethostname()}-{os.getpid()}", clock=stage.clock)
