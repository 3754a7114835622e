"""An outline that is none is refused."""

import math

import pytest

from siad.contracts.events import POINTS_MAX, Region


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ((), "0 points"),
        ((0, 0, 1, 0), "2 points"),
        ((0, 0, 1, 0, 1), "2.5 points"),
        ((0, 0) * (POINTS_MAX + 1), f"{POINTS_MAX + 1} points"),
        ((0, 0, -1, 0, 1, 1), "coordinate of -1 px"),
    ],
)
def test_points_that_can_not_lie_on_an_image_are_refused(points: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Region(points=points, area_px=1, peak_score=1.0)


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="peak_score"):
        Region(points=(0, 0, 1, 0, 1, 1), area_px=1, peak_score=math.nan)
