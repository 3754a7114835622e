"""Receipt of a capture: its verdict with reasons, and today's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siad.audit.capture_report import CaptureReport
from siad.audit.lineage import LineLineage, WeightsLineage
from siad.audit.today import JudgementToday
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, latest_corrections
from siad.contracts.events import Decision, VerdictGiven

SAME_SCORE = 1e-3  # of the threshold; runners and CPUs differ by less, as the golden check allows
_DIGITS = 12  # of an id in a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictReceipt:
    """One capture: verdict, answers of people, lineage and judgement of today."""

    report: CaptureReport
    today: JudgementToday
    agreement: str  # whether today's weights say the same, in one sentence
    lineage: str  # of the weights that judged, in one line
    today_mask_HW: NDArray[np.uint8] | None = None  # of today's defect

    @property
    def verdict(self) -> VerdictGiven | None:
        """The verdict that counts: the first of the capture."""
        return self.report.verdicts[0] if self.report.verdicts else None


def compare(verdict: VerdictGiven | None, today: JudgementToday) -> str:
    """Say whether today's weights give the same verdict, and why not."""
    if verdict is None:
        return f"no verdict to compare with; today {today.decision.value}"
    then, now = _spell(verdict.decision, verdict.reason), today.decision.value
    if verdict.decision is Decision.UNKNOWN or today.decision is Decision.UNKNOWN:
        is_same = verdict.decision is today.decision
        return f"yes: {now}" if is_same else f"no: {then} then, {now} today"
    return f"{'yes' if verdict.decision is today.decision else f'no: {then} then, {now} today'}; {_why(verdict, today)}"


def _spell(decision: Decision, reason: str) -> str:
    return f"{decision.value} ({reason})" if reason else decision.value


def _why(verdict: VerdictGiven, today: JudgementToday) -> str:
    """What of a verdict stayed and what changed."""
    if verdict.weights != today.weights:
        other = f"other weights: {verdict.weights_kind.value} {verdict.weights[:_DIGITS]} then"
        return f"{other}, {today.weights_kind.value} {today.weights[:_DIGITS]} today, whose scores have another scale"
    difference = abs(verdict.score - today.score)
    parts = ["the same weights"]
    moved = verdict.threshold != today.threshold
    parts.append(f"threshold moved from {verdict.threshold:.6g} to {today.threshold:.6g}" if moved else "threshold")
    if difference <= SAME_SCORE * abs(verdict.threshold):
        parts.append("score")
    else:
        runners = f" ({verdict.runner or 'unknown runner'} then, {today.runner} today)"
        parts.append(f"score differs by {difference:.3g}{runners}")
    return ", ".join(parts)


def describe_answer(verdict: VerdictGiven | None, answers: Sequence[CaptureCorrected]) -> str:
    """Say what people answered last, and whether the verdict agrees."""
    if not answers:
        return "none"
    answer = next(iter(latest_corrections(answers).values()))
    said = f"{answer.verdict.value}, by {answer.author} at {answer.corrected_at:%Y-%m-%d %H:%M:%S} UTC"
    if verdict is None or verdict.decision is Decision.UNKNOWN:
        return said
    if answer.verdict in (CorrectionVerdict.GOOD, CorrectionVerdict.DEFECT):
        is_defect = answer.verdict is CorrectionVerdict.DEFECT
        if is_defect == (verdict.decision is Decision.REJECT):
            return f"{said}: the verdict was right"
        return f"{said}: the verdict was a {'miss' if is_defect else 'false reject'}"
    return said


def describe_lineage(verdict: VerdictGiven | None, lines: LineLineage) -> str:
    """Say in one line what the weights of a verdict learned from."""
    if verdict is None or not verdict.weights:
        return "none: no weights judged it"
    one = lines.weights.get(verdict.weights)
    if one is None:
        return f"unknown: the manifest of {verdict.weights[:_DIGITS]} is not in the store"
    quarantine = ", in quarantine" if one.in_quarantine else ""
    return f"{one.kind.value} {one.weights[:_DIGITS]} ({one.method}), {one.state}{quarantine}: {_origin(one)}"


def _origin(one: WeightsLineage) -> str:
    parts = []
    if one.training_set:
        parts.append(f"training set {one.training_set[:_DIGITS]} of {len(one.captures)} captures")
    elif one.captures:
        parts.append(f"{len(one.captures)} captures of the stream")
    if one.normals:
        parts.append(f"{len(one.normals)} normals")
    if one.corrections:
        parts.append(f"{len(one.corrections)} corrections")
    if one.teachers:
        parts.append(f"weights {', '.join(name[:_DIGITS] for name in one.teachers)}")
    return f"learned from {'; '.join(parts)}" if parts else "learned from nothing that is recorded"
