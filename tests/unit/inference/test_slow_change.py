"""Slow variation of a stream: what its first blocks show beyond chance, and that a large change is always found."""

import numpy as np
import pytest

from services.inference.domain.drift import ALLOWANCE, CLIP, RAISED, PageSums
from services.inference.domain.slow_change import BLOCK, BLOCKS, MOST, SlowVariation

LEARNED = BLOCK * BLOCKS


def learned(values: np.ndarray) -> float:
    slow = SlowVariation.unknown(1, allowance=ALLOWANCE)
    for value in values:
        slow.add(np.array([value]))
    return float(slow.variation[0])


def test_independent_captures_show_none() -> None:
    rng = np.random.default_rng(0)
    found = [learned(rng.normal(size=LEARNED)) for _ in range(200)]
    assert np.mean([value > 0 for value in found]) < 0.1  # 5% by the quantile, if the variance were known
    assert max(found) < 0.6


def test_a_line_that_lies_beside_its_normals_shows_how_far() -> None:
    rng = np.random.default_rng(1)
    assert learned(rng.normal(1.5, 0.5, LEARNED)) == pytest.approx(1.5, abs=0.3)


def test_before_the_blocks_are_complete_the_widest_variation_counts() -> None:
    assert learned(np.zeros(LEARNED - 1)) == MOST
    assert learned(np.zeros(LEARNED)) == 0.0


def test_what_comes_after_the_blocks_changes_nothing() -> None:
    assert learned(np.concatenate([np.zeros(LEARNED), np.full(500, 4.0)])) == 0.0


@pytest.mark.parametrize("begins", [0, 5, 15, LEARNED])
def test_a_large_change_is_found_wherever_it_begins(begins: int) -> None:
    slow, sums = SlowVariation.unknown(1, allowance=ALLOWANCE), PageSums.zero(1)
    for number in range(begins + int(RAISED)):
        value = np.array([CLIP if number >= begins else 0.0])
        sums.add(value, allowance=ALLOWANCE + slow.variation)
        slow.add(value)
    assert bool(sums.is_raised[0])


def test_a_slow_walk_of_the_light_is_named_only_where_it_leaves_what_was_usual() -> None:
    """Normals from the first minute, a lamp that wanders by 2.2 deviations within the first blocks, and stays there."""
    rng = np.random.default_rng(2)
    walk = 2.2 * np.sin(np.arange(300) / 12) + rng.normal(0, 0.4, 300)
    slow, adaptive, plain = SlowVariation.unknown(1, allowance=ALLOWANCE), PageSums.zero(1), PageSums.zero(1)
    raised = [False, False]
    for value in walk[:, None]:
        adaptive.add(value, allowance=ALLOWANCE + slow.variation)
        plain.add(value, allowance=ALLOWANCE)
        slow.add(value)
        raised = [raised[0] or bool(adaptive.is_raised[0]), raised[1] or bool(plain.is_raised[0])]
    assert raised == [False, True]
