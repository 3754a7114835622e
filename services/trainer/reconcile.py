"""Reconcilers of the trainer: training jobs, releases of segmenters, and trials.

It observes the state of a line and product through ports, plans with ``domain.plan``, and executes the actions. Records
in the store that are missing or damaged put off their line and product only, see ``siad.runtime.reconcile``.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from services.trainer import metrics
from services.trainer.domain.explain import PlaceReport, explain
from services.trainer.domain.job_end import JobEnd
from services.trainer.domain.ledger import newest_received_at
from services.trainer.domain.plan import (
    AbandonRun,
    Action,
    AnnounceSegmenter,
    CloseTainted,
    CompactLedger,
    FreezeTrainingSet,
    JudgeCandidate,
    ReleaseCandidate,
    RunJob,
    TrainerPolicies,
    plan,
)
from services.trainer.domain.quarantine import describe_taint
from services.trainer.domain.rollout_state import rollout_state
from services.trainer.domain.state import SegmenterState, TeacherInService
from services.trainer.domain.training_set import NormalCapture
from services.trainer.domain.trials import AnnounceTrial, EndTrial, OpenTrial, StartCanary, TrialStep, plan_rollout
from services.trainer.ports import (
    BrakeReader,
    HoldReader,
    JobRunner,
    Ledger,
    LineReader,
    QuarantineReader,
    ReleaseStore,
    RunStore,
    TrainingSetStore,
    TrialStore,
)
from siad.contracts.documents import JobFailure, TrainingSetMembers
from siad.contracts.errors import ConflictError, CorruptError, DeniedError, MissingError, TransientError
from siad.contracts.events import WeightsKind
from siad.contracts.learning import LearningMode, why_not_learning
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.quarantine import QuarantineIndex
from siad.contracts.training_runs import CandidateJudgement, RunSpec, RunState
from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.vision.trial_judgement import TrialFigures

log = structlog.get_logger()

CANCEL_POLL_S: Final = 3.0  # from the cancellation of a run to the end of its job
TRIAL_UNIT: Final = "trial/"  # begins the name of every unit of trials: trial/<line>/<product>
UNIT: Final = "trainer/"  # begins the name of every unit of work: trainer/<line>/<product>


@dataclass(slots=True, kw_only=True)
class SegmenterReconciler:
    """Plans and acts for the segmenter of each line and product."""

    ledger: Ledger
    training_sets: TrainingSetStore
    runs: RunStore
    jobs: JobRunner
    releases: ReleaseStore
    lines: LineReader
    brakes: BrakeReader
    holds: HoldReader
    quarantine: QuarantineReader
    trials: TrialStore
    policies: TrainerPolicies
    nudge: asyncio.Event  # set when an action makes another one possible
    clock: Clock = SYSTEM_CLOCK
    _reports: dict[Place, PlaceReport] = field(default_factory=dict)
    _announced: dict[Place, int] = field(default_factory=dict)
    _listed: set[Place] = field(default_factory=set)  # whose training sets all have member lists
    _teachers: dict[Place, TeacherInService] = field(default_factory=dict)  # manifests never change: read once
    _waits_for: dict[Place, str] = field(default_factory=dict)  # logged once, until it changes

    async def names(self) -> list[str]:
        """List every line and product that has a teacher."""
        return [f"{UNIT}{teacher.place}" for teacher in await self.releases.pointers(WeightsKind.TEACHER)]

    async def observe(self, name: str) -> SegmenterState:
        """Read the state of one line and product.

        Raises:
            CorruptError, MissingError: a record in the store cannot be read.
            TransientError: the store is unavailable.
        """
        place = _place_of(name)
        pointer = await self.releases.pointer(WeightsKind.TEACHER, place)
        if pointer is None:
            msg = f"the pointer to the teacher of {place} was deleted since it was listed"
            raise MissingError(msg)
        if place not in self._listed:
            await self.training_sets.add_member_lists(place)
            self._listed.add(place)
        settings = await self.lines.settings(place.line)
        mode = LearningMode.of("" if settings is None else settings.learning)
        quarantine = await self.quarantine.read(place.line)
        runs = tuple(await self.runs.read(place))
        last = runs[-1] if runs else None
        may_run = last is not None and last.is_open and last.attempts > 0 and last.report is None
        state = SegmenterState(
            place=place,
            quarantine=quarantine,
            tainted=await self._describe_taint(place, runs, quarantine),
            files=tuple(await self.ledger.read(place)),
            normals=tuple(map(NormalCapture.of, await self.lines.normals(place))),
            runs=runs,
            teacher=await self._teacher(place, pointer),
            segmenter=await self.releases.pointer(WeightsKind.SEGMENTER, place),
            settings=settings,
            pause="" if settings is None else await self._why_not_learning(place, mode),
            announced=self._announced.get(place, 0),
            trial=await self.trials.newest(place),
            announced_trial=self.trials.announced(place),
            requested=await self.runs.newest_request(place),
            is_job_running=may_run and last is not None and await self.jobs.is_running(last.spec.run),
        )
        new = state.new_captures
        metrics.NEW_CAPTURES.labels(place.line, place.product).set(new.labelled)
        metrics.NEW_CORRECTIONS.labels(place.line, place.product).set(new.corrected)
        return state

    async def _why_not_learning(self, place: Place, mode: LearningMode) -> str:
        brake, hold = await self.brakes.read(place), await self.holds.read(place)
        return why_not_learning(mode, brake, line=place.line, hold=hold)

    async def _describe_taint(self, place: Place, runs: Sequence[RunState], quarantine: QuarantineIndex) -> str:
        """Say what of the last run's training set is in quarantine."""
        if quarantine.is_empty or not runs:
            return ""
        spec = runs[-1].spec
        try:
            members = await self.training_sets.members(place, spec.training_set)
        except MissingError:  # erased with the captures of the line
            members = TrainingSetMembers(captures=())
        return describe_taint(members, spec.teacher, quarantine)

    async def _teacher(self, place: Place, pointer: Pointer) -> TeacherInService:
        """Read the teacher's manifest; a damaged one delays only the next run."""
        known = self._teachers.get(place)
        if known is not None and known.manifest is not None and known.pointer == pointer:
            return known
        try:
            teacher = TeacherInService(pointer=pointer, manifest=await self.releases.manifest(pointer))
        except (MissingError, CorruptError) as error:
            teacher = TeacherInService(pointer=pointer, manifest=None, unreadable=str(error))
        self._teachers[place] = teacher
        return teacher

    def plan(self, state: SegmenterState, now: datetime) -> Sequence[Action]:
        """Decide what to do, see ``domain.plan``."""
        following = plan(state, now, self.policies)
        if following.waits_for and following.waits_for != self._waits_for.get(state.place):
            log.info("nothing_frozen", reason=following.waits_for)
        self._waits_for[state.place] = following.waits_for
        self._reports[state.place] = explain(state, following.waits_for, now=now, policies=self.policies)
        return following.actions

    def reports(self, line: str) -> list[PlaceReport]:
        """Report the products of a line, as of the last plan."""
        return [report for place, report in sorted(self._reports.items()) if place.line == line]

    async def act(self, name: str, action: Action) -> None:
        """Execute one action.

        Raises:
            ConflictError: another process does the same and was first.
            CorruptError, MissingError: a record in the store cannot be read.
            TransientError: the broker, the store or the means to start a job are unavailable.
        """
        place = _place_of(name)
        match action:
            case AnnounceSegmenter(pointer):
                await self.releases.announce(pointer)
                self._announced[place] = pointer.revision
            case ReleaseCandidate(weights, expected):
                await self._release(place, weights, expected)
            case CompactLedger(files):
                if not await self.ledger.merge(place, files):
                    return  # the same plan would follow at once
            case RunJob():
                await self._run_job(place.line, action)
            case JudgeCandidate(spec, judgement) | AbandonRun(spec, judgement) | CloseTainted(spec, judgement):
                await self._close(spec, judgement)
            case OpenTrial(trial):
                await self.trials.put_spec(trial)
                log.info("trial_opened", place=str(place), trial=trial.number, candidate=trial.candidate)
            case FreezeTrainingSet(spec, training_set):
                await self.training_sets.put(place, training_set)
                await self.runs.put_spec(spec)
                images = len(training_set.members)
                log.info("training_set_frozen", run=spec.run, training_set=spec.training_set, images=images)
        self.nudge.set()

    async def _release(self, place: Place, weights: str, expected: Pointer | None) -> None:
        pointer = await self.releases.point(place, weights, expected=expected, at=self.clock.now())
        metrics.RELEASES.labels(place.line).inc()
        log.info(
            "segmenter_released",
            line=place.line,
            product=place.product,
            weights=weights,
            revision=pointer.revision,
        )
        await self._measure_learning(place, weights)

    async def _measure_learning(self, place: Place, weights: str) -> None:
        """Measure the time from image to production of what was released."""
        run = next((run for run in reversed(await self.runs.read(place)) if run.candidate == weights), None)
        if run is None:  # released by its name
            return
        newest = newest_received_at(await self.ledger.read(place), until=run.spec.ledger_until_at)
        if newest is not None:
            metrics.LEARNING_SECONDS.labels(place.line).observe((self.clock.now() - newest).total_seconds())

    async def _run_job(self, line: str, action: RunJob) -> None:
        run = action.run
        async with self.jobs.turn():
            if await self.runs.is_closed(run):
                return  # cancelled while it waited for its turn
            if not action.joins:
                await self.runs.put_attempt(run, action.attempt, self.clock.now())
                metrics.JOB_STARTS.labels(line).inc()
            job = asyncio.create_task(self.jobs.run(run))
            try:
                end = await self._watch(run, job)
            except (DeniedError, TransientError) as error:
                await self._record_failure(action, str(error))
                raise
            finally:
                job.cancel()
                await asyncio.wait({job})
            if end is None:
                await self.jobs.end(run)
            elif end.reason:
                await self._record_failure(action, end.reason)

    async def _watch(self, run: str, job: asyncio.Task[JobEnd]) -> JobEnd | None:
        """Wait for a job; None where its run was cancelled meanwhile."""
        while not job.done():
            await asyncio.wait({job}, timeout=CANCEL_POLL_S)
            if not job.done() and await self._is_closed(run):
                log.info("job_cancelled", run=run)
                return None
        return job.result()

    async def _record_failure(self, action: RunJob, reason: str) -> None:
        """Keep why a start failed: the log is gone with the pod."""
        try:
            failure = JobFailure(reason=reason, ended_at=self.clock.now())
            await self.runs.put_failure(action.run, action.attempt, failure)
        except (ConflictError, TransientError) as error:  # recorded already, or the store is away; the log has it
            log.warning("job_failure_not_recorded", run=action.run, reason=str(error))

    async def _is_closed(self, run: str) -> bool:
        try:
            return await self.runs.is_closed(run)
        except TransientError as error:  # the job has its own way to wait for the store
            log.warning("run_not_looked_up", run=run, reason=str(error))
            return False

    async def _close(self, spec: RunSpec, judgement: CandidateJudgement) -> None:
        await self.runs.put_judgement(judgement)
        seconds = (judgement.judged_at - spec.frozen_at).total_seconds()
        metrics.RUNS.labels(spec.line, judgement.outcome.value).inc()
        metrics.RUN_SECONDS.labels(judgement.outcome.value).observe(seconds)
        log.info(
            "run_judged",
            run=spec.run,
            outcome=judgement.outcome.value,
            reason=judgement.reason,
            weights=judgement.weights,
            seconds=round(seconds, 1),
        )


def _place_of(name: str) -> Place:
    return Place.parse(name.removeprefix(UNIT))


@dataclass(slots=True, kw_only=True)
class TrialReconciler:
    """Plans and acts for the trial of each line and product.

    Its units go on while those of ``SegmenterReconciler`` wait for a training job: a candidate that is worse is dropped
    at once. The other one opens trials, and releases what is promoted.
    """

    segmenters: SegmenterReconciler  # observes what the plan depends on
    trials: TrialStore
    nudges: tuple[asyncio.Event, ...]  # of both reconcilers, set where a step makes another one possible

    async def names(self) -> list[str]:
        """List every line and product with a trial to follow."""
        return [f"{TRIAL_UNIT}{place}" for place in await self.trials.places()]

    async def observe(self, name: str) -> SegmenterState:
        """Read the state of one line and product, see ``SegmenterReconciler``."""
        return await self.segmenters.observe(f"{UNIT}{name.removeprefix(TRIAL_UNIT)}")

    def plan(self, state: SegmenterState, now: datetime) -> Sequence[TrialStep]:
        """Decide what to do, see ``domain.trials``."""
        rollout = rollout_state(state)
        steps = plan_rollout(rollout, now, self.segmenters.policies.rollout).steps
        if state.trial is not None:
            _export(state.place, TrialFigures.of(state.trial.pairs, rollout.truths), is_open=state.trial.is_open)
        return [step for step in steps if not isinstance(step, OpenTrial)]

    async def act(self, _: str, action: TrialStep, /) -> None:
        """Execute one step.

        Raises:
            ConflictError: another process does the same and was first.
            TransientError: the broker or the store is unavailable.
        """
        match action:
            case AnnounceTrial(trial):
                await self.trials.announce(trial)
            case StartCanary(trial, start):
                await self.trials.put_canary(trial.spec, start)
                log.info("canary_started", trial=trial.spec.number, place=str(trial.spec.place), reason=start.reason)
            case EndTrial(trial, end):
                await self.trials.put_end(trial.spec, end)
                metrics.TRIALS.labels(trial.spec.line, end.outcome.value).inc()
                log.info(
                    "trial_ended",
                    line=trial.spec.line,
                    product=trial.spec.product,
                    trial=trial.spec.number,
                    candidate=trial.spec.candidate,
                    outcome=end.outcome.value,
                    reason=end.reason,
                )
            case OpenTrial():
                return  # by the other reconciler
        for nudge in self.nudges:
            nudge.set()


def _export(place: Place, figures: TrialFigures, *, is_open: bool) -> None:
    counts = {
        "pairs": figures.captures,
        "extra": figures.extra,
        "fewer": figures.fewer,
        "lost": figures.lost,
        "kept": figures.kept,
    }
    for name, count in counts.items():
        metrics.TRIAL_CAPTURES.labels(*place, name).set(count if is_open else 0)
