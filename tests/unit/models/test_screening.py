"""Screening: what is clearly good is decided by the faster network, all else by the exact one."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from siad.contracts.errors import GoldenError
from siad.models.predictor import Predictor
from siad.models.runner.screening import DOUBT, ScreeningRunner, check_screen, doubt_of
from siad.models.slots import memory_bytes
from tests.manifests import make_manifest
from tests.runners import BrightnessRunner

# A pixel of value v scores (v - 127) / 128; the threshold lies at 0.5.
MANIFEST = replace(make_manifest(input_px=64), image_threshold=0.5, pixel_threshold=0.5, footprint_px=0.0)
GOOD, DOUBTFUL, BAD = 140, 185, 230


def flat(value: int) -> NDArray[np.uint8]:
    return np.full((64, 64, 1), value, np.uint8)


def screening(*, gain: float = 1.0, doubt: float = 0.1) -> tuple[Predictor, BrightnessRunner, BrightnessRunner]:
    screen, exact = BrightnessRunner((gain,)), BrightnessRunner()
    return Predictor(MANIFEST, ScreeningRunner(name="fast", screen=screen, exact=exact, doubt=doubt)), screen, exact


def test_a_clearly_good_image_is_scored_by_the_screen_alone() -> None:
    predictor, screen, exact = screening()
    [finding] = predictor.predict([flat(GOOD)])
    assert not finding.is_defect
    assert (len(screen.shapes), len(exact.shapes)) == (1, 0)


@pytest.mark.parametrize("value", [DOUBTFUL, BAD])
def test_a_doubtful_or_bad_image_has_the_score_of_the_exact_network(value: int) -> None:
    predictor, _, exact = screening(gain=1.02)
    [finding] = predictor.predict([flat(value)])
    assert finding.score == pytest.approx((value - 127) / 128)
    assert len(exact.shapes) == 1


def test_findings_keep_the_order_of_their_images() -> None:
    predictor, _, exact = screening(gain=1.02)
    findings = predictor.predict([flat(value) for value in (BAD, GOOD, DOUBTFUL)])
    assert [finding.is_defect for finding in findings] == [True, False, False]
    assert exact.shapes == [(2, 3, 64, 64)]


def test_a_screen_that_is_too_high_or_too_low_changes_no_verdict_within_the_doubt() -> None:
    images = [flat(value) for value in range(127, 255, 4)]
    expected = [one.is_defect for one in Predictor(MANIFEST, BrightnessRunner()).predict(images)]
    assert True in expected
    assert False in expected
    for gain in (0.85, 1.15):
        assert [one.is_defect for one in screening(gain=gain)[0].predict(images)] == expected


def test_another_threshold_moves_the_doubt() -> None:
    predictor, _, exact = screening()
    predictor.at_threshold(0.15).predict([flat(GOOD)])
    assert len(exact.shapes) == 1


def test_maps_and_maps_for_people_are_the_exact_ones() -> None:
    predictor, screen, _ = screening(gain=2.0)
    [map_HW] = predictor.maps([flat(GOOD)])
    assert float(map_HW.max()) == pytest.approx((GOOD - 127) / 128)
    predictor.with_score_maps().predict([flat(GOOD)])
    assert not screen.shapes


def test_a_score_that_is_no_number_is_left_to_the_exact_network() -> None:
    predictor, _, _ = screening(gain=float("nan"))
    assert [one.is_defect for one in predictor.predict([flat(BAD)])] == [True]


def test_the_doubt_is_a_share_of_the_largest_golden_score() -> None:
    assert doubt_of({"maps": np.array([[[1.0, -8.0]]])}) == pytest.approx(8 * DOUBT)


@pytest.mark.parametrize(
    ("gain", "added", "said"),
    [
        (1.03, 0.0, "the highest by 3.0%"),
        (0.0, 1.0, "the mean position by"),
        (float("nan"), 0.0, "the highest by nan%"),
    ],
)
def test_a_screen_far_from_the_golden_scores_is_refused(gain: float, added: float, said: str) -> None:
    golden = np.random.default_rng(0).random((2, 8, 8)).astype(np.float32)
    check_screen(golden * 1.02, golden, name="fast")
    with pytest.raises(GoldenError, match=said):
        check_screen(gain * golden + np.float32(added), golden, name="fast")


def test_two_networks_need_more_of_the_room_than_one() -> None:
    assert memory_bytes(MANIFEST, runner="openvino-bf16") == round(1.5 * memory_bytes(MANIFEST, runner="openvino"))
