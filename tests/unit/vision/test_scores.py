"""Scores and thresholds against their definitions, and against many draws."""

import math

import numpy as np
import pytest

from siad.vision.scores import choose_threshold, conformal_threshold, false_reject_rate, image_auroc


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_the_share_of_pairs_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, defect = rng.integers(0, 6, 30).astype(float), rng.random(30) < 0.4
    pairs = [(a > b) + (a == b) / 2 for a in scores[defect] for b in scores[~defect]]
    assert image_auroc(scores, defect.tolist()) == pytest.approx(float(np.mean(pairs)))


def test_auroc_of_one_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="good and defective"):
        image_auroc([1.0, 2.0], [True, True])


def test_a_score_on_the_threshold_is_a_reject() -> None:
    assert false_reject_rate([1.0, 2.0, 3.0, 4.0], threshold=3.0) == 0.5
    assert math.isnan(false_reject_rate([], threshold=3.0))


def slow_conformal(scores: list[float], budget: float) -> float | None:
    """The lowest held-out score that, as a cut, leaves a further score over it with chance ``budget`` at most."""
    for candidate in sorted(scores):
        over = sum(score > candidate for score in scores)
        if (over + 1) / (len(scores) + 1) <= budget + 1e-12:  # the further score may rank anywhere, alike
            return candidate
    return None


@pytest.mark.parametrize("count", [2, 5, 9, 10, 19, 20, 50, 99, 100])
@pytest.mark.parametrize("budget", [0.01, 0.05, 0.1, 0.3])
def test_conformal_cut_is_the_lowest_that_keeps_the_promise(count: int, budget: float) -> None:
    scores = np.random.default_rng(count).normal(size=count).astype(np.float32).astype(float).tolist()
    expected = slow_conformal(scores, budget)
    cut = conformal_threshold(scores, budget=budget)
    if expected is None:
        assert cut is None
        assert budget < 1 / (count + 1)
    else:
        assert cut is not None
        assert cut == pytest.approx(expected, rel=1e-6, abs=1e-6)
        assert cut > expected  # a tie passes
        assert budget >= 1 / (count + 1)


def test_the_promise_holds_for_heavy_tails() -> None:
    rng = np.random.default_rng(0)
    rejected = []
    for _ in range(2000):
        draws = rng.standard_cauchy(25)
        cut = conformal_threshold(draws[:24], budget=0.08)
        assert cut is not None
        rejected.append(bool(draws[24] >= cut))
    assert np.mean(rejected) == pytest.approx(0.08, abs=0.02)  # 2/25 exactly, ties apart


@pytest.mark.parametrize("count", [2, 10, 50])
def test_few_normals_promise_nothing_and_cut_over_all_of_them(count: int) -> None:
    scores = np.random.default_rng(count).normal(5, 1, count)
    cut, promised = choose_threshold(scores, budget=0.01)
    assert promised is None
    assert cut > scores.max()


def test_enough_normals_promise_the_budget() -> None:
    scores = np.random.default_rng(0).normal(5, 1, 99)
    assert choose_threshold(scores, budget=0.01)[1] == 0.01


def test_the_hoped_for_rate_is_about_kept_where_scores_are_normal() -> None:
    rng = np.random.default_rng(0)
    over = 0.0
    for _ in range(2000):
        draws = rng.normal(size=11)
        cut, _ = choose_threshold(draws[:10], budget=0.02)
        over += draws[10] >= cut
    assert over / 2000 <= 0.025


def test_equal_scores_pass_by_themselves() -> None:
    cut, _ = choose_threshold([3.0, 3.0, 3.0], budget=0.01)
    assert 3.0 < cut < 3.001
