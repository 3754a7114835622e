"""Pixel figures against slow versions that read like their definitions."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from siad.vision.pixel_scores import PixelCurves, count_regions, figures_and_curves, pixel_figures
from siad.vision.pixel_tally import PixelTally

Maps = Sequence[NDArray[np.float32]]
Masks = Sequence[NDArray[np.uint8]]


def drawn(seed: int, *, levels: int, images: int = 3) -> tuple[list[NDArray[np.float32]], list[NDArray[np.uint8]]]:
    """Images of several sizes with a few defects; few levels make many ties. The first image is good."""
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for index in range(images):
        height, width = (int(side) for side in rng.integers(3, 12, 2))
        mask_HW = np.zeros((height, width), np.uint8)
        for _ in range(0 if index == 0 else int(rng.integers(1, 4))):
            top, left = int(rng.integers(height)), int(rng.integers(width))
            mask_HW[top : top + 2, left : left + 3] = 255
        maps.append((rng.integers(0, levels, (height, width)) + (mask_HW > 0)).astype(np.float32))
        masks.append(mask_HW)
    return maps, masks


def regions_of(mask_HW: NDArray[np.uint8]) -> list[set[tuple[int, int]]]:
    """Connected defects, by walking from pixel to pixel."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask_HW > 0)}
    found = []
    while left:
        region, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            region.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        found.append(region)
    return found


def at_thresholds(maps: Maps, masks: Masks) -> list[tuple[float, float, float, float]]:
    """Precision, recall, false-positive rate and mean overlap at every distinct score, highest first."""
    rows = []
    for cut in sorted({float(score) for map_HW in maps for score in map_HW.ravel()}, reverse=True):
        true = false = bad = good = 0
        overlaps = []
        for map_HW, mask_HW in zip(maps, masks, strict=True):
            marked = map_HW >= cut
            true += int((marked & (mask_HW > 0)).sum())
            false += int((marked & (mask_HW == 0)).sum())
            bad, good = bad + int((mask_HW > 0).sum()), good + int((mask_HW == 0).sum())
            overlaps += [sum(marked[pixel] for pixel in region) / len(region) for region in regions_of(mask_HW)]
        rows.append((true / (true + false), true / bad, false / good, float(np.mean(overlaps))))
    return rows


def slow_aupro(maps: Maps, masks: Masks, limit: float) -> float:
    """Add up the trapezoids one by one; cut the one that crosses the limit."""
    area, before = 0.0, (0.0, 0.0)
    for _, _, rate, overlap in at_thresholds(maps, masks):
        if rate > limit:
            share = (limit - before[0]) / (rate - before[0])
            crossing = before[1] + share * (overlap - before[1])
            return (area + (limit - before[0]) * (before[1] + crossing) / 2) / limit
        area += (rate - before[0]) * (before[1] + overlap) / 2
        before = (rate, overlap)
    return area / limit


@pytest.mark.parametrize("levels", [2, 4, 1000])
@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_the_definitions(seed: int, levels: int) -> None:
    maps, masks = drawn(seed, levels=levels)
    found = pixel_figures(maps, masks, threshold=1.0)
    scores = np.concatenate([map_HW.ravel() for map_HW in maps])
    truth = np.concatenate([mask_HW.ravel() > 0 for mask_HW in masks])
    rows = at_thresholds(maps, masks)
    assert found.auroc == pytest.approx(roc_auc_score(truth, scores))
    assert found.ap == pytest.approx(average_precision_score(truth, scores))
    assert found.f1max == pytest.approx(max(2 * p * r / (p + r) if p + r else 0.0 for p, r, _, _ in rows))
    assert found.aupro_30 == pytest.approx(slow_aupro(maps, masks, 0.3))
    assert found.aupro_05 == pytest.approx(slow_aupro(maps, masks, 0.05))
    assert found.iou == pytest.approx(((scores >= 1) & truth).sum() / ((scores >= 1) | truth).sum())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), gain=st.sampled_from([0.25, 2.0, 1024.0]), offset=st.sampled_from([-8.0, 0.0, 64.0])
)
def test_knows_no_unit_of_the_score(seed: int, gain: float, offset: float) -> None:
    maps, masks = drawn(seed, levels=5)
    moved = [(gain * map_HW + offset).astype(np.float32) for map_HW in maps]
    assert pixel_figures(moved, masks, threshold=gain + offset) == pixel_figures(maps, masks, threshold=1.0)


def test_who_finds_every_pixel_first_has_full_marks() -> None:
    mask_HW = np.zeros((20, 20), np.uint8)
    mask_HW[3:6, 3:9], mask_HW[15, 15] = 255, 255
    found = pixel_figures([mask_HW.astype(np.float32)], [mask_HW], threshold=1.0)
    assert (found.auroc, found.ap, found.f1max, found.iou) == (1, 1, 1, 1)
    assert found.aupro_30 == pytest.approx(1)
    assert found.aupro_05 == pytest.approx(1)


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    mask_HW = np.zeros((40, 40), np.uint8)
    mask_HW[:10, :10], mask_HW[30, 30] = 255, 255
    only_large = mask_HW.astype(np.float32)
    only_large[30, 30] = -1.0  # found last of all
    found = pixel_figures([only_large], [mask_HW])
    assert found.auroc > 0.98
    assert found.aupro_30 == pytest.approx(0.5, abs=0.01)


def test_pixels_that_touch_at_a_corner_are_one_region() -> None:
    mask_HW = np.eye(6, dtype=np.uint8)
    mask_HW[0, 5] = 1
    assert count_regions([mask_HW, np.zeros((2, 2), np.uint8)]) == 2


def test_a_map_of_one_level_has_half_the_area_and_the_share_as_precision() -> None:
    mask_HW = np.zeros((10, 10), np.uint8)
    mask_HW[0] = 255
    found = pixel_figures([np.zeros((10, 10), np.float32)], [mask_HW])
    assert found.auroc == 0.5
    assert found.ap == pytest.approx(0.1)
    assert found.aupro_30 == pytest.approx(0.15)  # a straight line from nothing to all
    assert math.isnan(found.iou)


@pytest.mark.parametrize("value", [0, 255])
def test_figures_need_good_and_defective_pixels(value: int) -> None:
    with pytest.raises(ValueError, match=r"of 4 pixels are defective"):
        pixel_figures([np.zeros((2, 2), np.float32)], [np.full((2, 2), value, np.uint8)])


def test_maps_that_do_not_fit_their_masks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"map 0 is \[2, 2\], its mask is \[2, 3\]"):
        pixel_figures([np.zeros((2, 2), np.float32)], [np.zeros((2, 3), np.uint8)])
    with pytest.raises(ValueError, match="not finite"):
        pixel_figures([np.full((2, 2), np.nan, np.float32)], [np.zeros((2, 2), np.uint8)])


def curves_of(maps: Maps, masks: Masks, points: int = 300) -> PixelCurves:
    tally = PixelTally()
    for map_HW, mask_HW in zip(maps, masks, strict=True):
        tally.add(map_HW, mask_HW)
    return figures_and_curves(tally, points=points)[1]


def test_the_curves_lie_on_what_the_definitions_give() -> None:
    maps, masks = drawn(3, levels=1000)
    rows = at_thresholds(maps, masks)
    curves = curves_of(maps, masks)
    exact = {(round(recall, 9), round(precision, 9)) for precision, recall, _, _ in rows}
    drawn_points = {
        (round(r, 9), round(p, 9)) for r, p in zip(curves.recall_N.tolist(), curves.precision_N.tolist(), strict=True)
    }
    assert drawn_points <= exact
    assert max(recall for recall, _ in drawn_points) == 1.0
    rates = {round(rate, 9): round(overlap, 6) for _, _, rate, overlap in rows}
    for rate, overlap in zip(curves.false_rate_N.tolist(), curves.overlap_N.tolist(), strict=True):
        assert overlap <= rates[round(rate, 9)] + 1e-5


def test_curves_are_thinned_out() -> None:
    rng = np.random.default_rng(0)
    mask_HW = np.zeros((200, 200), np.uint8)
    mask_HW[50:90, 50:90] = 255
    curves = curves_of([rng.random((200, 200)).astype(np.float32)], [mask_HW], points=50)
    assert len(curves.recall_N) <= 50
    assert curves.false_rate_N.max() < 0.31
