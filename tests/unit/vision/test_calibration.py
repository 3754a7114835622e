"""Thresholds of teachers: near the true quantile, with an interval that holds as often as it says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from siad.vision.calibration import (
    INTERVAL,
    LEAVE_ONE_OUT_BIAS,
    PRIOR_DEVIATION,
    PROMISED_MIN,
    calibrate,
)
from siad.vision.scores import conformal_threshold

SCORES = st.lists(st.floats(0.01, 50), min_size=2, max_size=PROMISED_MIN + 20)
BUDGETS = st.floats(0.005, 0.4)


@settings(max_examples=500)
@given(SCORES, BUDGETS, st.booleans())
def test_every_threshold_is_finite_and_its_interval_in_order(scores: list[float], budget: float, is_out: bool) -> None:
    chosen = calibrate(scores, budget=budget, is_left_one_out=is_out)
    assert math.isfinite(chosen.threshold)
    assert 0 <= chosen.rate.low <= chosen.rate.estimated <= chosen.rate.high <= 1
    assert chosen.rate.budget == budget


@settings(max_examples=100)
@given(SCORES, BUDGETS)
def test_a_promise_is_made_where_it_can_be_kept_and_nowhere_else(scores: list[float], budget: float) -> None:
    chosen = calibrate(scores, budget=budget)
    conformal = conformal_threshold(scores, budget=budget)
    if len(scores) >= PROMISED_MIN and conformal is not None:
        assert (chosen.promised, chosen.threshold) == (budget, conformal)
    else:
        assert chosen.promised is None


@settings(max_examples=100)
@given(SCORES, st.floats(0.01, 0.2), st.floats(1.05, 2.0))
def test_a_tighter_budget_never_lowers_the_threshold(scores: list[float], budget: float, factor: float) -> None:
    few = scores[: PROMISED_MIN - 1]
    tight, loose = (calibrate(few, budget=one).threshold for one in (budget, budget * factor))
    assert tight >= loose


@settings(max_examples=50)
@given(st.lists(st.floats(0.5, 5), min_size=2, max_size=20), st.floats(0.1, 10))
def test_the_unit_of_scores_does_not_matter(scores: list[float], unit: float) -> None:
    one, other = calibrate(scores, budget=0.05), calibrate([unit * score for score in scores], budget=0.05)
    assert other.threshold == pytest.approx(unit * one.threshold, rel=1e-5)
    assert other.rate.high == pytest.approx(one.rate.high, abs=1e-6)


def draws(count: int, *, deviation: float, seed: int = 0) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(1, deviation, (500, count)))


@pytest.mark.parametrize("deviation", [0.3, 0.4, 0.5])
def test_the_budget_is_about_kept_and_the_interval_holds(deviation: float) -> None:
    found = [calibrate(list(scores), budget=0.05) for scores in draws(10, deviation=deviation)]
    rates = [1 - float(ndtr((math.log(one.threshold) - 1) / deviation)) for one in found]
    assert 0.01 < np.mean(rates) < 0.11
    covered = [one.rate.low <= rate <= one.rate.high for one, rate in zip(found, rates, strict=True)]
    assert np.mean(covered) >= INTERVAL


def test_the_interval_of_a_promise_holds_whatever_the_distribution() -> None:
    drawn = np.random.default_rng(1).standard_cauchy((1000, 60)) + 1e4
    found = [calibrate(list(scores), budget=0.05) for scores in drawn]
    rates = [0.5 - math.atan(one.threshold - 1e4) / math.pi for one in found]
    covered = [one.rate.low <= rate <= one.rate.high for one, rate in zip(found, rates, strict=True)]
    assert np.mean(covered) == pytest.approx(INTERVAL, abs=0.03)


def test_more_normals_narrow_the_interval() -> None:
    widths = []
    for count in (3, 10, 40):
        rates = [calibrate(list(scores), budget=0.05).rate for scores in draws(count, deviation=PRIOR_DEVIATION)[:50]]
        widths.append(np.mean([rate.high - rate.low for rate in rates]))
    assert widths == sorted(widths, reverse=True)


def test_the_bias_of_scores_with_one_left_out_is_taken_off() -> None:
    scores = [1.0, 2.0, 3.0]
    plain, unbiased = (calibrate(scores, budget=0.05, is_left_one_out=one).threshold for one in (False, True))
    assert math.log(plain / unbiased) == pytest.approx(LEAVE_ONE_OUT_BIAS, abs=1e-5)


def test_few_scores_that_agree_by_chance_get_the_deviation_of_other_lines() -> None:
    chosen = calibrate([2.0, 2.001, 1.999], budget=0.05)
    assert chosen.threshold > 2 * math.exp(PRIOR_DEVIATION)


def test_scores_with_a_sign_are_taken_as_they_are() -> None:
    scores = [-2.0, -1.0, 0.5, 1.0]
    moved = calibrate([score + 100 for score in scores], budget=0.05, is_left_one_out=True)
    expected = np.mean(scores) + 1.645 * np.std(scores, ddof=1)
    assert calibrate(scores, budget=0.05).threshold == pytest.approx(expected, abs=0.01)
    assert moved.threshold > 100


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_scores_that_give_no_threshold_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="two finite scores"):
        calibrate(scores, budget=0.05)


def test_equal_scores_pass_by_themselves() -> None:
    assert calibrate([3.0, 3.0, 3.0], budget=0.05).threshold > 3.0
    assert -3.0 < calibrate([-3.0, -3.0, -3.0], budget=0.05).threshold < -2.99
    assert 0.0 < calibrate([0.0, 0.0], budget=0.05).threshold < 0.01
