"""What may be promised of false rejects, said as it is."""

import pytest

from siad.vision.promise import describe_promise, normals_needed
from siad.vision.scores import conformal_threshold


@pytest.mark.parametrize("budget", [0.5, 0.2, 0.1, 0.05, 0.03, 0.01, 0.004])
def test_so_many_normals_allow_a_promise_and_one_less_does_not(budget: float) -> None:
    needed = normals_needed(budget)
    assert conformal_threshold([float(score) for score in range(needed)], budget=budget) is not None
    assert conformal_threshold([float(score) for score in range(needed - 1)], budget=budget) is None


def test_one_percent_needs_ninety_nine() -> None:
    assert normals_needed(0.01) == 99


def test_too_few_normals_are_told_what_they_allow_and_what_is_needed() -> None:
    said = describe_promise(budget=0.01, held_out=10, promised=None)
    assert "1.00%" in said
    assert "10 held-out normals allow nothing under 9.09%" in said
    assert "Send 99 normals" in said


def test_a_promise_is_no_more_than_that() -> None:
    said = describe_promise(budget=0.05, held_out=20, promised=0.05)
    assert said.startswith("expect at most 5.00% of good parts like these 20 normals to be rejected, on average over ")
    assert "may be higher" in said
