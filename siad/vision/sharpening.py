"""Threshold of weights in service, from normals, stream and answers.

A fit has only its normals to choose a threshold by (``siad.vision.calibration``). In service two more sources come:
the scores of the stream, which are good but for an unknown share, and what people answered about some captures.
``siad.vision.score_mixture`` joins the three; here the threshold is taken from them, by one of two rules:

- **budget**: the score that a share ``budget`` of good captures exceeds, at the median of what is known;
- **cost**: where the line says what a miss costs, the score at which a capture's expected cost is least, under the
  defect rate that stream and answers tell.

**What bounds it.** A stream is used from ``STREAM_MIN`` captures on: the lower part of 38 alone missed far more
defects. Without answers it moves the threshold by ``STEP_MAX`` at a time, raises it by at most ``STREAM_RAISE_MAX`` and
lowers it by at most ``STREAM_LOWER_MAX``, so a flood of defects or a wrong camera setting cannot carry it away before a
person sees it. Answers move it at once.

**What is promised.** Nothing that holds whatever the distribution: answers near the threshold are no random draw, and
conformal prediction needs one. The interval holds under the model of ``siad.vision.score_mixture``; docs/calibration.md
has how often it held on real images. Answers to captures drawn at random estimate false rejects and misses without a
model; the console reports them apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from siad.contracts.corrections import CorrectionVerdict, Selection
from siad.contracts.manifest import NearestTeacher, RateEstimate
from siad.vision.calibration import INTERVAL, calibrate, good_scores, is_log_scale, normals_to_promise
from siad.vision.score_mixture import UNIT, LabelledScores, MixturePosterior, fit_mixture

STREAM_MIN: Final = 100  # captures
STREAM_RAISE_MAX: Final = 0.2  # of a log score, from the threshold that the normals gave: a raise hides defects
STREAM_LOWER_MAX: Final = 0.5  # likewise; a lower one rejects good parts, which a person sees
STEP_MAX: Final = 0.15  # of a log score, from the threshold in use
CHOSEN_WEIGHT: Final = 0.5  # of an answer to a capture that a person picked: a mistake, more often than the others are
ANSWERS_WANTED: Final = 10
NORMALS_WANTED: Final = 20
_AT: Final = ((1 - INTERVAL) / 2, 0.5, (1 + INTERVAL) / 2)
_CUTS: Final = 120  # that the rule of cost compares


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredAnswer:
    """A person's verdict on a capture, and its score."""

    score: float
    verdict: CorrectionVerdict
    selection: Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdEvidence:
    """Everything that a threshold is computed from."""

    held_out: Sequence[float]  # image scores of at least two normals that the weights were not fitted on
    is_left_one_out: bool  # whether each of them was left out alone
    budget: float  # share of good captures that may be rejected, in (0, 1)
    stream: Sequence[float] = ()  # image scores of captures, whatever they are
    answers: Sequence[ScoredAnswer] = ()
    miss_cost: float = 0.0  # what a miss costs, in false rejects; 0: the budget decides
    nearest: NearestTeacher | None = None  # as in the manifest: the threshold starts from it


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpenedThreshold:
    """A threshold, what it rejects, and why."""

    threshold: float  # raw score
    rate: RateEstimate
    normals: int  # counts behind it
    stream_captures: int
    answers: int
    reason: str  # which rule chose it, and from what
    advice: str  # what would sharpen it; empty where nothing would


def sharpen(evidence: ThresholdEvidence, *, in_use: float | None = None) -> SharpenedThreshold:
    """Choose the threshold of weights in service.

    Args:
        evidence: normals, stream and answers.
        in_use: the threshold at present, raw score; None for that of the normals.

    Raises:
        ValueError: fewer than two held-out scores, or a score that is not finite.
    """
    is_left_one_out, nearest = evidence.is_left_one_out, evidence.nearest
    start = calibrate(evidence.held_out, budget=evidence.budget, is_left_one_out=is_left_one_out, nearest=nearest)
    scale = _Scale(is_log_scale(evidence.held_out))
    stream = scale.of(evidence.stream) if len(evidence.stream) >= STREAM_MIN else []
    answers = _labelled(evidence.answers, scale)
    count = sum(len(one.good) + len(one.defective) for one in answers)
    if not stream and not count and not evidence.miss_cost:
        return _sharpened(evidence, start.threshold, start.rate, stream=0, answers=0)
    good = good_scores(evidence.held_out, is_left_one_out=is_left_one_out, nearest=nearest)
    posterior = fit_mixture(good, stream=stream, answers=answers)
    cut = _cheapest_cut(posterior, evidence.miss_cost) if evidence.miss_cost else posterior.cut_for(evidence.budget)
    if not count and not evidence.miss_cost:
        unit = good.unit / UNIT
        first, present = scale.one(start.threshold), scale.one(start.threshold if in_use is None else in_use)
        cut = min(max(cut, first - STREAM_LOWER_MAX * unit), first + STREAM_RAISE_MAX * unit)
        cut = min(max(cut, present - STEP_MAX * unit), present + STEP_MAX * unit)
    low, middle, high = posterior.rejects(cut, _AT)
    rate = RateEstimate(budget=evidence.budget, estimated=middle, low=low, high=high)
    return _sharpened(evidence, scale.back(cut), rate, stream=len(stream), answers=count)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Logs of scores, or the scores themselves where they have none."""

    is_log: bool

    def of(self, scores: Sequence[float]) -> list[float]:
        return [self.one(score) for score in scores if math.isfinite(score) and (score > 0 or not self.is_log)]

    def one(self, score: float) -> float:
        return math.log(max(score, 1e-300)) if self.is_log else score

    def back(self, cut: float) -> float:
        threshold = math.exp(cut) if self.is_log else cut
        return float(np.nextafter(np.float32(threshold), np.float32(np.inf)))


def _labelled(answers: Sequence[ScoredAnswer], scale: _Scale) -> list[LabelledScores]:
    """Group answers by their weight; unsure ones say nothing."""
    groups = {1.0: [one for one in answers if one.selection is not Selection.CHOSEN]}
    groups[CHOSEN_WEIGHT] = [one for one in answers if one.selection is Selection.CHOSEN]
    return [
        LabelledScores(
            good=scale.of([one.score for one in group if one.verdict is CorrectionVerdict.GOOD]),
            defective=scale.of([one.score for one in group if one.verdict is CorrectionVerdict.DEFECT]),
            weight=weight,
        )
        for weight, group in groups.items()
        if group
    ]


def _cheapest_cut(posterior: MixturePosterior, miss_cost: float) -> float:
    """Find the cut of the least expected cost."""
    lowest = float(posterior.weight_Q @ posterior.mean_Q)
    highest = posterior.cut_for(1e-4)
    cuts = np.linspace(lowest, highest, _CUTS)
    costs = [posterior.cost(float(cut), miss_cost=miss_cost) for cut in cuts]
    return float(cuts[int(np.argmin(costs))])


def _sharpened(
    evidence: ThresholdEvidence, threshold: float, rate: RateEstimate, *, stream: int, answers: int
) -> SharpenedThreshold:
    return SharpenedThreshold(
        threshold=threshold,
        rate=rate,
        normals=len(evidence.held_out),
        stream_captures=stream,
        answers=answers,
        reason=_describe_reason(evidence, stream=stream, answers=answers),
        advice=_describe_advice(evidence, rate, answers=answers),
    )


def _describe_reason(evidence: ThresholdEvidence, *, stream: int, answers: int) -> str:
    sources = [f"{len(evidence.held_out)} held-out normals"]
    if stream:
        sources.append(f"{stream} captures of the stream")
    if answers:
        good = sum(one.verdict is CorrectionVerdict.GOOD for one in evidence.answers)
        sources.append(f"{answers} answer{'' if answers == 1 else 's'} ({good} good, {answers - good} defective)")
    by = f"a miss costs {evidence.miss_cost:g} false rejects" if evidence.miss_cost else f"{evidence.budget:.2%}"
    return f"chosen by the {'cost' if evidence.miss_cost else 'budget'} ({by}), from {_join(sources)}"


def _describe_advice(evidence: ThresholdEvidence, rate: RateEstimate, *, answers: int) -> str:
    """Say what would narrow the interval.

    Nothing where it is no wider than half of the budget.
    """
    if rate.high - rate.low <= evidence.budget / 2:
        return ""
    ways = []
    if answers < ANSWERS_WANTED:
        ways.append(_answers_to(ANSWERS_WANTED - answers))
    more = min(NORMALS_WANTED, normals_to_promise(evidence.budget) - len(evidence.held_out))
    if more > 0:
        ways.append("1 more normal" if more == 1 else f"{more} more normals")
    if not ways:
        ways.append(_answers_to(ANSWERS_WANTED))
    text = " or ".join(ways)
    return f"{text[0].upper()}{text[1:]} would sharpen it"


def _answers_to(captures: int) -> str:
    said = "an answer to 1 more capture" if captures == 1 else f"answers to {captures} more captures"
    return f"{said} near the threshold (siad review)"


def _join(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
