"""Confidence: each doubt alone, and its bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from siad.vision.confidence import confidence_of


def patch(side: int, level: float) -> NDArray[np.float32]:
    """A square of one level on a ground of 0, in a view of 100 x 100."""
    map_HW = np.zeros((100, 100), np.float32)
    map_HW[:side, :side] = level
    return map_HW


def of_patch(side: int, level: float, *, threshold: float = 2.0, spread: float = 1.0) -> float:
    """Confidence in a mask cut at the threshold."""
    map_HW = patch(side, level)
    mask_HW = np.where(map_HW >= threshold, 255, 0).astype(np.uint8)
    return confidence_of(map_HW, mask_HW, threshold=threshold, spread=spread)


def test_is_nothing_at_the_threshold() -> None:
    assert of_patch(10, 2.0) == 0.0


@pytest.mark.parametrize(("level", "margin"), [(5.0, 3.0), (3.0, 1.0), (1.0, 1.0), (0.5, 1.5)])
def test_grows_with_the_distance_from_the_threshold_in_spreads(level: float, margin: float) -> None:
    assert of_patch(10, level) == pytest.approx(margin / (1 + margin))


@given(gain=st.floats(0.01, 100))
def test_does_not_depend_on_the_unit_of_the_score(gain: float) -> None:
    scaled = of_patch(10, 5.0 * gain, threshold=2.0 * gain, spread=gain)
    assert scaled == pytest.approx(of_patch(10, 5.0), rel=1e-3)


def test_a_mask_that_a_higher_threshold_would_take_away_is_believed_half() -> None:
    map_HW = patch(10, 2.5)
    map_HW[0, 0] = 5.0
    mask_HW = np.where(map_HW >= 2.0, 255, 0).astype(np.uint8)
    assert confidence_of(map_HW, mask_HW, threshold=2.0, spread=1.0) == pytest.approx(0.75 * (1 + 1 / 100) / 2)


@pytest.mark.parametrize(("side", "plausible"), [(10, 1.0), (44, 1.0), (63, 0.50775), (80, 0.0), (100, 0.0)])
def test_a_defect_as_large_as_the_view_is_not_believed(side: int, plausible: float) -> None:
    assert of_patch(side, 5.0) == pytest.approx(0.75 * plausible, abs=1e-4)


@given(
    level=st.floats(-1e3, 1e3, width=32),
    side=st.integers(1, 100),
    threshold=st.floats(-1e3, 1e3),
    spread=st.floats(1e-6, 1e3),
)
def test_lies_between_nothing_and_all(level: float, side: int, threshold: float, spread: float) -> None:
    assert 0.0 <= of_patch(side, level, threshold=threshold, spread=spread) <= 1.0
