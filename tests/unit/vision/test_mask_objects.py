"""Pixels of marks: the golden file that the page shares, and rules checked by exact fractions."""

import json
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from siad.vision.mask_objects import (
    draw_stroke,
    fill_holes,
    fill_polygon,
    mask_of,
    runs_of,
    smooth,
    split_components,
)
from tests.golden_marks import FILE, make_cases

GOLDEN: dict[str, Any] = json.loads(FILE.read_text())
SIZE = (GOLDEN["height"], GOLDEN["width"])


def test_the_golden_file_is_what_the_rules_draw() -> None:
    """Else run ``python -m tests.golden_marks`` and see that vitest agrees."""
    assert json.loads(json.dumps(make_cases())) == GOLDEN


@pytest.mark.parametrize("index", range(0, len(GOLDEN["strokes"]), 3))
def test_a_stroke_holds_the_centres_within_half_a_diameter(index: int) -> None:
    case = GOLDEN["strokes"][index]
    points = [tuple(point) for point in case["points"]]
    drawn = mask_of(case["runs"], size=SIZE)
    for row, column in np.ndindex(*SIZE):
        expected = _distance2(points, 2 * column + 1, 2 * row + 1) <= case["diameter"] ** 2
        assert drawn[row, column] == expected, (row, column)


@pytest.mark.parametrize("index", range(0, len(GOLDEN["polygons"]), 3))
def test_a_polygon_holds_the_centres_with_an_odd_number_of_crossings(index: int) -> None:
    case = GOLDEN["polygons"][index]
    filled = mask_of(case["runs"], size=SIZE)
    for row, column in np.ndindex(*SIZE):
        assert filled[row, column] == _is_odd(case["points"], 2 * column + 1, 2 * row + 1), (row, column)


@pytest.mark.parametrize("index", range(0, len(GOLDEN["ellipses"]), 3))
def test_an_ellipse_holds_the_centres_inside_it(index: int) -> None:
    case = GOLDEN["ellipses"][index]
    (x1, y1), (x2, y2) = case["corners"]
    filled = mask_of(case["runs"], size=SIZE)
    for row, column in np.ndindex(*SIZE):
        u, v = 2 * (2 * column + 1) - x1 - x2, 2 * (2 * row + 1) - y1 - y2
        is_inside = x1 != x2 and y1 != y2 and Fraction(u, x1 - x2) ** 2 + Fraction(v, y1 - y2) ** 2 <= 1
        assert filled[row, column] == is_inside, (row, column)


def test_smoothing_drops_lines_of_a_pixel_and_keeps_wider_ones_and_the_border() -> None:
    mask = np.zeros((9, 9), np.bool_)
    mask[4] = True
    assert not smooth(mask).any()
    mask[5] = True
    assert np.array_equal(smooth(mask), mask)
    assert smooth(np.ones((3, 3), np.bool_)).all()
    mask[3, 4] = True  # a bump of one pixel
    assert not smooth(mask)[3].any()


def test_components_touch_by_corners_and_holes_are_closed_by_edges() -> None:
    mask = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]], np.bool_)
    parts = split_components(mask)
    assert [int(part.sum()) for part in parts] == [2, 2]
    ring = np.ones((3, 3), np.bool_)
    ring[1, 1] = False
    assert fill_holes(ring).all()
    ring[0, 0] = False  # a corner is no way out of the hole
    assert fill_holes(ring)[1, 1]
    assert not fill_holes(ring)[0, 0]


@pytest.mark.parametrize("mask", [np.zeros((0, 3), np.bool_), np.ones((2, 3), np.bool_), np.eye(4, dtype=np.bool_)])
def test_run_lengths_give_the_mask_back(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    assert np.array_equal(mask_of(runs_of(mask), size=(mask.shape[0], mask.shape[1])), mask)


@pytest.mark.parametrize("runs", [[5], [7], [3, -1, 4], [6, 1]])
def test_run_lengths_that_do_not_fill_the_size_are_refused(runs: list[int]) -> None:
    with pytest.raises(ValueError, match="do not fill 3x2 px"):
        mask_of(runs, size=(2, 3))


def test_a_stroke_and_a_polygon_without_pixels_are_empty() -> None:
    assert not draw_stroke([], diameter_px=5, size=(4, 4)).any()
    assert not fill_polygon([(1, 1), (3, 3)], size=(4, 4)).any()


def _distance2(points: Sequence[tuple[int, int]], x: int, y: int) -> Fraction:
    """Squared distance of a point from a polyline, in half pixels."""
    best = min(Fraction((x - px) ** 2 + (y - py) ** 2) for px, py in points)
    for (ax, ay), (bx, by) in pairwise(points):
        dx, dy = bx - ax, by - ay
        if (length2 := dx * dx + dy * dy) == 0:
            continue
        along = Fraction((x - ax) * dx + (y - ay) * dy, length2)
        if 0 <= along <= 1:
            best = min(best, (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2)
    return best


def _is_odd(points: Sequence[Sequence[int]], x: int, y: int) -> bool:
    crossings = 0
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        if (ay <= y) != (by <= y) and ax + Fraction((y - ay) * (bx - ax), by - ay) <= x:
            crossings += 1
    return crossings % 2 == 1
