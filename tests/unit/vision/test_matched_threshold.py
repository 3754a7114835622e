"""A threshold is carried over by its rank, and no more good images are rejected than may be."""

import numpy as np
import pytest

from siad.vision.matched_threshold import match_threshold, raise_to_budget

SCORES = [0.5, 1.0, 1.5, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("threshold", [0.1, 0.5, 1.7, 3.0, 8.0, 20.0])
def test_equal_scores_keep_the_threshold(threshold: float) -> None:
    assert match_threshold(SCORES, SCORES, threshold=threshold) == pytest.approx(threshold)


def test_as_many_captures_are_rejected_as_before_whatever_the_scale() -> None:
    candidate = (np.array(SCORES) ** 3 / 10).tolist()[::-1]
    for threshold in (0.7, 1.2, 3.0, 7.0):
        matched = match_threshold(candidate, SCORES, threshold=threshold)
        assert sum(score >= matched for score in candidate) == sum(score >= threshold for score in SCORES)


def test_beyond_all_captures_the_ratio_to_the_last_is_kept() -> None:
    doubled = [2 * score for score in SCORES]
    assert match_threshold(doubled, SCORES, threshold=16.0) == pytest.approx(32.0)
    assert match_threshold(doubled, SCORES, threshold=0.25) == pytest.approx(0.5)


def test_without_captures_nothing_is_known_and_the_threshold_stays() -> None:
    assert match_threshold([], [], threshold=3.0) == 3.0


def test_a_score_of_0_is_no_obstacle() -> None:
    assert match_threshold([0.0, 4.0], [0.0, 4.0], threshold=4.0) == pytest.approx(4.0)


@pytest.mark.parametrize(("rejects_max", "expected"), [(0, 9.0), (1, 7.0), (2, 5.0), (3, 5.0)])
def test_the_threshold_rises_over_the_good_images_that_are_too_many(rejects_max: int, expected: float) -> None:
    goods = [1.0, 9.0, 7.0, 2.0]
    raised = raise_to_budget(5.0, goods, rejects_max=rejects_max)
    assert raised == pytest.approx(expected)
    assert sum(score >= raised for score in goods) <= rejects_max
