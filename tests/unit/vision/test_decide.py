"""Decisions: what is told follows from the map and two thresholds."""

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from siad.vision.decide import decide, smooth_map


def scores(*peaks: tuple[int, int, float], base: float = 0.0) -> NDArray[np.float32]:
    map_HW = np.full((20, 30), base, np.float32)
    for y, x, score in peaks:
        map_HW[y : y + 2, x : x + 2] = score
    return map_HW


def slow_mask(map_HW: NDArray[np.float32], low: float, high: float) -> NDArray[np.bool_]:
    """Grow from the sure pixels into their neighbours until nothing changes."""
    marked = map_HW >= high
    while True:
        padded = np.pad(marked, 1)
        grown = sum(padded[1 + dy : 21 + dy, 1 + dx : 31 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)) > 0
        grown &= map_HW >= low
        if (grown == marked).all():
            return marked
        marked = grown


def test_a_score_on_the_threshold_is_a_defect() -> None:
    finding = decide(scores((3, 4, 2.0)), image_threshold=2.0, pixel_threshold=1.0, spread=1.0)
    assert finding.is_defect
    assert finding.score == 2.0
    assert finding.defect_ratio == 4 / 600
    assert finding.regions[0].peak_score == 2.0


def test_a_good_image_has_an_empty_mask_whatever_its_pixels_say() -> None:
    finding = decide(scores((3, 4, 1.9)), image_threshold=2.0, pixel_threshold=1.0, spread=1.0)
    assert not finding.is_defect
    assert not finding.mask_HW.any()
    assert (finding.regions, finding.defect_ratio) == ((), 0.0)


def test_a_defect_takes_its_surroundings_and_not_what_lies_apart() -> None:
    map_HW = scores((3, 4, 2.5), (5, 4, 1.2), (15, 20, 1.2))
    finding = decide(map_HW, image_threshold=2.0, pixel_threshold=1.0, spread=1.0)
    assert np.argwhere(finding.mask_HW).max(axis=0).tolist() == [6, 5]
    assert finding.regions[0].area_px == 8


@pytest.mark.parametrize("seed", range(10))
def test_marks_are_those_of_slow_growing(seed: int) -> None:
    map_HW = np.random.default_rng(seed).random((20, 30)).astype(np.float32)
    finding = decide(map_HW, image_threshold=0.97, pixel_threshold=0.6, spread=1.0)
    np.testing.assert_array_equal(finding.mask_HW > 0, slow_mask(map_HW, 0.6, 0.97))


def test_a_pixel_threshold_over_the_image_threshold_still_marks_the_defect() -> None:
    finding = decide(scores((3, 4, 2.0)), image_threshold=2.0, pixel_threshold=5.0, spread=1.0)
    assert np.count_nonzero(finding.mask_HW) == 4


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_never_a_pass(broken: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        decide(scores((3, 4, broken)), image_threshold=2.0, pixel_threshold=1.0, spread=1.0)


def test_finishing_keeps_a_flat_map_flat_to_its_edges() -> None:
    finished = smooth_map(np.full((8, 8), 3.25, np.float32), input_hw=(64, 64), size_px=(100, 90))
    assert finished.shape == (100, 90)
    np.testing.assert_allclose(finished, 3.25, rtol=1e-6)


def test_finishing_never_leaves_the_range_of_the_map() -> None:
    map_hw = np.random.default_rng(0).normal(size=(8, 12)).astype(np.float32)
    finished = smooth_map(map_hw, input_hw=(64, 96), size_px=(640, 960))
    assert map_hw.min() <= finished.min() <= finished.max() <= map_hw.max()


def test_finishing_keeps_a_peak_in_its_place() -> None:
    map_hw = np.zeros((8, 12), np.float32)
    map_hw[2, 9] = 1.0
    finished = smooth_map(map_hw, input_hw=(64, 96), size_px=(320, 480))
    y, x = np.unravel_index(int(finished.argmax()), finished.shape)
    assert abs(y + 0.5 - 2.5 * 40) <= 5  # half a pixel of the input: the peak is flat there
    assert abs(x + 0.5 - 9.5 * 40) <= 5


def two_views(seed: int) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    views = [np.random.default_rng((seed, view)).random((20, 30)).astype(np.float32) for view in range(2)]
    return np.mean(views, axis=0).astype(np.float32), views


@pytest.mark.parametrize("seed", range(5))
def test_where_views_differ_pixels_are_to_be_ignored_and_nowhere_else(seed: int) -> None:
    map_HW, views = two_views(seed)
    finding = decide(map_HW, image_threshold=0.8, pixel_threshold=0.8, spread=1.0, views=views)
    assert finding.is_defect
    for (y, x), value in np.ndenumerate(finding.pseudo_mask_HW):
        marks = [bool(view[y, x] >= np.float32(0.8)) for view in views]
        assert value == (255 if all(marks) and finding.mask_HW[y, x] else 128 if any(marks) and not all(marks) else 0)
    assert set(np.unique(finding.mask_HW)) == {0, 255}  # what is told of the part is what it was


def test_a_good_image_that_one_view_marks_is_ignored_there() -> None:
    views = [scores((3, 4, 3.0)), scores()]
    finding = decide(np.mean(views, axis=0), image_threshold=2.0, pixel_threshold=2.0, spread=1.0, views=views)
    assert not finding.is_defect
    assert np.argwhere(finding.pseudo_mask_HW == 128).tolist() == [[3, 4], [3, 5], [4, 4], [4, 5]]
    assert not (finding.pseudo_mask_HW == 255).any()


def test_a_defect_that_views_nowhere_agree_on_stays_marked_and_is_believed_by_half() -> None:
    views = [scores((3, 4, 9.0)), scores()]
    map_HW = np.mean(views, axis=0)
    decide_it = partial(decide, map_HW, image_threshold=2.0, pixel_threshold=2.0, spread=1.0)
    finding, alone = decide_it(views=views), decide_it()
    assert np.count_nonzero(finding.pseudo_mask_HW == 255) == 4
    assert finding.confidence == pytest.approx(alone.confidence / 2)


def test_views_that_agree_change_nothing() -> None:
    views = [scores((3, 4, 3.0)), scores((3, 4, 5.0))]
    map_HW = np.mean(views, axis=0)
    decide_it = partial(decide, map_HW, image_threshold=2.0, pixel_threshold=2.0, spread=1.0)
    finding, alone = decide_it(views=views), decide_it()
    np.testing.assert_array_equal(finding.pseudo_mask_HW, alone.mask_HW)
    assert finding.confidence == alone.confidence
