"""Maps of scores for people."""

import numpy as np
import pytest

from siad.vision.score_map import make_score_map


def test_the_pixel_threshold_is_64_and_four_times_as_much_the_most() -> None:
    map_HW = np.array([[0.0, 0.48, 0.5, 2.0, 7.9, 100.0]], np.float32)
    assert make_score_map(map_HW, pixel_threshold=2.0).tolist() == [[0, 0, 16, 64, 253, 255]]


@pytest.mark.parametrize(("size", "small"), [((3, 4), (3, 4)), ((4096, 256), (1024, 64)), ((1, 3000), (1, 1024))])
def test_sides_are_bounded(size: tuple[int, int], small: tuple[int, int]) -> None:
    assert make_score_map(np.ones(size, np.float32), pixel_threshold=1.0).shape == small


def test_a_threshold_that_is_not_over_0_gives_an_empty_map() -> None:
    assert not make_score_map(np.ones((2, 2), np.float32), pixel_threshold=0.0).any()
