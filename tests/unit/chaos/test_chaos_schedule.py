"""The schedule of the chaos test: a pure function of its seed that includes every target."""

from collections import Counter

import pytest

from tests.e2e.chaos.schedule import FIRST, LAST, LONG, NODES, SHORT, STAGES, Scale, schedule, told_scale, told_seed


@pytest.mark.parametrize("scale", [SHORT, LONG])
@pytest.mark.parametrize("seed", range(20))
def test_the_same_seed_gives_the_same_blows_and_everybody_is_hit_as_often_as_asked(seed: int, scale: Scale) -> None:
    blows = schedule(seed, scale)
    assert blows == schedule(seed, scale)
    assert Counter(blow.victim for blow in blows) == {
        **dict.fromkeys(STAGES, scale.kills),
        **dict.fromkeys(("scorer", "ray", "broker", "store"), 1),
    }
    assert all(FIRST * scale.stream_s <= blow.at_s + 0.05 for blow in blows)
    assert all(blow.at_s - 0.05 <= LAST * scale.stream_s for blow in blows)
    assert [blow.at_s for blow in blows] == sorted(blow.at_s for blow in blows)
    assert {blow.down_s for blow in blows if blow.victim in NODES} == {scale.outage_s}


def test_another_seed_gives_other_moments() -> None:
    assert len({schedule(seed, LONG) for seed in range(50)}) == 50


def test_the_long_version_is_what_was_asked_for() -> None:
    assert (LONG.captures, LONG.per_s, LONG.kills, LONG.outage_s) == (2000, 10.0, 2, 20.0)


def test_seed_and_scale_come_from_the_environment() -> None:
    assert told_seed({}) == 1
    assert told_seed({"SIAD_CHAOS_SEED": "77"}) == 77
    assert told_scale({}) == SHORT
    assert told_scale({"SIAD_CHAOS": "long"}) == LONG
    fitted = told_scale({"SIAD_CHAOS": "long", "SIAD_CHAOS_CAPTURES": "900", "SIAD_CHAOS_PER_S": "4.5"})
    assert (fitted.captures, fitted.per_s, fitted.stream_s) == (900, 4.5, 200.0)
