"""Plan for a candidate's trial: state in, actions out. Pure.

A candidate that the gate accepts is released at once, or first judges captures beside what serves, as the line's
setting ``rollout`` has it. Every action leaves its record in the store before the next one depends on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place
from siad.contracts.rollout import RolloutMode
from siad.contracts.trials import CanaryStart, TrialAction, TrialEnd, TrialOutcome, TrialSpec, TrialState
from siad.vision.trial_judgement import DEFAULT_TRIAL_POLICY, TrialFigures, TrialJudgement, TrialPolicy, judge_trial

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPolicy:
    """Rules of trials."""

    canary_share: float = 0.1  # of the captures that the candidate decides in a canary
    trial: TrialPolicy = DEFAULT_TRIAL_POLICY


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """What the plan of a trial depends on."""

    place: Place
    mode: RolloutMode
    candidate: str  # accepted and not released, of the last run; empty for none
    run: str  # that made it
    serving: str  # weights that judge the line
    serving_kind: WeightsKind
    budget: float  # false-reject budget
    trial: TrialState | None  # the newest
    announced: int  # revision of the trial that this process last announced
    barred: str  # why the candidate of the trial may not serve; empty where it may
    is_released: bool  # the candidate of the trial served already
    pause: str  # why nothing is released; empty where it may be
    truths: Mapping[str, bool]  # whether a capture is defective, of those that people answered


@dataclass(frozen=True, slots=True)
class AnnounceTrial:
    """Publish the trial: it moved, or this process has just started."""

    trial: TrialState


@dataclass(frozen=True, slots=True)
class OpenTrial:
    """Let a candidate judge captures beside what serves."""

    spec: TrialSpec


@dataclass(frozen=True, slots=True)
class StartCanary:
    """Let the candidate decide a share of the captures."""

    trial: TrialState
    start: CanaryStart


@dataclass(frozen=True, slots=True)
class EndTrial:
    """Record how a trial ended."""

    trial: TrialState
    end: TrialEnd


TrialStep = AnnounceTrial | OpenTrial | StartCanary | EndTrial


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """Steps of a trial, and the weights to release now."""

    steps: tuple[TrialStep, ...] = ()
    release: str = ""


def plan_rollout(state: RolloutState, now: datetime, policy: RolloutPolicy) -> RolloutPlan:
    """Decide what follows for the candidate of a line and product."""
    trial = state.trial
    if trial is not None and trial.revision > state.announced:
        return RolloutPlan((AnnounceTrial(trial),))
    if trial is not None and trial.is_open:
        return RolloutPlan(_next_steps(state, trial, now, policy))
    if state.pause:
        return RolloutPlan()
    if trial is not None and _is_promoted(trial) and not state.barred and not state.is_released:
        return RolloutPlan(release=trial.spec.candidate)
    if not state.candidate or _is_tried(trial, state.candidate):
        return RolloutPlan()
    is_direct = state.mode is RolloutMode.DIRECT
    return RolloutPlan(release=state.candidate) if is_direct else RolloutPlan((OpenTrial(_spec(state, now, policy)),))


def _next_steps(state: RolloutState, trial: TrialState, now: datetime, policy: RolloutPolicy) -> tuple[TrialStep, ...]:
    """Take an open trial one step further."""
    end = _end(state, trial, now, policy)
    if end is None:
        return ()
    if end.outcome is TrialOutcome.PROMOTED and _is_canary_next(state, trial):
        return (StartCanary(trial, CanaryStart(reason=end.reason, started_at=now)),)
    return (EndTrial(trial, end),)


def describe_trial(trial: TrialState, state: RolloutState, now: datetime, policy: RolloutPolicy) -> str:
    """Say where a trial stands, for operators."""
    spec = trial.spec
    name = f"trial {spec.number} of candidate {spec.candidate[:12]} beside {spec.serving[:12]}"
    if trial.end is not None:
        promote = ""
        if trial.end.outcome in (TrialOutcome.UNDECIDED, TrialOutcome.DROPPED) and not state.is_released:
            promote = f". Release it all the same: siad rollout {spec.line} --promote --reason TEXT"
        return f"{name} ended as {trial.end.outcome.value}: {trial.end.reason}{promote}"
    held = f"; it is not promoted meanwhile: {state.pause}" if state.pause else ""
    return f"{name} is in the phase {trial.phase.value}; {_judgement(state, trial, now, policy).reason}{held}"


def _end(state: RolloutState, trial: TrialState, now: datetime, policy: RolloutPolicy) -> TrialEnd | None:
    """Return how an open trial ends now; None where it goes on."""
    found = _ends_by_events(state, trial) or _ends_by_order(state, trial)
    if found is None:
        judgement = _judgement(state, trial, now, policy)
        if judgement.outcome is None:
            return None
        found = (judgement.outcome, judgement.reason)
    outcome, reason = found
    if state.pause and outcome is TrialOutcome.PROMOTED:
        return None
    return TrialEnd(outcome=outcome, reason=reason, ended_at=now)


def _ends_by_events(state: RolloutState, trial: TrialState) -> tuple[TrialOutcome, str] | None:
    spec = trial.spec
    if state.barred:
        return TrialOutcome.INTERRUPTED, state.barred
    if state.is_released:
        return TrialOutcome.INTERRUPTED, "the candidate was released, or rejected by a rollback"
    if state.candidate and state.candidate != spec.candidate:
        return TrialOutcome.SUPERSEDED, f"candidate {state.candidate[:12]} of run {state.run} is newer"
    if state.serving != spec.serving:
        return TrialOutcome.INTERRUPTED, f"{state.serving[:12]} serves in place of {spec.serving[:12]}"
    return None


def _ends_by_order(state: RolloutState, trial: TrialState) -> tuple[TrialOutcome, str] | None:
    order = trial.order
    if order is not None:
        is_promoted = order.action is TrialAction.PROMOTE
        outcome = TrialOutcome.PROMOTED if is_promoted else TrialOutcome.DROPPED
        return outcome, f"{order.by} ordered it: {order.reason or 'no reason given'}"
    if state.mode is RolloutMode.DIRECT:
        return TrialOutcome.PROMOTED, "the line's setting rollout is direct now"
    return None


def _judgement(state: RolloutState, trial: TrialState, now: datetime, policy: RolloutPolicy) -> TrialJudgement:
    """Judge the pairs of the present phase."""
    return judge_trial(
        TrialFigures.of(trial.pairs, state.truths),
        budget=trial.spec.budget,
        is_canary=trial.canary is not None,
        days=(now - trial.since_at).total_seconds() / _DAY_S,
        policy=policy.trial,
    )


def _is_canary_next(state: RolloutState, trial: TrialState) -> bool:
    """Whether a candidate that passed decides a share first."""
    is_ordered = trial.order is not None or state.mode is RolloutMode.DIRECT
    return trial.spec.has_canary and trial.canary is None and not is_ordered


def _is_promoted(trial: TrialState) -> bool:
    """Whether an ended trial, or a later order, leads to a release."""
    if trial.end is None:
        return False
    is_ordered = trial.order is not None and trial.order.action is TrialAction.PROMOTE
    can_be_ordered = trial.end.outcome in (TrialOutcome.UNDECIDED, TrialOutcome.DROPPED)
    return trial.end.outcome is TrialOutcome.PROMOTED or (is_ordered and can_be_ordered)


def _is_tried(trial: TrialState | None, candidate: str) -> bool:
    """Whether the newest trial of a candidate has decided about it."""
    if trial is None or trial.end is None or trial.spec.candidate != candidate:
        return False
    return trial.end.outcome is not TrialOutcome.INTERRUPTED


def _spec(state: RolloutState, now: datetime, policy: RolloutPolicy) -> TrialSpec:
    return TrialSpec(
        number=1 if state.trial is None else state.trial.spec.number + 1,
        line=state.place.line,
        product=state.place.product,
        run=state.run,
        candidate=WeightsId(state.candidate),
        serving=WeightsId(state.serving),
        serving_kind=state.serving_kind,
        has_canary=state.mode is RolloutMode.CANARY,
        canary_share=policy.canary_share,
        budget=state.budget,
        opened_at=now,
    )
