"""Composition root of the trainer: settings, adapters, handlers, reconciler, route."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from services.trainer import handlers, metrics
from services.trainer.access import ROUTES
from services.trainer.adapters.job_process import LocalJobs
from services.trainer.adapters.kubernetes_api import KubernetesRayJobs
from services.trainer.adapters.ledger import ParquetLedger
from services.trainer.adapters.ray_jobs import RayJobs
from services.trainer.adapters.run_requests import StoredRunRequests
from services.trainer.adapters.training_sets import StoredTrainingSets
from services.trainer.adapters.trials import AnnouncedTrials
from services.trainer.domain.explain import PlaceReport
from services.trainer.domain.judge import JudgePolicy
from services.trainer.domain.plan import TrainerPolicies
from services.trainer.domain.schedule import SchedulePolicy
from services.trainer.domain.training_set import FreezePolicy
from services.trainer.domain.trials import RolloutPolicy
from services.trainer.ports import JobRunner
from services.trainer.reconcile import SegmenterReconciler, TrialReconciler
from services.trainer.routes import make_router
from services.trainer.settings import TrainerSettings
from siad.audit.commanded_rollback import CommandedRollbacks
from siad.contracts.codec import Event, decode
from siad.contracts.commands import CommandGiven, CommandKind
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.events import PseudoMaskCreated
from siad.contracts.topics import COMMAND, CORRECTION, PSEUDO_MASK, SEGMENTER, SHADOW, TRIAL, dead_letter, retry
from siad.contracts.trials import ShadowJudged
from siad.erasure.deletions import AsyncDeletions
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.boot import boot, connect, leases_of, protect
from siad.runtime.bus.port import Bus, Message, Record
from siad.runtime.commands import CommandDesk
from siad.runtime.consumer import Batch, BatchRoute, Handler, Limits, consume, event_route, with_retry
from siad.runtime.reconcile import reconcile
from siad.runtime.store.brakes import StoredBrakes, StoredHolds
from siad.runtime.store.commands import StoredCommands
from siad.runtime.store.lines import StoredLines
from siad.runtime.store.quarantine import AsyncQuarantine
from siad.runtime.store.releases import ReleasePublisher
from siad.runtime.store.runs import StoredRuns
from siad.runtime.store.trials import StoredTrials
from siad.runtime.worker import StageProcess
from siad.vision.trial_judgement import TrialPolicy

NAME = "trainer"
NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def main() -> None:
    """Run the trainer with the settings of the environment, until a signal."""
    settings = TrainerSettings.load()
    boot(NAME, settings, partial(assemble, settings=settings, jobs=make_jobs(settings)))


def make_jobs(settings: TrainerSettings) -> JobRunner:
    """Run jobs as RayJobs where there is a template, otherwise as processes.

    Raises:
        DeniedError: the API server of the cluster can't be used.
        OSError, ValueError: the template can't be read.
    """
    if not settings.rayjob_template:
        return LocalJobs(limit_s=settings.job_limit_s)
    namespace = NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    return RayJobs(
        api=KubernetesRayJobs.of_pod(namespace, settings.rayjob_owner),
        template=json.loads(Path(settings.rayjob_template).read_text(encoding="utf-8")),
        prefix=settings.rayjob_prefix,
        limit_s=settings.job_limit_s,
    )


@asynccontextmanager
async def assemble(
    stage: StageProcess, settings: TrainerSettings, *, bus: Bus, blobs: Blobs, jobs: JobRunner
) -> AsyncIterator[None]:
    """Wire the stage; close the store's threads on leaving."""
    topics = [PSEUDO_MASK, CORRECTION, COMMAND, SEGMENTER, TRIAL, SHADOW, dead_letter(NAME), retry(NAME)]
    async with connect(stage, bus, blobs, topics=topics) as store:
        protect(stage, store, ROUTES)
        works = _TrainerTasks(stage, settings, bus, store, jobs)
        stage.app.include_router(make_router(works))
        stage.tasks |= {"pseudo-masks": works.take_in, "reconcile": works.reconcile, "trials": works.follow_trials}
        yield


class _TrainerTasks:
    """Tasks of the stage, and the state they share."""

    def __init__(
        self, stage: StageProcess, settings: TrainerSettings, bus: Bus, store: AsyncBlobs, jobs: JobRunner
    ) -> None:
        self.stage, self.settings, self.bus, self.store, self.jobs = stage, settings, bus, store, jobs
        self.deletions = AsyncDeletions(store, clock=stage.clock)
        self.ledger = ParquetLedger(store)
        self.reconciler: SegmenterReconciler | None = None
        self.trials: AnnouncedTrials | None = None
        self.nudge, self.trial_nudge = asyncio.Event(), asyncio.Event()
        self.pairs = StoredTrials(store)
        self.is_planning = asyncio.Event()  # the reconciler of segmenters exists, which that of trials asks
        requests = StoredRunRequests(store)
        self.desk = CommandDesk(
            stage=NAME,
            outcomes=StoredCommands(store),
            acts={
                CommandKind.TRAIN: partial(handlers.on_train, requests=requests, clock=stage.clock),
                CommandKind.ROLLBACK: CommandedRollbacks(store, stage.clock).roll_back,
            },
            clock=stage.clock,
        )

    def reports(self, line: str) -> list[PlaceReport]:
        """Report what a line trains on; nothing before the first plan."""
        return [] if self.reconciler is None else self.reconciler.reports(line)

    async def take_in(self) -> None:
        """Write the ledger; commit offsets after the store's acknowledgement."""
        size: dict[str, Any] = {"records_max": self.settings.batch_max, "wait_s": self.settings.batch_wait_s}
        commands = event_route(CommandGiven, self._on_command, to=SEGMENTER)
        routes: dict[str, Handler | BatchRoute[Any]] = {
            COMMAND.name: commands,
            PSEUDO_MASK.name: BatchRoute(decode=_decode_mask, on_batch=self._on_masks, **size),
            CORRECTION.name: BatchRoute(decode=_decode_correction, on_batch=self._on_corrections, **size),
            SHADOW.name: BatchRoute(decode=_decode_pair, on_batch=self._on_pairs, **size),
        }
        await consume(
            self.bus,
            with_retry(routes, stage=NAME),
            self.stage.context,
            limits=Limits.of(self.settings),
        )

    async def reconcile(self) -> None:
        """Run training jobs; judge, release and announce segmenters."""
        async with self.bus.producer() as producer:
            self.trials = AnnouncedTrials(self.store, producer)
            self.reconciler = SegmenterReconciler(
                ledger=self.ledger,
                training_sets=StoredTrainingSets(self.store),
                runs=StoredRuns(self.store),
                jobs=self.jobs,
                releases=ReleasePublisher(self.store, producer),
                lines=StoredLines(self.store),
                brakes=StoredBrakes(self.store),
                holds=StoredHolds(self.store),
                quarantine=AsyncQuarantine(self.store),
                trials=self.trials,
                policies=policies_of(self.settings),
                nudge=self.nudge,
                clock=self.stage.clock,
            )
            self.is_planning.set()
            await reconcile(
                self.reconciler,
                self.stage.context,
                leases_of(self.stage, self.store),
                nudge=self.nudge,
                every_s=self.settings.plan_every_s,
            )

    async def follow_trials(self) -> None:
        """Move, end and announce trials, also while a training job runs."""
        if not await self.stage.unless_stopped(self.is_planning.wait()):
            return
        assert self.reconciler is not None
        assert self.trials is not None
        await reconcile(
            TrialReconciler(segmenters=self.reconciler, trials=self.trials, nudges=(self.trial_nudge, self.nudge)),
            self.stage.context,
            leases_of(self.stage, self.store),
            nudge=self.trial_nudge,
            every_s=self.settings.plan_every_s,
        )

    async def _on_command(self, command: CommandGiven) -> list[Event]:
        events = await self.desk.carry_out(command)
        self.nudge.set()  # a requested run may start, a moved pointer changes the plan
        return events

    async def _on_masks(self, batch: Batch[PseudoMaskCreated]) -> list[Message]:
        messages = await handlers.on_pseudo_masks(batch, ledger=self.ledger, deletions=self.deletions)
        _count_rows(batch)
        return messages

    async def _on_pairs(self, batch: Batch[ShadowJudged]) -> list[Message]:
        """Store pairs, and look at their trials at once."""
        messages = await handlers.on_shadow_judged(batch, trials=self.pairs)
        self.trial_nudge.set()
        return messages

    async def _on_corrections(self, batch: Batch[CaptureCorrected]) -> list[Message]:
        messages = await handlers.on_capture_corrected(batch, ledger=self.ledger, deletions=self.deletions)
        _count_rows(batch)
        return messages


def _decode_mask(record: Record) -> PseudoMaskCreated:
    return decode(PseudoMaskCreated, record.value)


def _decode_pair(record: Record) -> ShadowJudged:
    return decode(ShadowJudged, record.value)


def _decode_correction(record: Record) -> CaptureCorrected:
    return decode(CaptureCorrected, record.value)


def _count_rows(batch: Batch[Any]) -> None:
    for event in batch.decoded:
        metrics.LEDGER_ROWS.labels(event.line).inc()


def policies_of(settings: TrainerSettings) -> TrainerPolicies:
    """Make the policies from the settings."""
    return TrainerPolicies(
        schedule=SchedulePolicy(
            captures_min=settings.captures_min,
            corrections_min=settings.corrections_min,
            normals_min=settings.normals_min,
            cooldown_s=settings.cooldown_s,
            attempts_max=settings.attempts_max,
        ),
        freeze=FreezePolicy(members_max=settings.members_max, normals_min=settings.normals_min),
        judge=JudgePolicy(),
        size=settings.size,
        epochs=settings.epochs,
        train_s=settings.train_s,
        workers=settings.workers,
        rollout=RolloutPolicy(
            canary_share=settings.canary_share,
            trial=TrialPolicy(captures_max=settings.trial_captures_max, days_max=settings.trial_days_max),
        ),
    )
