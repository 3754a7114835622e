"""Composition root of the console: settings, adapters, routes, tasks."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

import httpx
import structlog

from services.console.access import ROUTES
from services.console.adapters.commands import CommandWriter
from services.console.adapters.exports import StoredExports
from services.console.adapters.followers import ReadingOptions, TopicFollower
from services.console.adapters.ingest import IngestProxy
from services.console.adapters.ingest_uploads import IngestUploads
from services.console.adapters.masks import DecodingMaskReader
from services.console.adapters.pictures import StoredPictures
from services.console.adapters.projection.database import Database
from services.console.adapters.projection.store import SqlProjection
from services.console.adapters.prometheus import Prometheus
from services.console.adapters.publisher import BusEventPublisher
from services.console.adapters.quarantine import StoredQuarantine
from services.console.adapters.runbooks import RunbookFiles
from services.console.adapters.serving import StoredServing
from services.console.adapters.sessions import PersonSessions
from services.console.adapters.standings import StoredStandings
from services.console.adapters.store import RegisteredLines, StoredCaptures, StoredCorrections
from services.console.adapters.thresholds import StoredThresholds, ThresholdsOnTopic
from services.console.adapters.trainings import StoredTrainings
from services.console.adapters.weights import StoredWeightsReports
from services.console.domain.book import CorrectionBook, ShownCaptures
from services.console.domain.captures import CaptureWindow
from services.console.handlers import ConsolePorts
from services.console.metrics import STAGE
from services.console.reconcile import ThresholdReconciler, announce, export_figures, forget, heal
from services.console.routes import ConsoleDependencies, add_routes
from services.console.settings import ConsoleSettings
from services.console.web.commands import make_command_routes
from services.console.web.data import DataDependencies, make_export_routes, make_import_routes
from services.console.web.deferrals import make_deferral_routes
from services.console.web.files import PageFiles
from services.console.web.listing import make_listing_routes
from services.console.web.oidc import provider_of
from services.console.web.overview import LinesDependencies, make_overview_routes
from services.console.web.previews import make_preview_routes
from services.console.web.routes import PageDependencies, add_page
from services.console.web.senders import ConsoleSenders
from services.console.web.status import StatusDependencies, make_status_routes
from services.console.web.weights import make_weights_routes
from siad.contracts.corrections import CaptureCorrected, ThresholdSet
from siad.contracts.errors import TransientError
from siad.contracts.events import LineChanged, PseudoMaskCreated, VerdictGiven
from siad.contracts.topics import COMMAND, CORRECTION, LINE, PSEUDO_MASK, THRESHOLD, VERDICT
from siad.erasure.deletions import AsyncDeletions
from siad.runtime.access.bearer import HOW, KeyBearer
from siad.runtime.access.guard import guard
from siad.runtime.access.table import AccessTable
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.boot import audit_log_of, boot, connect, leases_of
from siad.runtime.bus.port import Bus
from siad.runtime.outcomes import WAITING, outcome_of
from siad.runtime.reconcile import LeasePort, reconcile
from siad.runtime.state_table import StateTable
from siad.runtime.worker import StageProcess

log = structlog.get_logger()

TOPICS: Final = (LINE, PSEUDO_MASK, VERDICT, CORRECTION, THRESHOLD, COMMAND)
ALL: Final = 2**62  # records: the whole topic
SIGN_IN: Final = "Sign in with name and password, or run siad sign-in on the console's machine and open its link"
SIGN_IN_REQUIRED: Final = "Sign in with name and password (siad account add makes accounts). Programs: "
FIGURES_EVERY_S: Final = 30.0  # as often as Prometheus usually scrapes


class Readable(Protocol):
    """A reader of a topic."""

    async def wait_ready(self) -> None:
        """Return once the topic was read to its end."""
        ...


def main() -> None:
    """Run the console with the settings of its environment until a signal."""
    settings = ConsoleSettings.load()
    boot(STAGE, settings, partial(assemble, settings=settings))


@asynccontextmanager
async def assemble(stage: StageProcess, settings: ConsoleSettings, *, bus: Bus, blobs: Blobs) -> AsyncIterator[None]:
    """Fill in the stage; on exit close threads and producer."""
    async with (
        connect(stage, bus, blobs, topics=TOPICS, store_threads=settings.store_threads) as store,
        bus.producer() as producer,
        _client_of_ingest(settings) as ingest,
    ):
        lines = StateTable(LINE, LineChanged, stage=STAGE, clock=stage.clock)
        thresholds = StateTable(THRESHOLD, ThresholdSet, stage=STAGE, clock=stage.clock)
        deletions = AsyncDeletions(store, clock=stage.clock)
        captures = StoredCaptures(store, deletions)
        database = Database(settings.database_url.get_secret_value())
        projection = SqlProjection(database)
        sessions = _guarded(stage, store, database)
        masks = DecodingMaskReader(threads=settings.mask_threads)
        ports = ConsolePorts(
            captures=captures,
            corrections=StoredCorrections(store),
            erased=captures,
            quarantine=StoredQuarantine(store, clock=stage.clock),
            serving=StoredServing(store),
            trainings=StoredTrainings(store),
            masks=masks,
            publisher=BusEventPublisher(producer, lines),
            projection=projection,
            window=CaptureWindow(settings.captures_max),
            book=CorrectionBook(),
            shown=ShownCaptures(),
            thresholds=ThresholdsOnTopic(thresholds),
            clock=stage.clock,
        )
        stage.preparations["projection"] = partial(_prepare, database, ports)
        dependencies = ConsoleDependencies(settings=settings, lines=RegisteredLines(lines, store), ports=ports)
        add_routes(stage.app, dependencies)
        commands, stored_thresholds = CommandWriter(store, producer, stage.clock), StoredThresholds(store, producer)
        lines_page = _lines_page(settings, store, IngestProxy(ingest), lines, ports)
        stage.app.include_router(make_overview_routes(lines_page))
        stage.app.include_router(make_preview_routes(dependencies, stored_thresholds))
        stage.app.include_router(make_command_routes(dependencies, commands))
        stage.app.include_router(make_weights_routes(dependencies, StoredWeightsReports(store)))
        repeat = partial(_repeat, stage, event="commands_wait", every_s=settings.announce_every_s)
        stage.tasks["commands"] = partial(repeat, commands.announce)
        _add_data(stage, dependencies, store, lines, IngestUploads(IngestProxy(ingest)))
        monitoring = _add_status(stage, settings)
        page = _page(stage, sessions, StoredPictures(store, deletions), lines)
        add_page(stage.app, page, provider_of(settings, stage.clock))
        followers = [*_follow(stage, settings, bus, lines, ports), thresholds]
        stage.health.checks["threshold-topic"] = thresholds.check
        stage.tasks["threshold-topic"] = partial(thresholds.follow, bus, stage.stop)
        stage.tasks["figures"] = partial(_export_figures, stage, lines, followers, ports)
        keeper = ThresholdReconciler(thresholds=stored_thresholds, lines=lines, ports=ports)
        keep = partial(_keep_thresholds, stage, settings, keeper, followers, leases_of(stage, store))
        stage.tasks["thresholds"] = keep
        try:
            yield
        finally:
            masks.close()
            monitoring.close()
            sessions.close()
            database.close()


@asynccontextmanager
async def _client_of_ingest(settings: ConsoleSettings) -> AsyncIterator[httpx.AsyncClient | None]:
    """Open the connection to ingest; None without an address."""
    if not settings.ingest_url:
        yield None
        return
    key = settings.ingest_key.get_secret_value()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(settings.accept_timeout_s)
    async with httpx.AsyncClient(base_url=settings.ingest_url, headers=headers, timeout=timeout) as client:
        yield client


def _page(
    stage: StageProcess, sessions: PersonSessions, pictures: StoredPictures, lines: StateTable[LineChanged]
) -> PageDependencies:
    return PageDependencies(
        files=PageFiles(),
        sessions=sessions,
        pictures=pictures,
        lines=lines.values,
        http_host=stage.settings.http_host,
        has_links=not stage.access.is_required,
    )


def _lines_page(
    settings: ConsoleSettings,
    store: AsyncBlobs,
    ingest: IngestProxy,
    lines: StateTable[LineChanged],
    ports: ConsolePorts,
) -> LinesDependencies:
    return LinesDependencies(
        lines=lines.values,
        standings=StoredStandings(store, ports.clock),
        ingest=ingest,
        ports=ports,
        image_max_bytes=settings.image_max_bytes,
        body_timeout_s=settings.body_timeout_s,
    )


def _guarded(stage: StageProcess, store: AsyncBlobs, database: Database) -> PersonSessions:
    """Put the guard before the routes; return the sessions that it asks."""
    audit = audit_log_of(stage, store)
    sessions = PersonSessions(database, store, audit, clock=stage.clock)
    keys = KeyBearer(store, clock=stage.clock) if stage.access.is_required else None
    how = SIGN_IN if keys is None else SIGN_IN_REQUIRED + HOW
    guard(stage.app, AccessTable(ROUTES), ConsoleSenders(sessions, keys), audit=audit, how=how)
    stage.is_guarded = True
    return sessions


def _add_status(stage: StageProcess, settings: ConsoleSettings) -> Prometheus:
    """Add the routes of alerts and dashboards; return their connection."""
    monitoring = Prometheus(settings.prometheus_url, stage.clock)
    status = StatusDependencies(monitoring, RunbookFiles(), stage.health.readiness_failures)
    stage.app.include_router(make_status_routes(status))
    return monitoring


def _add_data(
    stage: StageProcess,
    dependencies: ConsoleDependencies,
    store: AsyncBlobs,
    lines: StateTable[LineChanged],
    sink: IngestUploads,
) -> None:
    """Add the routes that list, put off, export and import captures."""
    stage.app.include_router(make_listing_routes(dependencies))
    stage.app.include_router(make_deferral_routes(dependencies))
    data = DataDependencies(console=dependencies, exports=StoredExports(store), lines=lines.values, sink=sink)
    stage.app.include_router(make_export_routes(data))
    stage.app.include_router(make_import_routes(data))


def _follow(
    stage: StageProcess, settings: ConsoleSettings, bus: Bus, lines: StateTable[LineChanged], ports: ConsolePorts
) -> list[Readable]:
    """Add the tasks that read the topics, and their checks.

    Returns the readers, which thresholds wait for.
    """
    last = ALL if ports.projection.is_lasting else settings.history_records
    options = ReadingOptions(projection=ports.projection, last=last, clock=stage.clock)
    verdicts = TopicFollower(VERDICT, VerdictGiven, ports.window.add_verdict, options)
    pseudo_masks = TopicFollower(PSEUDO_MASK, PseudoMaskCreated, ports.window.add_pseudo_mask, options)
    to_heal = replace(options, last=ALL, after_backlog=partial(heal, ports))
    corrections = TopicFollower(CORRECTION, CaptureCorrected, partial(ports.book.add, is_published=True), to_heal)
    stage.health.checks |= {
        "lines": lines.check,
        "verdicts": verdicts.check,
        "pseudo-masks": pseudo_masks.check,
        "corrections": corrections.check,
    }
    stage.tasks |= {
        "lines": partial(lines.follow, bus, stage.stop),
        "verdicts": partial(verdicts.follow, bus, stage.stop),
        "pseudo-masks": partial(pseudo_masks.follow, bus, stage.stop),
        "corrections": partial(corrections.follow, bus, stage.stop),
        "forget": partial(
            _repeat, stage, partial(forget, ports), event="forgetting_waits", every_s=settings.forget_every_s
        ),
        "announce": partial(_announce, stage, settings, lines, ports),
    }
    return [lines, verdicts, pseudo_masks, corrections]


async def _keep_thresholds(
    stage: StageProcess,
    settings: ConsoleSettings,
    keeper: ThresholdReconciler,
    readers: Sequence[Readable],
    leases: LeasePort,
) -> None:
    """Compute thresholds once scores and answers are read."""
    for reader in readers:
        if not await stage.unless_stopped(reader.wait_ready()):
            return
    await reconcile(keeper, stage.context, leases, nudge=keeper.ports.answered, every_s=settings.thresholds_every_s)


async def _prepare(database: Database, ports: ConsolePorts) -> None:
    """Create or upgrade the tables, and fill the memory of the process."""
    await database.prepare()
    await ports.projection.load(ports.window, ports.book)


async def _repeat(stage: StageProcess, act: Callable[[], Awaitable[None]], *, event: str, every_s: float) -> None:
    """Act now and then; log ``event`` where a dependency is away."""
    while not stage.stop.is_set():
        try:
            await act()
        except TransientError as error:
            log.warning(event, reason=str(error))
        await stage.unless_stopped(stage.clock.sleep(every_s))


async def _announce(
    stage: StageProcess, settings: ConsoleSettings, lines: StateTable[LineChanged], ports: ConsolePorts
) -> None:
    """Publish what is outstanding, now and then.

    It begins once the lines are known, since they have the shards.
    """
    if not await stage.unless_stopped(lines.wait_ready()):
        return
    while not stage.stop.is_set():
        await announce(ports)
        await stage.unless_stopped(stage.clock.sleep(settings.announce_every_s))


async def _export_figures(
    stage: StageProcess, lines: StateTable[LineChanged], readers: Sequence[Readable], ports: ConsolePorts
) -> None:
    """Export the figures of all lines, once the topics were read."""
    for reader in readers:
        if not await stage.unless_stopped(reader.wait_ready()):
            return
    while not stage.stop.is_set():
        try:
            await export_figures(lines.values().values(), ports)
        except Exception as error:
            if outcome_of(error) not in WAITING:
                raise
            log.warning("figures_put_off", reason=str(error))
        await stage.unless_stopped(stage.clock.sleep(FIGURES_EVERY_S))
