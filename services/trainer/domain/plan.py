"""Plan for a line's segmenter: state and policies in, actions out. Pure.

Every action leaves its record in the store before the next one depends on it. So a process that plans after a crash, at
whatever moment, finds the work that remains: a run without a judgement, or a candidate that no pointer names.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from services.trainer.domain.compaction import DEFAULT_COMPACTION, CompactionPolicy, boundaries_of, choose_files
from services.trainer.domain.freeze import freeze
from services.trainer.domain.judge import JudgePolicy, abandon, judge, refuse_tainted
from services.trainer.domain.ledger import corrections_of, rows_of
from services.trainer.domain.method import choose_method, input_px_of, newest_residual
from services.trainer.domain.quarantine import unsure_where_tainted, without_tainted
from services.trainer.domain.rollout_state import rollout_state
from services.trainer.domain.schedule import SchedulePolicy, is_due, may_start_job
from services.trainer.domain.size import SizePolicy
from services.trainer.domain.state import SegmenterState
from services.trainer.domain.training_set import FreezePolicy, TooFewCaptures, TrainingSet
from services.trainer.domain.trials import OpenTrial, RolloutPolicy, plan_rollout
from siad.contracts.fit_settings import FitSettings
from siad.contracts.manifest import Manifest
from siad.contracts.methods import FAST
from siad.contracts.pointer import Pointer
from siad.contracts.training_runs import CandidateJudgement, RunOutcome, RunSpec, RunState, run_name

_EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerPolicies:
    """Rules that the plan follows."""

    schedule: SchedulePolicy
    freeze: FreezePolicy
    judge: JudgePolicy
    size: SizePolicy
    epochs: int
    train_s: float  # of one run, at the smallest input size
    workers: int = 1  # of a training
    compaction: CompactionPolicy = DEFAULT_COMPACTION
    rollout: RolloutPolicy = field(default_factory=RolloutPolicy)


@dataclass(frozen=True, slots=True)
class AnnounceSegmenter:
    """Publish the pointer's position: it moved, or this process has just started."""

    pointer: Pointer


@dataclass(frozen=True, slots=True)
class ReleaseCandidate:
    """Put an accepted candidate in service."""

    weights: str
    expected: Pointer | None


@dataclass(frozen=True, slots=True)
class RunJob:
    """Start or restart an open run's job, and await its end."""

    run: str
    attempt: int
    joins: bool = False  # a job that goes on since another process started it; that is no further attempt


@dataclass(frozen=True, slots=True)
class JudgeCandidate:
    """Record the judgement of a candidate, which closes its run."""

    spec: RunSpec
    judgement: CandidateJudgement


@dataclass(frozen=True, slots=True)
class CloseTainted:
    """Close a run that learns from what is in quarantine since."""

    spec: RunSpec
    judgement: CandidateJudgement


@dataclass(frozen=True, slots=True)
class AbandonRun:
    """Close a run whose job failed too often."""

    spec: RunSpec
    judgement: CandidateJudgement


@dataclass(frozen=True, slots=True)
class FreezeTrainingSet:
    """Store a training set, and open a run on it."""

    spec: RunSpec
    training_set: TrainingSet = field(repr=False)


@dataclass(frozen=True, slots=True)
class CompactLedger:
    """Merge small files of the ledger into one."""

    files: tuple[str, ...]  # keys


Action = (
    AnnounceSegmenter
    | ReleaseCandidate
    | RunJob
    | JudgeCandidate
    | AbandonRun
    | CloseTainted
    | FreezeTrainingSet
    | CompactLedger
    | OpenTrial
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions for one line and product."""

    actions: tuple[Action, ...] = ()
    waits_for: str = ""  # why no training set can be frozen although a run is due; empty where that is not so


def plan(state: SegmenterState, now: datetime, policies: TrainerPolicies) -> Plan:
    """Decide what to do for one line and product.

    The ledger is compacted where there is nothing else to do.
    """
    following = _plan(state, now, policies)
    if following.actions:
        return following
    files = choose_files(state.files, boundaries_of(state.runs), policies.compaction)
    return replace(following, actions=(CompactLedger(files),)) if files else following


def _plan(state: SegmenterState, now: datetime, policies: TrainerPolicies) -> Plan:
    announce: tuple[Action, ...] = ()
    if state.segmenter is not None and state.segmenter.revision > state.announced:
        announce = (AnnounceSegmenter(state.segmenter),)
    last = state.last_run
    if last is not None and last.is_open and state.tainted:
        return Plan((*announce, CloseTainted(last.spec, refuse_tainted(last.spec, state.tainted, now=now))))
    rollout = plan_rollout(rollout_state(state), now, policies.rollout)
    if opened := tuple(step for step in rollout.steps if isinstance(step, OpenTrial)):
        return Plan((*announce, *opened))
    if state.pause and (last is None or not last.is_open or last.report is None):
        return Plan(announce, waits_for=state.pause)  # no release, no job, no set; a finished job may be judged
    if rollout.release:
        return Plan((*announce, ReleaseCandidate(rollout.release, state.segmenter)))
    if last is not None and last.is_open:
        return Plan((*announce, *_advance(last, now, policies, joins=state.is_job_running)))
    following = _next_run(state, now, policies)
    return replace(following, actions=(*announce, *following.actions))


def _advance(run: RunState, now: datetime, policies: TrainerPolicies, *, joins: bool) -> tuple[Action, ...]:
    """Take an open run one step further; join a running job."""
    schedule = policies.schedule
    if run.report is not None:
        return (JudgeCandidate(run.spec, judge(run.spec, run.report, policy=policies.judge, now=now)),)
    if joins:
        return (RunJob(run.spec.run, run.attempts, joins=True),)
    if not may_start_job(run, now=now, policy=schedule):
        return ()
    if run.attempts >= schedule.attempts_max:
        return (AbandonRun(run.spec, abandon(run, now=now)),)
    return (RunJob(run.spec.run, run.attempts + 1),)


def _next_run(state: SegmenterState, now: datetime, policies: TrainerPolicies) -> Plan:
    """Freeze a training set if a run is due and captures suffice."""
    if state.settings is None or not (state.is_requested or _is_due(state, now, policies)):
        return Plan()
    manifest = state.teacher.manifest
    if manifest is None:
        weights = state.teacher.pointer.weights
        return Plan(waits_for=f"a readable manifest of teacher {weights}: {state.teacher.unreadable}")
    uncertain = {*manifest.left_out, *manifest.doubted}  # normals that looked like defects to the teacher
    barred = {*uncertain, *state.quarantine.captures}
    normals = [normal for normal in state.normals if normal.capture_id not in barred]
    chosen = freeze(
        without_tainted(rows_of(state.files), state.quarantine),
        normals,
        unsure_where_tainted(corrections_of(state.files), state.quarantine),
        teachers=state.teacher.lineage,
        policy=policies.freeze,
    )
    if isinstance(chosen, TooFewCaptures):
        return Plan(waits_for=chosen.reason)
    judged = (run for run in reversed(state.runs) if run.outcome in (RunOutcome.ACCEPTED, RunOutcome.REFUSED))
    trained = next(judged, None)
    if trained is not None and trained.spec.training_set == chosen.digest:
        return Plan(waits_for="other captures: the training set would equal that of the last run")
    return Plan((FreezeTrainingSet(_spec(state, chosen, manifest, now, policies), chosen),))


def _is_due(state: SegmenterState, now: datetime, policies: TrainerPolicies) -> bool:
    new, normals = state.new_captures, len(state.normals)
    return is_due(new=new, normals=normals, last=state.last_run, now=now, policy=policies.schedule)


def _spec(
    state: SegmenterState, chosen: TrainingSet, teacher: Manifest, now: datetime, policies: TrainerPolicies
) -> RunSpec:
    """Describe a run on a training set, with the line's current settings."""
    assert state.settings is not None, "no run is planned for a removed line"
    serving = "" if state.segmenter is None else state.segmenter.in_service
    chosen_method = choose_method(state.settings.segmenter, teacher)
    is_fast = chosen_method.method == FAST
    side_px = input_px_of(chosen_method.method, teacher.input_px, policies.size)
    return RunSpec(
        run=run_name(*state.place, len(state.runs) + 1),
        line=state.place.line,
        product=state.place.product,
        training_set=chosen.digest,
        teacher=state.teacher.pointer.weights,
        serving=serving,
        ledger_until_at=max((file.written_at for file in state.files), default=_EARLIEST),
        false_reject_budget=FitSettings.of_line(state.settings).budget_for(len(teacher.normals)),
        region=state.settings.region,
        profile=teacher.profile,
        sizes=state.settings.sizes,
        request=state.requested,
        input_px=side_px,
        epochs=policies.epochs,
        train_s=policies.size.train_s(max(side_px, teacher.input_px) if is_fast else side_px, policies.train_s),
        frozen_at=now,
        segmenter=chosen_method.method,
        segmenter_note=chosen_method.note,
        distilled=newest_residual(state.segmenter, state.runs, state.quarantine.weights) if is_fast else "",
        workers=policies.workers,
    )
