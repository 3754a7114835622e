"""Whether a candidate may serve. Pure: figures in, judgement out.

A candidate is held against the line's false-reject budget, and against what serves now on the same captures; the
first of a line against a floor, since its teacher's own word is the reference.
"""

import math
from dataclasses import dataclass
from datetime import datetime

from services.trainer.domain.records import CandidateJudgement, RunOutcome, RunReport, RunSpec, SegmenterFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePolicy:
    """How much is asked of a candidate."""

    image_auroc_min: float = 0.85  # against the teacher's clear words
    pixel_ap_min: float = 0.15  # against its masks, which are coarse; a map of noise reaches the defect ratio, 0.02
    image_auroc_slack: float = 0.03  # that it may fall behind what serves now: the noise of some thirty captures
    pixel_ap_slack: float = 0.1
    doubt: float = 0.05  # false rejects that a segmenter within budget would show less often than this refuse it


def judge(spec: RunSpec, report: RunReport, *, policy: JudgePolicy, now: datetime) -> CandidateJudgement:
    """Accept or refuse; the reason names every figure that speaks against the candidate, or those that carried it."""
    against = [*_over_budget(spec, report.candidate, policy), *_too_weak(report, policy)]
    return CandidateJudgement(
        run=spec.run,
        outcome=RunOutcome.REFUSED if against else RunOutcome.ACCEPTED,
        reason="; ".join(against) if against else _praise(report),
        weights=report.weights,
        judged_at=now,
    )


def fail(spec: RunSpec, *, attempts: int, now: datetime) -> CandidateJudgement:
    """Write off a run whose job never brought a candidate."""
    return CandidateJudgement(
        run=spec.run,
        outcome=RunOutcome.FAILED,
        reason=f"{attempts} attempts ended without a report; the job's log says why",
        weights="",
        judged_at=now,
    )


def _over_budget(spec: RunSpec, found: SegmenterFigures, policy: JudgePolicy) -> list[str]:
    """Refuse on false rejects only where chance is no excuse: few captures are held out."""
    chance = chance_of_at_least(found.false_rejects, found.normals, spec.false_reject_budget)
    if chance >= policy.doubt:
        return []
    share = f"{found.false_rejects} of {found.normals} good captures, budget {spec.false_reject_budget:g}"
    return [f"rejects {share} (chance of so many within budget {chance:.3f})"]


def _too_weak(report: RunReport, policy: JudgePolicy) -> list[str]:
    auroc_min, ap_min, what = policy.image_auroc_min, policy.pixel_ap_min, "floor"
    if report.serving is not None:
        auroc_min = report.serving.image_auroc - policy.image_auroc_slack
        ap_min = report.serving.pixel_ap - policy.pixel_ap_slack
        what = "what serves now, less slack"
    found = report.candidate
    asked = (("image AUROC", found.image_auroc, auroc_min), ("pixel AP", found.pixel_ap, ap_min))
    return [f"{name} {value:.3f} is under {least:.3f} ({what})" for name, value, least in asked if value < least]


def _praise(report: RunReport) -> str:
    found = report.candidate
    return (
        f"image AUROC {found.image_auroc:.3f}, pixel AP {found.pixel_ap:.3f}, rejects {found.false_rejects} of "
        f"{found.normals} good captures, finds {found.detected} of {found.defects} defects"
    )


def chance_of_at_least(count: int, trials: int, rate: float) -> float:
    """P(X >= ``count``) of a binomial with ``trials`` and ``rate``."""
    return 1 - sum(math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(count))
