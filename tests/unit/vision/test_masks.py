"""Masks as PNG, and their outlines against the mask drawn again."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from siad.contracts.events import POINTS_MAX, REGIONS_MAX, Region
from siad.vision.images import ImageError
from siad.vision.masks import decode_mask, encode_mask, regions_of

Mask = NDArray[np.uint8]


def blank(size: tuple[int, int] = (40, 60)) -> Mask:
    return np.zeros(size, np.uint8)


def regions(mask: Mask) -> tuple[Region, ...]:
    return regions_of(mask, mask.astype(np.float32))


def polygon_area(region: Region) -> float:
    points = np.array(region.points).reshape(-1, 2)
    return float(cv2.contourArea(points.astype(np.float32)))


def drawn(region: Region, size: tuple[int, int]) -> Mask:
    """Which pixel centres lie inside, one by one; steps are cut at just the centre of the pixel outside."""
    points = np.array(region.points, np.float32).reshape(-1, 1, 2)
    inside = [
        [cv2.pointPolygonTest(points, (x + 0.5, y + 0.5), measureDist=False) > 0 for x in range(size[1])]
        for y in range(size[0])
    ]
    return np.array(inside, np.uint8) * 255


@pytest.mark.parametrize("seed", range(5))
def test_a_mask_comes_back_as_it_was(seed: int) -> None:
    mask = (np.random.default_rng(seed).random((33, 47)) < 0.2).astype(np.uint8) * 255
    np.testing.assert_array_equal(decode_mask(encode_mask(mask)), mask)
    assert encode_mask(mask) == encode_mask(mask.copy())


@pytest.mark.parametrize("picture", [np.full((8, 8), 7, np.uint8), np.zeros((8, 8, 3), np.uint8)])
def test_another_picture_is_no_mask(picture: Mask) -> None:
    with pytest.raises(ImageError, match="mask"):
        decode_mask(bytes(cv2.imencode(".png", picture)[1]))


def test_a_refused_mask_is_described_in_words() -> None:
    with pytest.raises(ImageError, match=r"not a PNG \(RGB, 8 bits\)"):
        decode_mask(bytes(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1]))


def test_an_empty_mask_has_no_regions() -> None:
    assert regions(blank()) == ()


@pytest.mark.parametrize("place", [(0, 0), (39, 59), (20, 30)])
def test_one_pixel_is_a_square(place: tuple[int, int]) -> None:
    mask = blank()
    mask[place] = 255
    (region,) = regions(mask)
    y, x = place
    assert set(zip(region.points[::2], region.points[1::2], strict=True)) == {
        (x, y),
        (x + 1, y),
        (x + 1, y + 1),
        (x, y + 1),
    }
    assert (region.area_px, polygon_area(region)) == (1, 1.0)


@pytest.mark.parametrize("line", [np.s_[5, 3:50], np.s_[3:30, 59], np.s_[0:1, :]])
def test_a_line_is_a_thin_rectangle(line: tuple[slice, slice]) -> None:
    mask = blank()
    mask[line] = 255
    (region,) = regions(mask)
    assert polygon_area(region) == region.area_px == np.count_nonzero(mask)


@pytest.mark.parametrize("seed", range(5))
def test_the_outline_drawn_again_is_the_blob(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = blank((60, 80))
    cv2.ellipse(mask, (40, 30), (int(rng.integers(8, 30)), int(rng.integers(8, 25))), 30.0 * seed, 0, 360, 255, -1)
    (region,) = regions(mask)
    assert np.count_nonzero(drawn(region, mask.shape) != mask) <= 2


def test_the_largest_come_first_and_64_are_enough() -> None:
    mask = blank((200, 200))
    for number in range(80):
        mask[number * 2 + 20, : number + 1] = 255
    found = regions(mask)
    assert [region.area_px for region in found] == list(range(80, 80 - REGIONS_MAX, -1))


@pytest.mark.parametrize("seed", range(3))
def test_a_ragged_blob_has_at_most_128_points(seed: int) -> None:
    noise = np.random.default_rng(seed).random((300, 300)).astype(np.float32)
    mask = np.where(cv2.GaussianBlur(noise, (0, 0), 2) > 0.49, 255, 0).astype(np.uint8)
    found = regions(mask)
    assert max(len(region.points) for region in found) <= 2 * POINTS_MAX
    for region in found:
        points = np.array(region.points).reshape(-1, 2)
        assert points.min() >= 0
        assert points.max() <= 300


def test_the_peak_is_the_highest_score_inside() -> None:
    mask = blank()
    mask[5:10, 5:10] = 255
    scores = np.zeros(mask.shape, np.float32)
    scores[7, 7], scores[20, 20] = 3.5, 9.0
    (region,) = regions_of(mask, scores)
    assert region.peak_score == 3.5


def test_a_neighbour_inside_the_same_box_lends_no_peak() -> None:
    mask = blank()
    mask[5:15, 5] = mask[14, 5:15] = 255
    mask[6, 10] = 255  # within the box of the angle, not of it
    scores = np.where(mask > 0, 1, 0).astype(np.float32)
    scores[6, 10] = 8.0
    assert [region.peak_score for region in regions_of(mask, scores)] == [1.0, 8.0]


def test_only_a_pseudo_mask_may_hold_pixels_to_ignore() -> None:
    mask = np.array([[0, 128], [255, 128]], np.uint8)
    np.testing.assert_array_equal(decode_mask(encode_mask(mask), may_ignore=True), mask)
    with pytest.raises(ImageError, match=r"values 0, 255; this one also has \[128\]"):
        decode_mask(encode_mask(mask))
    with pytest.raises(ImageError, match=r"values 0, 128, 255; this one also has \[7\]"):
        decode_mask(encode_mask(np.full((2, 2), 7, np.uint8)), may_ignore=True)
