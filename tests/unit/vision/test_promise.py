"""What is said of false rejects: threshold, estimate, interval, promise, and what would sharpen it."""

import pytest

from siad.contracts.manifest import Manifest, RateEstimate
from siad.vision.calibration import normals_to_promise
from siad.vision.promise import promise_of
from siad.vision.scores import conformal_threshold
from tests.manifests import make_manifest

RATE = RateEstimate(budget=0.05, estimated=0.051, low=0.012, high=0.148)


def teacher(held_out: int, *, budget: float = 0.05, sent: int | None = None, **said: object) -> Manifest:
    metrics = {"false_reject_budget": budget} | ({"budget_tightens": 1.0} if said.pop("tightens", False) else {})
    return make_manifest(
        metrics=tuple(sorted(metrics.items())),
        held_out_scores=tuple(float(score) for score in range(held_out)),
        normals=tuple(f"{index:032x}" for index in range(held_out if sent is None else sent)),
        **{"false_rejects": RATE} | said,
    )


@pytest.mark.parametrize("budget", [0.015, 0.01, 0.004])
def test_so_many_normals_allow_a_promise_and_one_less_does_not(budget: float) -> None:
    needed = normals_to_promise(budget)
    assert conformal_threshold([float(score) for score in range(needed)], budget=budget) is not None
    assert conformal_threshold([float(score) for score in range(needed - 1)], budget=budget) is None


def test_one_percent_needs_ninety_nine_and_a_loose_budget_fifty() -> None:
    assert (normals_to_promise(0.01), normals_to_promise(0.2)) == (99, 50)


def test_an_estimate_has_threshold_rate_interval_and_what_a_promise_takes() -> None:
    said = promise_of(teacher(10))
    assert said.startswith("threshold 2: expect about 5.1% of good parts to be rejected, for a budget of 5.00%; ")
    assert "with 90% probability 1.2% to 14.8%, since 10 held-out normals say no more" in said
    assert said.endswith("This is an estimate: 40 more normals would allow a promise of 5.00%")


def test_a_normal_that_was_left_out_is_one_more_to_send_and_not_all_of_them() -> None:
    left_out = (f"{7:032x}", "f" * 32)  # the other one is of the stream
    said = promise_of(teacher(98, budget=0.01, sent=99, left_out=left_out))
    assert said.endswith("1 more normal would allow a promise of 1.00%")


def test_a_method_that_holds_out_a_third_needs_three_normals_for_each_score() -> None:
    assert "120 more normals" in promise_of(teacher(10, sent=30))


def test_a_promise_is_no_more_than_that() -> None:
    said = promise_of(teacher(50, promised_false_reject=0.05))
    assert "expect at most 5.00% of good parts like these 50 normals to be rejected, on average over draws" in said
    assert "the rate of this draw may be higher; with 90% probability 1.2% to 14.8%" in said
    assert "more normal" not in said


def test_a_budget_that_tightens_says_so() -> None:
    said = promise_of(teacher(50, promised_false_reject=0.0196, tightens=True))
    assert said.endswith("More normals tighten the budget, to 1.00% at last")
    assert "tighten" not in promise_of(teacher(120, promised_false_reject=0.01, tightens=True))


def test_weights_of_an_older_version_are_described_without_an_interval() -> None:
    said = promise_of(teacher(10, budget=0.01, false_rejects=None))
    assert "threshold estimated for a false-reject rate of 1.00% from 10 held-out normals" in said
    assert "89 more normals" in said
    assert promise_of(make_manifest()) == ""
