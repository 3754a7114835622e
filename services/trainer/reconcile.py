"""From what the store says of a line and product to what is to be done about its segmenter.

``plan`` is pure. Every action leaves its mark in the store before the next depends on it, so whoever plans next, after
a crash at any place, finds what is still to do: a run without a judgement, a candidate that no pointer names.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog

from services.trainer import metrics
from services.trainer.domain.judge import JudgePolicy, fail, judge
from services.trainer.domain.ledger import LedgerFile, fresh_captures, rows_of
from services.trainer.domain.records import CandidateJudgement, RunReport, RunSpec, run_name
from services.trainer.domain.schedule import RunState, SchedulePolicy, is_due, may_start
from services.trainer.domain.size import SizePolicy
from services.trainer.domain.training_set import FreezePolicy, NormalCapture, TooFewCaptures, freeze
from services.trainer.ports import JobRunner, LineReader, MaskLedger, ReleaseStore, RunStore, TrainingSetStore
from siad.contracts.errors import CorruptError, MissingError, TransientError
from siad.contracts.events import LineChanged, SegmenterStatus, WeightsKind
from siad.contracts.manifest import Manifest
from siad.contracts.pointer import Pointer
from siad.runtime.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger()

UNIT: Final = "trainer"
_EVER: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterState:
    """One line and product, as the store tells it."""

    line: str
    product: str
    files: tuple[LedgerFile, ...]
    normals: tuple[NormalCapture, ...]
    runs: tuple[RunState, ...]  # oldest first
    teacher: Pointer
    segmenter: Pointer | None
    settings: LineChanged | None  # None: the line is gone, and nothing more is to be learned for it
    announced: int  # revision of the segmenter's pointer that this process has told everybody; 0 for none


@dataclass(frozen=True, slots=True)
class AnnounceSegmenter:
    """Tell where the segmenter's pointer stands: it moved, or this process has just started."""

    pointer: Pointer


@dataclass(frozen=True, slots=True)
class ReleaseCandidate:
    """Let an accepted candidate serve."""

    weights: str
    expected: Pointer | None


@dataclass(frozen=True, slots=True)
class RunJob:
    """Start the job of an open run, or start it again, and wait for its end."""

    run: str
    attempt: int


@dataclass(frozen=True, slots=True)
class JudgeCandidate:
    """Decide about a candidate."""

    spec: RunSpec
    report: RunReport


@dataclass(frozen=True, slots=True)
class AbandonRun:
    """Write off a run whose job keeps falling."""

    spec: RunSpec
    attempts: int


@dataclass(frozen=True, slots=True)
class FreezeTrainingSet:
    """Freeze a training set and open a run on it."""

    state: SegmenterState = field(repr=False)
    number: int
    settings: LineChanged


Action = AnnounceSegmenter | ReleaseCandidate | RunJob | JudgeCandidate | AbandonRun | FreezeTrainingSet


def plan(state: SegmenterState, now: datetime, *, policy: SchedulePolicy) -> list[Action]:
    """Say what is to be done for one line and product."""
    actions: list[Action] = []
    if state.segmenter is not None and state.segmenter.revision > state.announced:
        actions.append(AnnounceSegmenter(state.segmenter))
    last = state.runs[-1] if state.runs else None
    if last is not None and last.candidate and not _was_released(last.candidate, state.segmenter):
        return [*actions, ReleaseCandidate(last.candidate, state.segmenter)]
    if last is not None and last.is_open:
        return [*actions, *_push(last, now, policy)]
    if state.settings is None:
        return actions
    fresh = fresh_captures(state.files, since=last.spec.ledger_until_at if last else None)
    if is_due(fresh=fresh, normals=len(state.normals), last=last, now=now, policy=policy):
        actions.append(FreezeTrainingSet(state, len(state.runs) + 1, state.settings))
    return actions


def _was_released(weights: str, pointer: Pointer | None) -> bool:
    """A candidate that served once is not released again: somebody may have rolled it back."""
    return pointer is not None and weights in (pointer.weights, *pointer.history)


def _push(run: RunState, now: datetime, policy: SchedulePolicy) -> list[Action]:
    if run.report is not None:
        return [JudgeCandidate(run.spec, run.report)]
    if not may_start(run, now=now, policy=policy):
        return []
    if run.attempts >= policy.attempts_max:
        return [AbandonRun(run.spec, run.attempts)]
    return [RunJob(run.spec.run, run.attempts + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerPolicies:
    """Every rule that the trainer decides by."""

    schedule: SchedulePolicy
    freeze: FreezePolicy
    judge: JudgePolicy
    size: SizePolicy
    epochs: int
    train_s: float


@dataclass(slots=True, kw_only=True)
class SegmenterReconciler:
    """The trainer's works for ``siad.runtime.reconcile``."""

    ledger: MaskLedger
    training_sets: TrainingSetStore
    runs: RunStore
    jobs: JobRunner
    releases: ReleaseStore
    lines: LineReader
    policies: TrainerPolicies
    nudge: asyncio.Event  # set when an action makes another one possible
    clock: Clock = SYSTEM_CLOCK
    _announced: dict[str, int] = field(default_factory=dict)
    _listed: set[str] = field(default_factory=set)  # units whose training sets' members are written down
    _waits: dict[str, str] = field(default_factory=dict)  # unit -> why nothing could be frozen, said once

    async def names(self) -> list[str]:
        """Every line and product that has a teacher."""
        return [f"{UNIT}/{teacher.line}/{teacher.product}" for teacher in await self.releases.teachers()]

    async def observe(self, name: str) -> SegmenterState:
        """Read one line and product.

        Raises:
            TransientError: the store is away, or holds what can't be read; other lines go on.
        """
        try:
            return await self._observe(name)
        except CorruptError as error:
            msg = f"{name} is put off until its records are mended: {error}"
            raise TransientError(msg) from error

    async def _observe(self, name: str) -> SegmenterState:
        _, line, product = name.split("/")
        teacher = await self.releases.pointer(WeightsKind.TEACHER, line, product)
        assert teacher is not None, f"{name} was listed with a teacher; pointers are never taken away"
        if name not in self._listed:
            await self.training_sets.list_members(line, product)
            self._listed.add(name)
        state = SegmenterState(
            line=line,
            product=product,
            files=tuple(await self.ledger.read(line, product)),
            normals=tuple(await self.lines.normals(line, product)),
            runs=tuple(await self.runs.read(line, product)),
            teacher=teacher,
            segmenter=await self.releases.pointer(WeightsKind.SEGMENTER, line, product),
            settings=await self.lines.settings(line),
            announced=self._announced.get(name, 0),
        )
        since = state.runs[-1].spec.ledger_until_at if state.runs else None
        metrics.NEW_CAPTURES.labels(line, product).set(fresh_captures(state.files, since=since))
        return state

    def plan(self, state: SegmenterState, now: datetime) -> list[Action]:
        """Say what is to be done."""
        return plan(state, now, policy=self.policies.schedule)

    async def act(self, name: str, action: Action) -> None:
        """Do it; another process that does the same gets ConflictError, here or there."""
        _, line, product = name.split("/")
        match action:
            case AnnounceSegmenter(pointer):
                await self.releases.announce(pointer)
                self._announced[name] = pointer.revision
            case ReleaseCandidate(weights, expected):
                await self._release(line, product, weights, expected)
            case RunJob(run, attempt):
                await self._run_job(line, run, attempt)
            case JudgeCandidate(spec, report):
                await self._close(spec, judge(spec, report, policy=self.policies.judge, now=self.clock.now()))
            case AbandonRun(spec, attempts):
                await self._close(spec, fail(spec, attempts=attempts, now=self.clock.now()))
            case FreezeTrainingSet():
                await self._freeze(name, action)
        if not isinstance(action, FreezeTrainingSet):
            self.nudge.set()

    async def _freeze(self, name: str, action: FreezeTrainingSet) -> None:
        state = action.state
        teachers = (state.teacher.weights, *state.teacher.history)
        teacher = await self._teacher(state)
        odd = {*teacher.left_out, *teacher.doubted}  # nobody is sure of these any more
        normals = [one for one in state.normals if one.capture_id not in odd]
        chosen = freeze(rows_of(state.files), normals, teachers=teachers, policy=self.policies.freeze)
        if isinstance(chosen, TooFewCaptures):
            self._wait(name, chosen.reason)
            return
        if state.runs and state.runs[-1].spec.training_set == chosen.digest:
            self._wait(name, "the same training set as last time")
            return
        self._waits.pop(name, None)
        await self.training_sets.put(state.line, state.product, chosen)
        now = state.segmenter
        serving = now.weights if now is not None and now.status is SegmenterStatus.SERVING else ""
        side_px = self.policies.size.side_px(teacher.input_px)
        spec = RunSpec(
            run=run_name(state.line, state.product, action.number),
            line=state.line,
            product=state.product,
            training_set=chosen.digest,
            teacher=state.teacher.weights,
            serving=serving,
            ledger_until_at=max((file.written_at for file in state.files), default=_EVER),
            false_reject_budget=action.settings.false_reject_budget,
            region=action.settings.region,
            input_px=side_px,
            epochs=self.policies.epochs,
            train_s=self.policies.size.train_s(side_px, self.policies.train_s),
            frozen_at=self.clock.now(),
        )
        await self.runs.put_spec(spec)
        log.info("training_set_frozen", run=spec.run, training_set=chosen.digest, images=len(chosen.members))
        self.nudge.set()

    async def _run_job(self, line: str, run: str, attempt: int) -> None:
        async with self.jobs.turn():
            await self.runs.put_attempt(run, attempt, self.clock.now())
            metrics.JOB_STARTS.labels(line).inc()
            await self.jobs.run(run)

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

    async def _teacher(self, state: SegmenterState) -> Manifest:
        try:
            return await self.releases.manifest(state.teacher)
        except (MissingError, CorruptError) as error:
            msg = f"teacher {state.teacher.weights} of {state.line}/{state.product} can't be read: {error}"
            raise TransientError(msg) from error

    async def _release(self, line: str, product: str, weights: str, expected: Pointer | None) -> None:
        try:
            pointer = await self.releases.point(
                weights, expected=expected, line=line, product=product, at=self.clock.now()
            )
        except (MissingError, CorruptError) as error:
            msg = f"candidate {weights} of {line}/{product} can't be released, what serves goes on: {error}"
            raise TransientError(msg) from error
        metrics.RELEASES.labels(line).inc()
        log.info("segmenter_released", line=line, product=product, weights=weights, revision=pointer.revision)

    def _wait(self, name: str, reason: str) -> None:
        if self._waits.get(name) != reason:
            self._waits[name] = reason
            log.info("nothing_frozen", reason=reason)
