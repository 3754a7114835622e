"""Counts of pixels by score: exact while there is room, and close beyond, in a bounded table."""

from dataclasses import astuple

import numpy as np
import pytest
from numpy.typing import NDArray

from siad.vision.pixel_scores import PixelFigures, figures_and_curves
from siad.vision.pixel_tally import PixelTally


def images(count: int, *, side: int = 60, low: float = 0.0) -> list[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Maps of scores that are all distinct, and masks; the first image is good."""
    rng = np.random.default_rng(3)
    found = []
    for index in range(count):
        mask_HW = np.zeros((side, side), np.uint8)
        if index:
            mask_HW[10:20, 10:30], mask_HW[40, 40] = 255, 255
        map_HW = np.exp(rng.normal(size=(side, side))) + 1.5 * (mask_HW > 0) + low
        found.append((map_HW.astype(np.float32), mask_HW))
    return found


def tally_of(some: list[tuple[NDArray[np.float32], NDArray[np.uint8]]], levels_max: int = 2**21) -> PixelTally:
    tally = PixelTally(levels_max=levels_max)
    for map_HW, mask_HW in some:
        tally.add(map_HW, mask_HW)
    return tally


def figures(tally: PixelTally) -> PixelFigures:
    return figures_and_curves(tally)[0]


@pytest.mark.parametrize("low", [0.0, -2.0, -100.0])
def test_scores_that_share_a_level_change_figures_by_less_than_a_thousandth(low: float) -> None:
    exact, close = figures(tally_of(images(6, low=low))), figures(tally_of(images(6, low=low), levels_max=3000))
    assert astuple(close)[:-1] == pytest.approx(astuple(exact)[:-1], abs=1e-3)
    assert close != exact  # else no level was shared, and the test shows nothing


def test_the_table_is_bounded_however_many_distinct_scores_there_are() -> None:
    levels = tally_of(images(20), levels_max=500).levels()
    assert len(levels.good_T) <= 2 * 500  # of good and of defective pixels
    assert levels.good_T.sum() + levels.bad_T.sum() == 20 * 60 * 60
    assert levels.shares_T.sum() == pytest.approx(19 * 2)  # regions


def test_tallies_of_classes_add_up_to_that_of_all() -> None:
    some = images(6)
    apart = PixelTally.sum([tally_of(some[:2]), tally_of(some[2:], levels_max=900)])
    together = tally_of(some)
    assert astuple(figures(apart))[:-1] == pytest.approx(astuple(figures(together))[:-1], abs=1e-3)
    exact = PixelTally.sum([tally_of(some[:2]), tally_of(some[2:])])
    assert astuple(figures(exact))[:-1] == astuple(figures(together))[:-1]
    assert exact.images == 6


def test_summing_leaves_the_parts_as_they_were() -> None:
    part = tally_of(images(3))
    before = figures(part)
    PixelTally.sum([part, tally_of(images(5), levels_max=700)])
    assert astuple(figures(part))[:-1] == astuple(before)[:-1]


def test_both_zeros_are_one_score() -> None:
    tally = PixelTally()
    tally.add(np.array([[0.0, -0.0, -1.0, 1.0]], np.float32), np.array([[0, 255, 0, 0]], np.uint8))
    levels = tally.levels()
    assert levels.good_T.tolist() == [1, 1, 1]  # from the lowest score up
    assert levels.bad_T.tolist() == [0, 1, 0]
