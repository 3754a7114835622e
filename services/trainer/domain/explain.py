"""Reasons why a line and product train now, or do not. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.trainer.domain.plan import TrainerPolicies
from services.trainer.domain.rollout_state import rollout_state
from services.trainer.domain.state import SegmenterState
from services.trainer.domain.trials import describe_trial
from siad.contracts.training_runs import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceReport:
    """What a line and product train on, or wait for."""

    line: str
    product: str
    run: str  # the last one; empty before the first
    reasons: tuple[str, ...]  # sentences for operators
    as_of: datetime


def explain(state: SegmenterState, waits_for: str, *, now: datetime, policies: TrainerPolicies) -> PlaceReport:
    """Explain the last run, and what the next one waits for.

    Args:
        state: of the line and product.
        waits_for: why no training set can be frozen although a run is due, from the plan.
        now: the time of day.
        policies: minima and delays.
    """
    last = state.last_run
    reasons = [_of_open(last, policies) if last.is_open else _of_closed(last)] if last is not None else []
    if last is None or not last.is_open:
        paused = f"no run starts, and none is released: {state.pause}" if state.pause else ""
        reasons.append(paused or _of_next(state, waits_for, now, policies))
    if state.trial is not None:
        reasons.append(describe_trial(state.trial, rollout_state(state), now, policies.rollout))
    return PlaceReport(
        line=state.place.line,
        product=state.place.product,
        run="" if last is None else last.spec.run,
        reasons=tuple(reasons),
        as_of=now,
    )


def _of_open(run: RunState, policies: TrainerPolicies) -> str:
    begin = f"run {run.spec.run} is open since {_clock(run.spec.frozen_at)}"
    if run.report is not None:
        return f"{begin}; its candidate {run.report.weights[:12]} waits to be judged"
    if run.last_attempt_at is None:
        return f"{begin}; its job waits to start, while another job runs"
    most = policies.schedule.attempts_max
    failed = f"; a start failed: {run.failure}" if run.failure else ""
    return f"{begin}; start {run.attempts} of at most {most} of its job was at {_clock(run.last_attempt_at)}{failed}"


def _of_closed(run: RunState) -> str:
    judgement = run.judgement
    assert judgement is not None, "a closed run has a judgement"
    return f"run {run.spec.run} was {judgement.outcome.value} at {_clock(judgement.judged_at)}: {judgement.reason}"


def _of_next(state: SegmenterState, waits_for: str, now: datetime, policies: TrainerPolicies) -> str:
    if state.settings is None:
        return "no further run: the line was ended"
    if waits_for:
        return f"the next run is {'requested' if state.is_requested else 'due'}, and waits for {waits_for}"
    if state.is_requested:
        return "the next run is requested, and starts with the next plan"
    if missing := _missing_data(state, policies):
        return f"the next run waits for {missing}"
    last = state.last_run
    if last is not None and last.judgement is not None:
        rests_until = last.judgement.judged_at + timedelta(seconds=policies.schedule.cooldown_s)
        if now < rests_until:
            return f"the next run starts after {_clock(rests_until)}: a line rests between two runs"
    return "the next run starts with the next plan"


def _missing_data(state: SegmenterState, policies: TrainerPolicies) -> str:
    schedule, new = policies.schedule, state.new_captures
    if len(state.normals) < schedule.normals_min:
        return f"normals: {len(state.normals)} of {schedule.normals_min}"
    if new.suffice(schedule):
        return ""
    return (
        f"new data: {new.labelled} of {schedule.captures_min} new captures, or {new.corrected} of "
        f"{schedule.corrections_min} new corrections"
    )


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
