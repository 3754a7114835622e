"""Composition root of the labeler: settings, adapters, handlers, reconciler, routes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import structlog

from services.labeler import handlers
from services.labeler.access import ROUTES
from services.labeler.adapters.fit_orders import BarredCaptures, StoredFitOrders
from services.labeler.adapters.learning_records import StoredCorrections, StoredRefits
from services.labeler.adapters.lines import LabelerLines
from services.labeler.adapters.scorer_client import ScorerClient
from services.labeler.adapters.segmenters import KnownSegmenters
from services.labeler.adapters.stream_scores import StoredStreamScores
from services.labeler.adapters.teachers import KnownTeachers, ServingTeachers
from services.labeler.domain.fit_notes import FitNotes
from services.labeler.reconcile import TeacherReconciler
from services.labeler.routes import make_router
from services.labeler.settings import LabelerSettings
from siad.audit.commanded_rollback import CommandedRollbacks
from siad.contracts.codec import Event
from siad.contracts.commands import CommandGiven, CommandKind
from siad.contracts.corrections import ThresholdSet
from siad.contracts.events import (
    ImageStored,
    Intent,
    PseudoMaskCreated,
    SegmenterReleased,
    TeacherReleased,
    VerdictGiven,
)
from siad.contracts.topics import (
    COMMAND,
    IMAGE,
    PSEUDO_MASK,
    SEGMENTER,
    TEACHER,
    THRESHOLD,
    VERDICT,
    dead_letter,
    retry,
)
from siad.erasure.deletions import AsyncDeletions
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.boot import boot, connect, leases_of, protect
from siad.runtime.bus.port import Bus
from siad.runtime.commands import CommandDesk
from siad.runtime.consumer import Limits, consume, event_route, with_retry
from siad.runtime.reconcile import reconcile
from siad.runtime.state_table import StateTable
from siad.runtime.store.brakes import StoredBrakes, StoredHolds
from siad.runtime.store.commands import StoredCommands
from siad.runtime.store.quarantine import AsyncQuarantine
from siad.runtime.store.releases import ReleasePublisher
from siad.runtime.thresholds import KnownThresholds
from siad.runtime.worker import StageProcess

log = structlog.get_logger()

NAME = "labeler"


def main() -> None:
    """Run the labeler with the settings of the environment, until a signal."""
    settings = LabelerSettings.load()
    boot(NAME, settings, partial(assemble, settings=settings))


@asynccontextmanager
async def assemble(stage: StageProcess, settings: LabelerSettings, *, bus: Bus, blobs: Blobs) -> AsyncIterator[None]:
    """Wire the stage; close its connections and threads on leaving."""
    topics = [IMAGE, PSEUDO_MASK, TEACHER, SEGMENTER, VERDICT, THRESHOLD, COMMAND, dead_letter(NAME), retry(NAME)]
    limits = httpx.Limits(max_connections=settings.max_in_flight + 8)
    async with (
        connect(stage, bus, blobs, topics=topics) as store,
        httpx.AsyncClient(base_url=str(settings.scorer_url), limits=limits) as client,
    ):
        protect(stage, store, ROUTES)
        thresholds = StateTable(THRESHOLD, ThresholdSet, stage=NAME)
        timeouts = {"timeout_s": settings.handler_timeout_s, "fit_timeout_s": settings.fit_timeout_s}
        scorer = ScorerClient(client, KnownThresholds(thresholds), **timeouts)
        tasks = _LabelerTasks(stage, settings, bus, store, scorer)
        stage.health.checks |= {
            "scorer": scorer.probe,
            "teachers": tasks.teachers.check,
            "segmenters": tasks.segmenters.check,
            "thresholds": thresholds.check,
        }
        stage.app.include_router(make_router(ServingTeachers(tasks.teachers, store), tasks.notes))
        stage.tasks |= {
            "images": partial(tasks.label_stream, thresholds),
            "teachers": tasks.follow_teachers,
            "segmenters": partial(tasks.segmenters.follow, bus, stage.stop),
            "thresholds": partial(thresholds.follow, bus, stage.stop),
            "reconcile": partial(tasks.reconcile, thresholds),
            "scores": tasks.store_scores,
        }
        yield


class _LabelerTasks:
    """Tasks of the stage, and the state they share."""

    def __init__(
        self, stage: StageProcess, settings: LabelerSettings, bus: Bus, store: AsyncBlobs, scorer: ScorerClient
    ) -> None:
        self.stage, self.settings, self.bus, self.store, self.scorer = stage, settings, bus, store, scorer
        self.teachers = StateTable(TEACHER, TeacherReleased, stage=NAME)
        self.segmenters = StateTable(SEGMENTER, SegmenterReleased, stage=NAME)
        self.deletions = AsyncDeletions(store, clock=stage.clock)
        self.lines = LabelerLines(store)
        self.ports = handlers.LabelPorts(
            teachers=KnownTeachers(self.teachers, store),
            segmenters=KnownSegmenters(self.segmenters, store),
            scorer=scorer,
            lines=self.lines,
        )
        self.scores = StoredStreamScores(store)
        self.nudge = asyncio.Event()
        self.notes = FitNotes()
        self.holds = StoredHolds(store)
        hold = partial(handlers.on_hold_or_resume, holds=self.holds, clock=stage.clock)
        self.desk = CommandDesk(
            stage=NAME,
            outcomes=StoredCommands(store),
            acts={
                CommandKind.HOLD: hold,
                CommandKind.RESUME: hold,
                CommandKind.ROLLBACK: CommandedRollbacks(store, stage.clock).roll_back,
            },
            clock=stage.clock,
        )

    async def label_stream(self, thresholds: StateTable[ThresholdSet]) -> None:
        """Label the captures of the stream, once thresholds and segmenters are known."""
        for table in (thresholds, self.segmenters):
            if not await self.stage.unless_stopped(table.wait_ready()):
                return
        routes = {
            IMAGE.name: event_route(ImageStored, self._on_image, to=PSEUDO_MASK),
            VERDICT.name: event_route(VerdictGiven, self._on_verdict, to=PSEUDO_MASK),
            COMMAND.name: event_route(CommandGiven, self._on_command, to=TEACHER),
        }
        await consume(
            self.bus,
            with_retry(routes, stage=NAME),
            self.stage.context,
            limits=Limits.of(
                self.settings,
                max_in_flight=self.settings.max_in_flight,
                handler_timeout_s=self.settings.handler_timeout_s,
            ),
        )

    async def follow_teachers(self) -> None:
        """Follow the state topic of the teachers in service."""
        await self.teachers.follow(self.bus, self.stage.stop)

    async def store_scores(self) -> None:
        """Store the scores of the stream, which refits go by."""
        await self.scores.follow(self.stage.stop)

    async def reconcile(self, thresholds: StateTable[ThresholdSet]) -> None:
        """Fit, release and announce teachers, and backfill their lines."""
        if not await self.stage.unless_stopped(thresholds.wait_ready()):
            return
        async with self.bus.producer() as producer:
            barred = BarredCaptures(self.deletions, AsyncQuarantine(self.store))
            reconciler = TeacherReconciler(
                lines=self.lines,
                orders=StoredFitOrders(
                    self.lines, self.scores, StoredCorrections(self.store), barred, KnownThresholds(thresholds)
                ),
                refits=StoredRefits(self.store),
                stream=self.scores,
                brakes=StoredBrakes(self.store),
                holds=self.holds,
                releases=ReleasePublisher(self.store, producer),
                scorer=self.scorer,
                fitter=self.scorer,
                deletions=self.deletions,
                quarantine=AsyncQuarantine(self.store),
                producer=producer,
                notes=self.notes,
                nudge=self.nudge,
                backfill_max=self.settings.backfill_max,
                clock=self.stage.clock,
            )
            await reconcile(
                reconciler,
                self.stage.context,
                leases_of(self.stage, self.store),
                nudge=self.nudge,
                every_s=self.settings.plan_every_s,
            )

    async def _on_command(self, command: CommandGiven) -> list[Event]:
        events = await self.desk.carry_out(command)
        self.nudge.set()
        return events

    async def _on_image(self, event: ImageStored) -> list[PseudoMaskCreated]:
        if event.intent is Intent.NORMAL:
            self.nudge.set()
        events = await self.deletions.unless_erased(event, partial(handlers.on_image_stored, event, self.ports))
        for mask in events:
            self.scores.note(mask)  # all captures, or a random share of them: statistics need no other
            _log_drawn(mask)
        return events

    async def _on_verdict(self, verdict: VerdictGiven) -> list[PseudoMaskCreated]:
        event = await handlers.find_doubtful(verdict, self.ports)
        if event is None:
            return []
        events = await self.deletions.unless_erased(event, partial(handlers.label_by_teacher, event, self.ports))
        for mask in events:
            _log_drawn(mask)
        return events


def _log_drawn(mask: PseudoMaskCreated) -> None:
    log.info("mask_drawn", score=round(mask.score, 4), regions=len(mask.regions), weights=mask.weights[:12])
