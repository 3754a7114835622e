"""Odd normals: found where they are, alone or together, and hardly ever where they are not."""

import numpy as np
import pytest
from scipy.stats import t as student_t

from siad.core.outliers import ALPHA, find_odd


def usual(count: int, seed: int = 0) -> list[float]:
    return [float(score) for score in np.random.default_rng(seed).normal(1.3, 0.2, count) ** 2]


def slow_is_odd(others: list[float], score: float) -> bool:
    """Would a further draw be so high? Student's prediction bound, for the highest of all."""
    count, roots = len(others), np.sqrt(others)
    far = (np.sqrt(score) - np.mean(roots)) / (np.std(roots, ddof=1) * np.sqrt(1 + 1 / count))
    return bool(far > student_t.ppf(1 - ALPHA / (count + 1), count - 1))


@pytest.mark.parametrize("score", np.linspace(2, 30, 25).tolist())
def test_one_score_is_odd_exactly_where_a_prediction_bound_says_so(score: float) -> None:
    others = usual(9)
    assert find_odd([*others[:4], score, *others[4:]]) == ([4] if slow_is_odd(others, score) else [])


@pytest.mark.parametrize("count", [10, 20, 100])
def test_two_odd_ones_do_not_hide_each_other(count: int) -> None:
    scores = usual(count)
    scores[3] = scores[7] = 40.0
    assert find_odd(scores) == [3, 7]


def test_of_normals_without_defects_nearly_none_is_left_out() -> None:
    assert sum(bool(find_odd(usual(10, seed))) for seed in range(1000)) <= 5


def test_no_more_than_a_fifth_is_left_out() -> None:
    assert find_odd([1.0] * 7 + [50.0] * 3) == []  # three of ten: the line varies
    assert find_odd([1.0, 1.1, 0.9, 1.2, 1.0, 1.1, 0.9, 1.0, 30.0, 50.0]) == [8, 9]


def test_few_normals_are_all_kept() -> None:
    assert find_odd([1.0, 1.0, 1.0, 99.0]) == []
    assert find_odd([]) == []


def test_equal_normals_are_all_kept() -> None:
    assert find_odd([0.0] * 10) == []
    assert find_odd([2.0] * 9 + [2.2]) == []


def test_skewed_scores_of_good_parts_are_all_kept() -> None:
    cells = [0.5, 0.6, 0.9, 0.9, 0.9, 1.0, 1.0, 1.1, 1.1, 1.2, 1.4, 1.6, 1.7, 1.8, 1.8, 2.0, 2.2, 2.4, 3.1, 5.0]
    assert find_odd(cells) == []  # measured on twenty good solar cells


def test_a_broken_part_among_good_ones_is_found() -> None:
    bottles = [1.62, 1.34, 1.62, 1.12, 1.29, 1.17, 1.75, 2.0, 1.39, 4.57]
    assert find_odd(bottles) == [9]  # measured on nine good bottles and a broken one


def test_one_score_of_nearly_nothing_makes_no_other_odd() -> None:
    assert find_odd([*usual(9), 0.0]) == []
    assert find_odd([*usual(8), 0.0, 60.0]) == [9]
