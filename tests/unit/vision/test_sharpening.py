"""Thresholds in service: what the stream and people's answers may move, and how far."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from siad.contracts.corrections import CorrectionVerdict, Selection
from siad.vision.calibration import calibrate
from siad.vision.score_mixture import MixturePosterior
from siad.vision.sharpening import (
    ANSWERS_WANTED,
    STEP_MAX,
    STREAM_LOWER_MAX,
    STREAM_MIN,
    STREAM_RAISE_MAX,
    ScoredAnswer,
    ThresholdEvidence,
    sharpen,
)

BUDGET = 0.05
GOOD, SPREAD, DEFECTIVE = 0.6, 0.35, 1.5  # of log scores


def good_scores(count: int, *, seed: int, mean: float = GOOD) -> list[float]:
    return [float(score) for score in np.exp(np.random.default_rng(seed).normal(mean, SPREAD, count))]


def defective_scores(count: int, *, seed: int, mean: float = DEFECTIVE) -> list[float]:
    return [float(score) for score in np.exp(np.random.default_rng(seed).normal(mean, 0.3, count))]


HELD_OUT = good_scores(10, seed=1)
ANSWER = ScoredAnswer(score=1.0, verdict=CorrectionVerdict.GOOD, selection=Selection.NEAREST)


def threshold_of(
    *,
    stream: Sequence[float] = (),
    answers: Sequence[ScoredAnswer] = (),
    in_use: float | None = None,
    cost: float = 0.0,
) -> float:
    evidence = ThresholdEvidence(
        held_out=HELD_OUT, is_left_one_out=True, budget=BUDGET, stream=stream, answers=answers, miss_cost=cost
    )
    return sharpen(evidence, in_use=in_use).threshold


def settled(evidence: ThresholdEvidence) -> float:
    """The threshold once it was computed often enough to arrive."""
    threshold = sharpen(evidence).threshold
    for _ in range(8):
        before, threshold = threshold, sharpen(evidence, in_use=threshold).threshold
        if threshold == before:
            break
    return threshold


def with_stream(stream: Sequence[float]) -> ThresholdEvidence:
    return ThresholdEvidence(held_out=HELD_OUT, is_left_one_out=True, budget=BUDGET, stream=stream)


def threshold_alone(held_out: Sequence[float]) -> float:
    return calibrate(held_out, budget=BUDGET, is_left_one_out=True).threshold


def answered(scores: Sequence[float], verdict: CorrectionVerdict, selection: Selection) -> list[ScoredAnswer]:
    return [ScoredAnswer(score=score, verdict=verdict, selection=selection) for score in scores]


START = threshold_of()


def test_normals_alone_give_the_threshold_of_the_fit() -> None:
    chosen = calibrate(HELD_OUT, budget=BUDGET, is_left_one_out=True)
    found = sharpen(ThresholdEvidence(held_out=HELD_OUT, is_left_one_out=True, budget=BUDGET))
    assert (found.threshold, found.rate) == (chosen.threshold, chosen.rate)
    assert (found.normals, found.stream_captures, found.answers) == (10, 0, 0)
    assert "20 more normals" in found.advice
    assert "answers to 10 more captures near the threshold" in found.advice.lower()


def test_one_missing_answer_is_one_capture() -> None:
    verdicts = answered(HELD_OUT[: ANSWERS_WANTED - 1], CorrectionVerdict.GOOD, Selection.NEAREST)
    evidence = ThresholdEvidence(held_out=HELD_OUT, is_left_one_out=True, budget=BUDGET, answers=verdicts)
    assert "an answer to 1 more capture near the threshold" in sharpen(evidence).advice.lower()


def test_a_short_stream_moves_nothing() -> None:
    assert threshold_of(stream=good_scores(STREAM_MIN - 1, seed=2, mean=GOOD - 0.5)) == START


def test_a_stream_corrects_normals_that_are_no_good_sample() -> None:
    further = np.asarray(good_scores(20_000, seed=5))
    wrong_by = []
    for seed in range(4):
        held_out = good_scores(10, seed=seed, mean=GOOD - 0.25)
        stream = good_scores(160, seed=10 + seed) + defective_scores(40, seed=20 + seed)
        evidence = ThresholdEvidence(held_out=held_out, is_left_one_out=True, budget=BUDGET, stream=stream)
        rates = [float(np.mean(further >= one)) for one in (threshold_alone(held_out), settled(evidence))]
        wrong_by.append([abs(rate - BUDGET) for rate in rates])
    before, after = np.mean(wrong_by, axis=0)
    assert after < 0.06
    assert after < before / 2


@pytest.mark.parametrize("defects", [80, 120, 160])
def test_a_burst_of_defects_does_not_carry_the_threshold_away(defects: int) -> None:
    burst = good_scores(200 - defects, seed=2) + defective_scores(defects, seed=3)
    assert math.log(np.quantile(burst, 1 - BUDGET) / START) > 0.6, "a quantile of the stream would follow it"
    assert math.log(settled(with_stream(burst)) / START) < STREAM_RAISE_MAX + 1e-3


def test_drift_of_the_good_moves_the_threshold_with_it() -> None:
    before = settled(with_stream(good_scores(160, seed=2) + defective_scores(20, seed=3)))
    moved = good_scores(160, seed=2, mean=GOOD + 0.25) + defective_scores(20, seed=3, mean=DEFECTIVE + 0.25)
    drifted = settled(with_stream(moved))
    assert 0.1 < math.log(drifted / before) < 0.35


def test_the_stream_moves_the_threshold_by_steps_and_within_reach() -> None:
    flood = good_scores(300, seed=2, mean=GOOD + 1.5)
    assert math.log(threshold_of(stream=flood, in_use=START) / START) == pytest.approx(STEP_MAX, abs=1e-3)
    assert math.log(settled(with_stream(flood)) / START) == pytest.approx(STREAM_RAISE_MAX, abs=1e-3)
    calm = good_scores(300, seed=2, mean=GOOD - 1.5)
    assert math.log(settled(with_stream(calm)) / START) == pytest.approx(-STREAM_LOWER_MAX, abs=1e-3)


def test_answers_move_the_threshold_at_once_and_to_their_side() -> None:
    near = [START * math.exp(shift) for shift in np.linspace(-0.15, 0.2, 10)]
    good = threshold_of(answers=answered(near, CorrectionVerdict.GOOD, Selection.NEAREST))
    bad = threshold_of(answers=answered(near, CorrectionVerdict.DEFECT, Selection.NEAREST))
    assert bad < START < good
    assert math.log(good / START) > 0.07
    assert math.log(START / bad) > 0.05


def test_an_unsure_answer_moves_nothing() -> None:
    assert threshold_of(answers=answered([START] * 5, CorrectionVerdict.UNSURE, Selection.NEAREST)) == START


def test_a_capture_that_a_person_picked_counts_less() -> None:
    above = [START * 1.2] * 4
    picked = threshold_of(answers=answered(above, CorrectionVerdict.GOOD, Selection.CHOSEN))
    near = threshold_of(answers=answered(above, CorrectionVerdict.GOOD, Selection.NEAREST))
    assert START < picked < near


def test_answers_narrow_the_interval() -> None:
    near = [START * math.exp(shift) for shift in np.linspace(-0.5, 0.3, 12)]
    answers = [
        ScoredAnswer(
            score=score,
            verdict=CorrectionVerdict.GOOD if score < START else CorrectionVerdict.DEFECT,
            selection=Selection.NEAREST,
        )
        for score in near
    ]
    before, after = (
        sharpen(with_stream([])).rate,
        sharpen(replace(with_stream([]), answers=answers)).rate,
    )
    assert after.high - after.low < before.high - before.low


def test_an_exactly_known_line_keeps_an_interval_since_no_shape_is_exact() -> None:
    one = [np.array([value]) for value in (1.0, GOOD, SPREAD, DEFECTIVE, 0.3, 0.1)]
    posterior = MixturePosterior(*one)
    low, middle, high = posterior.rejects(posterior.cut_for(BUDGET), (0.05, 0.5, 0.95))
    assert middle == pytest.approx(BUDGET)
    assert low < 0.9 * BUDGET
    assert high > 1.1 * BUDGET


def test_a_dear_miss_lowers_the_threshold_and_a_cheap_one_raises_it() -> None:
    stream = good_scores(160, seed=2) + defective_scores(40, seed=3)
    dear, even, cheap = (threshold_of(stream=stream, cost=cost) for cost in (50.0, 1.0, 0.1))
    assert dear < even < cheap


def test_the_reason_says_which_rule_chose_and_from_what() -> None:
    evidence = ThresholdEvidence(
        held_out=HELD_OUT,
        is_left_one_out=True,
        budget=BUDGET,
        stream=good_scores(120, seed=2),
        answers=[ANSWER, ScoredAnswer(score=4.0, verdict=CorrectionVerdict.DEFECT, selection=Selection.NEAREST)],
        miss_cost=20.0,
    )
    reason = sharpen(evidence).reason
    assert reason == (
        "chosen by the cost (a miss costs 20 false rejects), from 10 held-out normals, 120 captures of the stream and "
        "2 answers (1 good, 1 defective)"
    )


def test_scores_that_have_no_logs_are_taken_as_they_are() -> None:
    rng = np.random.default_rng(0)
    held_out = rng.normal(-4.0, 1.0, 12).tolist()
    stream = rng.normal(-4.0, 1.0, 160).tolist() + rng.normal(2.0, 1.0, 30).tolist()
    found = sharpen(ThresholdEvidence(held_out=held_out, is_left_one_out=False, budget=BUDGET, stream=stream))
    assert -4.0 < found.threshold < 0.0


@pytest.mark.parametrize("held_out", [[1.0], [], [1.0, math.nan]])
def test_too_few_or_damaged_scores_are_refused(held_out: list[float]) -> None:
    with pytest.raises(ValueError, match="two finite scores"):
        sharpen(ThresholdEvidence(held_out=held_out, is_left_one_out=True, budget=BUDGET))
