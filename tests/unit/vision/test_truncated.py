"""The quantile of good captures, from a stream that holds defective ones too."""

import numpy as np
import pytest

from siad.vision.truncated import stream_threshold


def stream(seed: int, *, goods: int = 400, defects: int = 0) -> list[float]:
    rng = np.random.default_rng(seed)
    return [*np.exp(rng.normal(0.5, 0.3, goods)), *np.exp(rng.normal(2.0, 0.4, defects))]


TRUE = float(np.exp(0.5 + 1.645 * 0.3))


def test_it_is_the_quantile_of_the_goods() -> None:
    found = [stream_threshold(stream(seed), budget=0.05) for seed in range(10)]
    assert np.median([one for one in found if one]) == pytest.approx(TRUE, rel=0.08)


def test_defective_captures_move_it_little() -> None:
    found = [stream_threshold(stream(seed, goods=320, defects=80), budget=0.05) for seed in range(10)]
    assert np.median([one for one in found if one]) == pytest.approx(TRUE, rel=0.2)
    plain = np.quantile(stream(0, goods=320, defects=80), 0.95)
    assert plain > 2 * TRUE  # what the truncation avoids


def test_a_tighter_budget_gives_a_higher_score() -> None:
    loose, tight = (stream_threshold(stream(0), budget=budget) for budget in (0.05, 0.01))
    assert loose is not None
    assert tight is not None
    assert tight > loose


def test_few_captures_and_scores_of_zero_give_none() -> None:
    assert stream_threshold(stream(0, goods=29), budget=0.05) is None
    assert stream_threshold([0.0] * 50, budget=0.05) is None


def test_equal_scores_give_about_that_score() -> None:
    found = stream_threshold([1.0] * 50, budget=0.05)
    assert found is not None
    assert 1.0 <= found < 1.2
