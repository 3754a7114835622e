"""Which teacher a new threshold starts from, how far it moves, and when it declines."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from siad.contracts.corrections import ThresholdSet
from siad.contracts.ids import WeightsId
from siad.contracts.manifest import NearestTeacher
from siad.vision.calibration import PROMISED_MIN, calibrate, good_scores, score_exceeded_by
from siad.vision.nearest_teacher import (
    ANSWERS_MIN,
    DISTANCE_MAX,
    STREAM_MIN,
    WEIGHT_MAX,
    OtherTeacher,
    declined_for,
    describe_nearest,
    find_nearest,
    weight_of,
)
from siad.vision.threshold_in_use import BY_NORMALS, threshold_in_use
from tests.manifests import make_manifest

NEW = make_manifest(line="new", product="p")
IN_USE = ThresholdSet(
    line="a",
    product="p",
    weights=WeightsId("c" * 64),
    revision=1,
    image_threshold=3.0,
    budget=0.05,
    estimated=0.04,
    low=0.01,
    high=0.1,
    normals=10,
    stream_captures=STREAM_MIN,
    answers=0,
    reason="stream",
    set_at=datetime(2026, 11, 30, tzinfo=UTC),
)
SCORES = [1.0, 1.2, 1.4, 1.5, 1.7, 1.9, 2.0, 2.2, 2.4, 3.0]


def at(distance: float) -> np.ndarray:
    return np.array([distance, 0.0], np.float32)


def other(line: str, distance: float, in_use: ThresholdSet | None = IN_USE, method: str = NEW.method) -> OtherTeacher:
    return OtherTeacher(manifest=make_manifest(line=line, method=method), mean_D=at(distance), in_use=in_use)


def found(*others: OtherTeacher) -> NearestTeacher:
    nearest = find_nearest(NEW, at(0.0), others)
    assert nearest is not None
    return nearest


def test_the_nearest_with_a_threshold_from_service_is_the_start() -> None:
    nearest = found(other("far", 0.4), other("near", 0.2), other("nearer-but-young", 0.1, None))
    assert (nearest.line, nearest.threshold, nearest.rate, nearest.declined) == ("near", 3.0, 0.04, "")
    assert nearest.distance == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (other("a", DISTANCE_MAX), "unlike"),
        (other("a", 0.1, None), "no stream of 100 captures and no 10 answers"),
        (other("a", 0.1, replace(IN_USE, stream_captures=STREAM_MIN - 1, answers=ANSWERS_MIN - 1)), "no stream"),
        (other("a", 0.1, replace(IN_USE, estimated=0.0, low=0.0)), "rejects 0.0%"),
        (other("a", 0.1, replace(IN_USE, estimated=0.5, high=0.6)), "rejects 50.0%"),
        (other("a", 0.1, replace(IN_USE, image_threshold=-1.0)), "tells nothing"),
    ],
)
def test_what_can_not_be_a_start_is_named_with_its_reason(one: OtherTeacher, why: str) -> None:
    nearest = found(one)
    assert why in nearest.declined
    assert nearest.threshold == nearest.rate == 0.0
    assert why in describe_nearest(nearest)
    assert calibrate(SCORES, budget=0.05, nearest=nearest) == calibrate(SCORES, budget=0.05)


def test_answers_do_where_there_is_no_stream() -> None:
    assert not found(other("a", 0.1, replace(IN_USE, stream_captures=0, answers=ANSWERS_MIN))).declined


def test_nothing_is_compared_with_itself_or_with_another_method() -> None:
    assert find_nearest(NEW, at(0.0), [other("new", 0.0), other("a", 0.0, method="gan")]) is None
    assert describe_nearest(None) == ""


def test_the_threshold_moves_by_the_weight_of_the_distance() -> None:
    own = score_exceeded_by(SCORES, IN_USE.estimated, is_left_one_out=True)
    for distance in (0.0, 0.2, 0.4, DISTANCE_MAX, 1.9):
        nearest = NearestTeacher(line="a", product="p", weights="c" * 64, distance=distance, threshold=3.0, rate=0.04)
        chosen = calibrate(SCORES, budget=IN_USE.estimated, is_left_one_out=True, nearest=nearest)
        moved = np.log(chosen.threshold / own) / np.log(3.0 / own)
        assert moved == pytest.approx(weight_of(distance), abs=1e-3)
    assert weight_of(0.0) == WEIGHT_MAX > weight_of(0.4) > weight_of(DISTANCE_MAX) == 0


def test_the_start_is_the_same_for_every_budget_and_in_service() -> None:
    nearest = NearestTeacher(line="a", product="p", weights="c" * 64, distance=0.1, threshold=3.0, rate=0.04)
    plain, started = (
        [calibrate(SCORES, budget=one, is_left_one_out=True, nearest=start).threshold for one in (0.01, 0.05, 0.2)]
        for start in (None, nearest)
    )
    ratios = np.array(started) / plain
    assert ratios == pytest.approx(ratios[0], rel=1e-5)
    means = [good_scores(SCORES, is_left_one_out=True, nearest=start).mean for start in (None, nearest)]
    assert means[1] - means[0] == pytest.approx(np.log(ratios[0]), abs=1e-4)


def test_a_promise_is_not_moved() -> None:
    nearest = NearestTeacher(line="a", product="p", weights="c" * 64, distance=0.0, threshold=9.0, rate=0.04)
    many = [*SCORES] * (PROMISED_MIN // len(SCORES))
    assert calibrate(many, budget=0.05, nearest=nearest) == calibrate(many, budget=0.05)


def test_a_threshold_that_the_normals_contradict_is_declined() -> None:
    nearest = found(other("a", 0.1))
    assert declined_for(nearest, 2.0) == nearest
    assert "contradicts these normals, which say about 1.5" in declined_for(nearest, 1.5).declined
    assert declined_for(nearest, 1.5).threshold == 0
    assert "are over 0, so" in declined_for(nearest, 0.0).declined


def test_the_start_is_said_with_its_line_distance_and_share() -> None:
    text = describe_nearest(found(other("a", 0.2)))
    assert text == (
        "threshold starts from a/p, distance 0.20: 42% of the way to its 3, which rejects about 4.0% of its good parts"
    )


def test_the_threshold_in_use_names_the_other_line_where_it_was_taken_over() -> None:
    started, declined = (make_manifest(nearest=found(other("a", distance))) for distance in (0.1, 1.0))
    assert threshold_in_use(started, None).reason == f"{BY_NORMALS} and the threshold of a/p"
    assert threshold_in_use(declined, None).reason == BY_NORMALS
