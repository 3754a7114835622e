"""Marks relative to their peaks: as wide as the defect, whatever its size and strength."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from siad.vision.decide import decide
from siad.vision.marks import LEVELS, RelativeMarks, mark_relative
from siad.vision.masks import DEFECT, IGNORE

SIDE = 128
FOOTPRINT_PX2 = 150.0  # area by which a region over .6 of its peak exceeds its defect
RULE = RelativeMarks(pixel_threshold=0.5, footprint_ratio=FOOTPRINT_PX2 / SIDE**2)


def seen(radius: float, *, peak: float, centre: tuple[int, int] = (64, 64)) -> NDArray[np.float32]:
    """A map of a disc with the network's footprint around it, as feature memory gives it."""
    y, x = np.mgrid[:SIDE, :SIDE]
    within_HW = np.pi * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2)  # area of the disc up to a pixel
    area = np.pi * radius**2
    at = [0.0, area, area + LEVELS[1][1] * FOOTPRINT_PX2, area + FOOTPRINT_PX2, area + 3 * FOOTPRINT_PX2]
    return np.asarray(peak * np.interp(within_HW, at, [1.0, 0.8, 0.7, 0.6, 0.0]), np.float32)


@pytest.mark.parametrize("radius", [4, 8, 16, 32])
@pytest.mark.parametrize("peak", [3.0, 6.0, 12.0])
def test_a_mark_has_the_area_of_its_defect(radius: float, peak: float) -> None:
    marks = mark_relative(seen(radius, peak=peak), RULE, image_threshold=2.0)
    assert np.count_nonzero(marks.is_defect_HW) == pytest.approx(np.pi * radius**2, rel=0.15)


def test_a_faint_defect_beside_a_strong_one_is_marked_by_its_own_peak() -> None:
    strong, faint = seen(8, peak=9.0, centre=(32, 32)), seen(8, peak=2.5, centre=(96, 96))
    marks = mark_relative(np.maximum(strong, faint), RULE, image_threshold=2.0)
    for box in (np.s_[:64, :64], np.s_[64:, 64:]):
        assert np.count_nonzero(marks.is_defect_HW[box]) == pytest.approx(np.pi * 64, rel=0.15)


def test_a_region_that_hardly_reaches_the_threshold_beside_a_stronger_one_is_unsure() -> None:
    strong, weak = seen(8, peak=9.0, centre=(32, 32)), seen(8, peak=2.3, centre=(96, 96))
    marks = mark_relative(np.maximum(strong, weak), RULE, image_threshold=2.0)
    assert not marks.is_defect_HW[64:, 64:].any()
    assert np.array_equal(marks.is_unsure_HW[64:, 64:], weak[64:, 64:] >= 0.5)
    alone = mark_relative(weak, RULE, image_threshold=2.0)
    assert np.count_nonzero(alone.is_defect_HW) == pytest.approx(np.pi * 64, rel=0.15)


maps = st.tuples(st.integers(0, 2**32 - 1), st.floats(0.5, 12), st.floats(0.0, 6))


def bumpy(seed: int, sigma: float, height: float) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).random((40, 50)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.asarray(height * (blurred - blurred.min()) / max(float(np.ptp(blurred)), 1e-6), np.float32)


@settings(max_examples=500, deadline=None)
@given(maps, st.floats(0.1, 3), st.floats(0, 0.3), st.floats(0.2, 3))
def test_marks_follow_from_map_and_thresholds(
    drawn: tuple[int, float, float], low: float, footprint: float, threshold: float
) -> None:
    map_HW = bumpy(*drawn)
    rule = RelativeMarks(pixel_threshold=low, footprint_ratio=footprint)
    finding = decide(map_HW, image_threshold=threshold, pixel_threshold=rule, spread=1.0)
    mask_HW, pseudo_HW = finding.mask_HW, finding.pseudo_mask_HW
    assert finding.is_defect == bool(map_HW.max() >= np.float32(threshold)) or abs(map_HW.max() - threshold) < 1e-5
    assert mask_HW.any() == finding.is_defect  # a good image has an empty mask, a defective one a mark
    assert np.array_equal(pseudo_HW == DEFECT, mask_HW == DEFECT)
    touched = pseudo_HW > 0
    assert (map_HW[touched] >= np.float32(min(low, threshold))).all()
    if finding.is_defect:
        assert mask_HW[np.unravel_index(int(map_HW.argmax()), map_HW.shape)] == DEFECT
    else:
        assert not touched.any()
    count, labels_HW = cv2.connectedComponents(touched.astype(np.uint8), connectivity=8)
    for label in range(1, count):  # nothing is marked that does not reach the image threshold somewhere
        assert map_HW[labels_HW == label].max() >= np.float32(threshold)


def test_what_surrounds_a_mark_is_ignored_in_training() -> None:
    map_HW = seen(8, peak=6.0)
    finding = decide(map_HW, image_threshold=2.0, pixel_threshold=RULE, spread=1.0)
    unsure_HW = finding.pseudo_mask_HW == IGNORE
    assert np.array_equal(unsure_HW, (map_HW >= 0.5) & (finding.mask_HW == 0))
    assert unsure_HW.any()


def test_a_pixel_threshold_alone_leaves_nothing_unsure() -> None:
    finding = decide(seen(8, peak=6.0), image_threshold=2.0, pixel_threshold=1.0, spread=1.0)
    assert np.array_equal(finding.pseudo_mask_HW, finding.mask_HW)
