"""Maps follow edges: against a slow version, and on a part whose defect has a border."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from siad.vision.decide import refine_map, smooth_map
from siad.vision.edges import follow_edges
from siad.vision.preprocess import preprocess

SIDE = 128
PLACE = 8
Floats = NDArray[np.float32]


def cross(*, cy: int = 61, cx: int = 69, reach: int = 27, half: int = 5) -> NDArray[np.bool_]:
    y, x = np.abs(np.mgrid[:SIDE, :SIDE] - np.array([cy, cx])[:, None, None])
    return np.asarray(((y <= half) & (x <= reach)) | ((x <= half) & (y <= reach)))


def picture(is_dark_HW: NDArray[np.bool_], *, bright: float = 150.0, dark: float = 80.0) -> NDArray[np.uint8]:
    grain = np.random.default_rng(0).normal(0, 3, (SIDE, SIDE, 3))
    return np.asarray((np.where(is_dark_HW, dark, bright)[..., None] + grain).clip(0, 255), np.uint8)


def coarse(is_odd_HW: NDArray[np.bool_]) -> Floats:
    """What a detector says with places of 8 px, each of which has seen its neighbours."""
    shares = cv2.resize(is_odd_HW.astype(np.float32), (SIDE // PLACE, SIDE // PLACE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(shares, (0, 0), 1.0), np.float32) * 5.0


def iou(marked_HW: NDArray[np.bool_], truth_HW: NDArray[np.bool_]) -> float:
    return float((marked_HW & truth_HW).sum() / (marked_HW | truth_HW).sum())


def best_iou(map_HW: Floats, truth_HW: NDArray[np.bool_]) -> float:
    return max(iou(map_HW >= low, truth_HW) for low in np.linspace(0.5, 4.5, 33))


def both(image_HWC: NDArray[np.uint8], map_hw: Floats) -> tuple[Floats, Floats]:
    """As it was, and drawn along edges."""
    size = (image_HWC.shape[0], image_HWC.shape[1])
    input_CHW = preprocess(image_HWC, input_px=SIDE)
    finished_HW = smooth_map(map_hw, input_hw=(input_CHW.shape[1], input_CHW.shape[2]), size_px=size)
    return finished_HW, refine_map(map_hw, input_CHW=input_CHW, size_px=size)


def test_a_defect_with_a_border_is_marked_by_its_border() -> None:
    truth_HW = cross()
    finished_HW, drawn_HW = both(picture(truth_HW), coarse(truth_HW))
    assert best_iou(finished_HW, truth_HW) < 0.6
    assert best_iou(drawn_HW, truth_HW) > 0.75


def test_how_odd_the_image_is_stays() -> None:
    image_HWC = cv2.resize(picture(cross()), (300, 200))
    finished_HW, drawn_HW = both(image_HWC, coarse(cross()) - 2.0)
    assert drawn_HW.shape == (200, 300)
    assert drawn_HW.max() == pytest.approx(finished_HW.max(), rel=1e-6)
    assert drawn_HW.min() == pytest.approx(finished_HW.min(), abs=1e-6)


def test_what_is_outside_the_region_does_not_change_the_score_inside() -> None:
    image_HWC = picture(cross())
    inside_HW = np.zeros((SIDE, SIDE), np.bool_)
    inside_HW[:, : SIDE // 2 - 8] = True  # the strongest place of the map is outside
    map_hw, input_CHW = coarse(cross()), preprocess(image_HWC, input_px=SIDE)
    smooth_HW = smooth_map(map_hw, input_hw=(SIDE, SIDE), size_px=(SIDE, SIDE))
    assert smooth_HW[inside_HW].max() < 0.95 * smooth_HW.max()
    drawn_HW = refine_map(map_hw, input_CHW=input_CHW, size_px=(SIDE, SIDE), inside_HW=inside_HW)
    assert drawn_HW[inside_HW].max() == pytest.approx(smooth_HW[inside_HW].max(), rel=1e-5)
    whole_HW = refine_map(map_hw, input_CHW=input_CHW, size_px=(SIDE, SIDE))
    assert whole_HW[inside_HW].max() != pytest.approx(smooth_HW[inside_HW].max(), rel=1e-2)


def test_on_a_plain_part_a_peak_stays_in_its_place() -> None:
    plain = np.full((SIDE, SIDE, 1), 90, np.uint8)
    _, drawn_HW = both(plain, coarse(cross(cy=36, cx=92, reach=6)))
    y, x = np.unravel_index(int(drawn_HW.argmax()), drawn_HW.shape)
    assert abs(y - 36) <= PLACE / 2
    assert abs(x - 92) <= PLACE / 2


def test_the_light_of_the_image_does_not_matter() -> None:
    map_HW = cv2.resize(coarse(cross()), (SIDE, SIDE))
    input_CHW = preprocess(picture(cross()), input_px=SIDE)
    as_it_is = follow_edges(map_HW, input_CHW, position_px=PLACE)
    np.testing.assert_allclose(follow_edges(map_HW, 0.3 * input_CHW + 0.2, position_px=PLACE), as_it_is, atol=2e-3)


@pytest.mark.parametrize("shape", [(40, 40), (33, 52)])
def test_it_is_the_ridge_regression_of_every_window(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    map_HW = rng.random(shape).astype(np.float32)
    input_CHW = rng.random((3, *shape)).astype(np.float32)
    found = follow_edges(map_HW, input_CHW, position_px=2.0)  # a grid of 1 px: nothing is resized
    y, x = shape[0] // 2, shape[1] // 2  # two windows from the border
    over_HW = map_HW - map_HW.min()
    guided = slowly(over_HW, input_CHW / input_CHW.mean(0).std(), y, x)
    assert found[y, x] == pytest.approx(np.sqrt(over_HW[y, x] * max(guided, 0)), abs=1e-4)


def slowly(map_HW: Floats, colours_CHW: Floats, y: int, x: int) -> float:
    """The mean of what all windows about a pixel say of it, each by weighted least squares."""
    reach = 8
    line = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * 2.0**2))
    weights = np.outer(line, line) / line.sum() ** 2
    said = 0.0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            rows = slice(y + dy - reach, y + dy + reach + 1)
            columns = slice(x + dx - reach, x + dx + reach + 1)
            values, colours = map_HW[rows, columns].ravel(), colours_CHW[:, rows, columns].reshape(3, -1)
            share = weights.ravel()
            apart = colours - (colours @ share)[:, None]
            slope = np.linalg.solve(
                (apart * share) @ apart.T + 0.03 * np.eye(3), (apart * share) @ (values - values @ share)
            )
            here = colours_CHW[:, y, x] - colours @ share
            said += weights[dy + reach, dx + reach] * (slope @ here + values @ share)
    return said


def test_a_map_of_fine_places_is_left_alone() -> None:
    map_hw = np.random.default_rng(1).random((64, 64)).astype(np.float32)
    finished_HW, drawn_HW = both(picture(cross()), map_hw)
    np.testing.assert_array_equal(drawn_HW, finished_HW)


@pytest.mark.parametrize("value", [2.5, np.nan, np.inf])
def test_what_is_flat_or_no_number_is_left_as_it_is(value: float) -> None:
    map_hw = np.full((16, 16), value, np.float32)
    finished_HW, drawn_HW = both(picture(cross()), map_hw)
    np.testing.assert_array_equal(drawn_HW, finished_HW)


def test_one_score_that_is_no_number_is_never_drawn_away() -> None:
    map_hw = coarse(cross())
    map_hw[3, 3] = np.nan
    _, drawn_HW = both(picture(cross()), map_hw)
    assert np.isnan(drawn_HW).any()
