"""Judgement of a candidate: whether it may serve. Pure.

The gate compares a candidate with what serves, on the same held-out captures (``siad.vision.gate``). Where nothing
usable serves, and for reports of earlier versions, there is no such evidence. Then the candidate is compared with the
line's false-reject budget and with fixed floors, which agreement with the teacher's own labels must reach.
"""

from dataclasses import dataclass
from datetime import datetime

from siad.contracts.training_runs import CandidateJudgement, RunOutcome, RunReport, RunSpec, RunState, SegmenterFigures
from siad.vision.gate import judge_release
from siad.vision.gate_rule import DEFAULT_POLICY, GatePolicy, chance_of_at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePolicy:
    """Figures that a candidate must reach."""

    image_auroc_min: float = 0.85  # against the teacher's clear labels
    pixel_ap_min: float = 0.15  # against its masks, which are coarse; a noise map reaches the defect ratio, 0.02
    image_auroc_slack: float = 0.03  # below the serving segmenter: the noise of some thirty captures
    pixel_ap_slack: float = 0.1  # likewise
    doubt: float = 0.05  # refuse false rejects whose probability within the budget is below this
    gate: GatePolicy = DEFAULT_POLICY


def judge(spec: RunSpec, report: RunReport, *, policy: JudgePolicy, now: datetime) -> CandidateJudgement:
    """Accept or refuse a candidate, with the figures that decided it."""
    if report.evidence is not None:
        decision = judge_release(report.evidence, policy.gate)
        return CandidateJudgement(
            run=spec.run,
            outcome=RunOutcome.ACCEPTED if decision.accepted else RunOutcome.REFUSED,
            reason=decision.text,
            weights=report.weights,
            judged_at=now,
        )
    objections = [*_over_budget(spec, report.candidate, policy), *_too_weak(report, policy)]
    return CandidateJudgement(
        run=spec.run,
        outcome=RunOutcome.REFUSED if objections else RunOutcome.ACCEPTED,
        reason="; ".join(objections) if objections else _summary(report),
        weights=report.weights,
        judged_at=now,
    )


def abandon(run: RunState, *, now: datetime) -> CandidateJudgement:
    """Close a run whose job never left a candidate."""
    last = f"the last: {run.failure}" if run.failure else "see the job's log"
    return CandidateJudgement(
        run=run.spec.run,
        outcome=RunOutcome.FAILED,
        reason=f"{run.attempts} starts of its job ended without a report; {last}",
        weights="",
        judged_at=now,
    )


def cancel(spec: RunSpec, *, now: datetime) -> CandidateJudgement:
    """Close a run at the request of an operator."""
    return CandidateJudgement(
        run=spec.run, outcome=RunOutcome.CANCELLED, reason="cancelled by an operator", weights="", judged_at=now
    )


def refuse_tainted(spec: RunSpec, reason: str, *, now: datetime) -> CandidateJudgement:
    """Close a run whose training set is in quarantine."""
    return CandidateJudgement(
        run=spec.run, outcome=RunOutcome.REFUSED, reason=f"{reason}; siad taint", weights="", judged_at=now
    )


def _over_budget(spec: RunSpec, found: SegmenterFigures, policy: JudgePolicy) -> list[str]:
    """Object to false rejects beyond chance only: few captures are held out."""
    probability = chance_of_at_least(found.false_rejects, found.normals, spec.false_reject_budget)
    if probability >= policy.doubt:
        return []
    share = f"{found.false_rejects} of {found.normals} good captures, budget {spec.false_reject_budget:g}"
    return [f"rejects {share} (probability within the budget {probability:.3f})"]


def _too_weak(report: RunReport, policy: JudgePolicy) -> list[str]:
    auroc_min, ap_min, reference = policy.image_auroc_min, policy.pixel_ap_min, "floor"
    if report.serving is not None:
        auroc_min = report.serving.image_auroc - policy.image_auroc_slack
        ap_min = report.serving.pixel_ap - policy.pixel_ap_slack
        reference = "serving segmenter less slack"
    found = report.candidate
    figures = (("image AUROC", found.image_auroc, auroc_min), ("pixel AP", found.pixel_ap, ap_min))
    return [f"{name} {value:.3f} is under {least:.3f} ({reference})" for name, value, least in figures if value < least]


def _summary(report: RunReport) -> str:
    found = report.candidate
    return (
        f"image AUROC {found.image_auroc:.3f}, pixel AP {found.pixel_ap:.3f}, rejects {found.false_rejects} of "
        f"{found.normals} good captures, finds {found.detected} of {found.defects} defects"
    )
