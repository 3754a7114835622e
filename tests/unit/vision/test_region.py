"""The region of interest: cut out alike, put back where it was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siad.vision.images import Image
from siad.vision.region import RegionOfInterest

SHARES = st.floats(0, 1, width=32)
RIGHT_HALF = RegionOfInterest.parse("0.5,0,1,1")


def image(height: int, width: int) -> Image:
    """No two pixels alike, none mid grey."""
    pixels: Image = np.arange(height * width, dtype=np.uint16).reshape(height, width, 1)
    return pixels


def test_without_points_everything_is_of_interest() -> None:
    whole = image(5, 7)
    map_HW = np.ones((5, 7), np.float32)
    assert RegionOfInterest().cut(whole) is whole
    assert RegionOfInterest().put_back(map_HW, (5, 7)) is map_HW


def test_a_box_is_cut_to_its_pixels() -> None:
    assert np.array_equal(RIGHT_HALF.cut(image(4, 8)), image(4, 8)[:, 4:])


def test_a_map_is_put_back_where_it_was_cut_with_the_lowest_score_around() -> None:
    map_hw = np.arange(3, 19, dtype=np.float32).reshape(4, 4)
    map_HW = RIGHT_HALF.put_back(map_hw, (4, 8))
    assert np.array_equal(map_HW[:, 4:], map_hw)
    assert (map_HW[:, :4] == 3).all()


def test_outside_a_polygon_the_cut_is_mid_grey_and_the_map_is_low() -> None:
    triangle = RegionOfInterest((0.0, 0.0, 1.0, 0.0, 0.0, 1.0))
    cut = triangle.cut(np.zeros((100, 100, 3), np.uint8))
    assert (cut[80, 80] == 128).all()
    assert (cut[20, 20] == 0).all()
    assert (cut == 0).mean() == pytest.approx(0.5, abs=0.02)
    map_hw = np.ones((100, 100), np.float32)
    map_hw[80, 80], map_hw[20, 20] = 9.0, 5.0
    put = triangle.put_back(map_hw, (100, 100))
    assert (put[20, 20], put[80, 80], put.max()) == (5.0, 1.0, 5.0)


def test_a_mask_is_cut_like_its_image_and_good_outside() -> None:
    triangle = RegionOfInterest((0.5, 0.0, 1.0, 0.0, 0.5, 1.0))
    cut_hw = triangle.cut_mask(np.full((100, 100), 255, np.uint8))
    assert cut_hw.shape == (100, 50)
    assert (cut_hw[20, 10], cut_hw[90, 45]) == (255, 0)


@given(
    points=st.lists(st.tuples(SHARES, SHARES), min_size=3, max_size=8),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_any_polygon_gives_a_cut_and_a_map_of_the_image_s_size(
    points: list[tuple[float, float]], height: int, width: int
) -> None:
    try:
        interest = RegionOfInterest(tuple(value for point in points for value in point))
    except ValueError:
        return
    cut = interest.cut(image(height, width))
    assert min(cut.shape[:2]) >= 1
    map_HW = interest.put_back(np.ones(cut.shape[:2], np.float32), (height, width))
    assert map_HW.shape == (height, width)
    assert np.isfinite(map_HW).all()


def test_a_box_is_read_as_four_corners() -> None:
    assert RegionOfInterest.parse("0.1, 0.2, 0.9, 0.8").points == (0.1, 0.2, 0.9, 0.2, 0.9, 0.8, 0.1, 0.8)
    assert RegionOfInterest.parse("0,0 1,0 0,1").points == (0, 0, 1, 0, 0, 1)
    assert RegionOfInterest.parse("").points == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("left", "write left,top,right,bottom"),
        ("0,0,100,100", "shares of the view's width and height, each 0 to 1"),
        ("0,0 0.5,0.5 1,1", "has no area"),
        ("0,0 1,0 1", "has 2.5 points"),
        ("nan,0,1,1", "shares of the view"),
    ],
)
def test_what_is_no_region_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RegionOfInterest.parse(text)
