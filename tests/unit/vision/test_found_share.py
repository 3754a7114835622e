"""Shares of synthetic defects: an interval that holds as often as it says."""

import math

import numpy as np
import pytest

from siad.vision.found_share import INTERVAL, FoundShare


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("defects", [5, 30])
def test_the_interval_holds_the_true_share_at_least_as_often_as_it_says(truth: float, defects: int) -> None:
    drawn = np.random.default_rng(1).binomial(defects, truth, 4000)
    intervals = {found: FoundShare(found=found, defects=defects).interval for found in range(defects + 1)}
    held = [intervals[found][0] <= truth <= intervals[found][1] for found in drawn.tolist()]
    assert np.mean(held) >= INTERVAL - 0.01


def test_it_is_no_wider_than_it_must_be() -> None:
    assert FoundShare(found=15, defects=30).interval == pytest.approx((0.339, 0.661), abs=0.001)


def test_defects_that_are_alike_count_for_fewer() -> None:
    alike, half = FoundShare(found=20, defects=40, dispersion=2.0), FoundShare(found=10, defects=20)
    assert (alike.interval, alike.share) == (half.interval, half.share)
    assert FoundShare(found=40, defects=40, dispersion=2.0).interval[1] == 1.0
    assert FoundShare(found=0, defects=40, dispersion=2.0).interval[0] == 0.0


@pytest.mark.parametrize(("found", "interval"), [(0, (0.0, 0.259)), (10, (0.741, 1.0))])
def test_none_and_all_found_leave_one_end_open(found: int, interval: tuple[float, float]) -> None:
    assert FoundShare(found=found, defects=10).interval == pytest.approx(interval, abs=0.001)


def test_the_share_of_no_defect_is_unknown() -> None:
    assert math.isnan(FoundShare().share)
    assert FoundShare().interval == (0.0, 1.0)
