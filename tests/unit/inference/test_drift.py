"""Drift by name: what begins it, what it is called, what ends it, and that ordinary work never begins one."""

import numpy as np
import pytest

from services.inference.domain.drift import RAISED, SCORES_USUAL, DriftDetector
from siad.contracts.drift import DriftCause
from siad.contracts.view_baseline import CELLS, UsualValue, ViewBaseline, ViewStatistic
from siad.vision.view_figures import ViewFigures, make_baseline, measure_view
from tests.unit.vision.test_view_figures import CHANGES, scene, speck

WEIGHTS = "a" * 64
NAMES = {
    "blurred": DriftCause.FOCUS,
    "darker": DriftCause.LIGHT,
    "brighter": DriftCause.LIGHT,
    "moved": DriftCause.SHIFT,
    "turned over": DriftCause.PRODUCT,
}


@pytest.fixture(scope="module")
def baseline() -> ViewBaseline:
    made = make_baseline([scene(seed) for seed in range(10)])
    assert made is not None
    return made


def test_ordinary_captures_begin_no_drift(baseline: ViewBaseline) -> None:
    detector = DriftDetector(baseline)
    for seed in range(300):
        detector.add(measure_view(scene(1000 + seed), baseline), log_ratio=-1.0, weights=WEIGHTS)
        assert detector.drifts() == {}
    assert max(detector.ratios().values()) < 0.5


@pytest.mark.parametrize("name", NAMES)
def test_a_change_is_named_within_thirty_captures_and_ends_after_the_repair(baseline: ViewBaseline, name: str) -> None:
    detector, change = DriftDetector(baseline), CHANGES[name][0]
    named: list[set[DriftCause]] = []
    for number in range(80):
        image = scene(2000 + number)
        image = change(image) if 10 <= number < 50 else image
        detector.add(measure_view(image, baseline), log_ratio=-1.0, weights=WEIGHTS)
        named.append(set(detector.drifts()))
    assert named[9] == set()
    assert named[40] == {NAMES[name]}
    assert named[-1] == set()


def test_dirt_is_named_with_its_place(baseline: ViewBaseline) -> None:
    detector = DriftDetector(baseline)
    for number in range(40):
        detector.add(measure_view(speck(scene(3000 + number)), baseline), log_ratio=-1.0, weights=WEIGHTS)
    ((cause, evidence),) = detector.drifts().items()
    assert cause is DriftCause.DIRT
    assert evidence.place is not None
    assert evidence.place == pytest.approx((40 / 160, 120 / 160), abs=0.06)


def test_one_odd_part_in_ten_begins_no_drift(baseline: ViewBaseline) -> None:
    detector = DriftDetector(baseline)
    for number in range(200):
        image = scene(4000 + number)
        image = CHANGES["blurred"][0](image) if number % 10 == 0 else image
        detector.add(measure_view(image, baseline), log_ratio=-1.0, weights=WEIGHTS)
        assert detector.drifts() == {}


def test_misfits_are_another_product(baseline: ViewBaseline) -> None:
    detector = DriftDetector(baseline)
    for _ in range(3):
        detector.add_misfit()
    assert detector.drifts() == {}
    for _ in range(6):
        detector.add_misfit()
    assert set(detector.drifts()) == {DriftCause.PRODUCT}
    assert detector.drifts()[DriftCause.PRODUCT].statistic == "misfits"


def test_rare_misfits_are_none() -> None:
    detector = DriftDetector(None)
    for number in range(2000):
        if number % 50 == 0:
            detector.add_misfit()
        else:
            detector.add(None, log_ratio=-1.0, weights=WEIGHTS)
        assert detector.drifts() == {}


def test_scores_that_rise_alone_are_the_process() -> None:
    rng = np.random.default_rng(0)
    detector = DriftDetector(None)
    for number in range(SCORES_USUAL + 60):
        rise = 0.6 if number >= SCORES_USUAL + 20 else 0.0
        detector.add(None, log_ratio=float(rng.normal(-1 + rise, 0.2)), weights=WEIGHTS)
        if number < SCORES_USUAL + 20:
            assert detector.drifts() == {}
    assert set(detector.drifts()) == {DriftCause.PROCESS}


def test_a_burst_of_defects_is_no_rise_of_scores() -> None:
    detector = DriftDetector(None)
    for number in range(SCORES_USUAL + 60):
        is_defect = SCORES_USUAL < number <= SCORES_USUAL + 12
        detector.add(None, log_ratio=2.0 if is_defect else -1.0, weights=WEIGHTS)
        assert detector.drifts() == {}


def test_scores_of_other_weights_begin_anew() -> None:
    detector = DriftDetector(None)
    for number in range(4 * SCORES_USUAL):
        weights = WEIGHTS if number < 2 * SCORES_USUAL else "b" * 64
        detector.add(None, log_ratio=-1.0 if weights == WEIGHTS else 0.0, weights=weights)
        assert detector.drifts() == {}


def test_a_shift_says_nothing_where_parts_lie_anywhere(baseline: ViewBaseline) -> None:
    loose = UsualValue(mean=0.5, deviation=0.2)
    fields = {name: getattr(baseline, name) for name in baseline.__dataclass_fields__}
    detector = DriftDetector(ViewBaseline(**{**fields, "likeness": loose}))
    values = dict.fromkeys(ViewStatistic, 0.0)
    moved = ViewFigures(values, {**values, ViewStatistic.ACROSS: 9.0}, np.zeros((CELLS, CELLS), np.float32))
    for _ in range(60):
        detector.add(moved, log_ratio=-1.0, weights=WEIGHTS)
    assert detector.drifts() == {}


def test_the_false_alarm_rate_of_independent_values_is_as_stated() -> None:
    """At a lower bound, which a simulation reaches, Siegmund's formula gives the mean time to a false alarm."""
    rng = np.random.default_rng(1)
    bound, allowance, waits = 3.0, 0.5, []
    for _ in range(300):
        total, wait = 0.0, 0
        while total < bound:
            total, wait = max(total + rng.normal() - allowance, 0.0), wait + 1
        waits.append(wait)
    b = bound + 1.166
    stated = (np.exp(2 * allowance * b) - 2 * allowance * b - 1) / (2 * allowance**2)
    assert np.mean(waits) == pytest.approx(stated, rel=0.25)
    b = RAISED + 1.166
    assert (np.exp(2 * b) - 2 * b - 1) / 2 > 1e14
