"""Probes: what they change, where, and that they can be seen."""

import numpy as np
import pytest
from numpy.typing import NDArray

from siad.vision.images import Image
from siad.vision.synthetic_defects import AREA_RATIOS, KINDS, make_synthetic_defect


def normal(height: int = 96, width: int = 128, channels: int = 3, kind: type = np.uint8) -> Image:
    """A part with an edge and some grain on a plain ground."""
    rng = np.random.default_rng(7)
    image = np.full((height, width, channels), 0.2)
    image[height // 4 : -height // 4, width // 4 : -width // 4] = 0.6
    image += rng.normal(0, 0.06, (height, width, 1))
    pixels: Image = np.rint(np.clip(image, 0, 1) * np.iinfo(kind).max).astype(kind)
    return pixels


def grown(mask_HW: NDArray[np.uint8], reach: int) -> NDArray[np.bool_]:
    """Every place within ``reach`` px of a marked one, slowly."""
    wide = np.pad(mask_HW > 0, reach)
    height, width = mask_HW.shape
    steps = range(2 * reach + 1)
    return np.asarray(np.any([wide[y : y + height, x : x + width] for y in steps for x in steps], axis=0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_changes_what_the_mask_says_and_nothing_far_from_it(kind: str, seed: int) -> None:
    image_HWC = normal()
    probe = make_synthetic_defect(image_HWC, kind, np.random.default_rng(seed))
    change_HW = np.abs(probe.image_HWC.astype(float) - image_HWC).max(2)
    assert change_HW[probe.mask_HW > 0].mean() >= 0.01 * 255 - 1
    assert not change_HW[~grown(probe.mask_HW, 5)].any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_state_draws_the_same_probe(kind: str) -> None:
    one, two = (make_synthetic_defect(normal(), kind, np.random.default_rng(11)) for _ in range(2))
    assert np.array_equal(one.image_HWC, two.image_HWC)
    assert np.array_equal(one.mask_HW, two.mask_HW)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_keeps_size_and_depth(kind: str, channels: int, depth: type) -> None:
    image_HWC = normal(channels=channels, kind=depth)
    probe = make_synthetic_defect(image_HWC, kind, np.random.default_rng(0))
    assert (probe.image_HWC.shape, probe.image_HWC.dtype) == (image_HWC.shape, image_HWC.dtype)
    assert set(np.unique(probe.mask_HW)) == {0, 255}


@pytest.mark.parametrize("kind", KINDS)
def test_a_grey_image_of_three_channels_stays_grey(kind: str) -> None:
    probe = make_synthetic_defect(normal(), kind, np.random.default_rng(2))
    assert np.ptp(probe.image_HWC, axis=2).max() <= 1


@pytest.mark.parametrize("kind", ["foreign", "stain", "missing"])
def test_is_about_as_large_as_asked(kind: str) -> None:
    areas = [
        float((make_synthetic_defect(normal(), kind, np.random.default_rng(seed), area_ratio=0.02).mask_HW > 0).mean())
        for seed in range(20)
    ]
    assert 0.01 < float(np.median(areas)) < 0.03


def test_sizes_are_drawn_over_the_whole_range() -> None:
    areas = [
        float((make_synthetic_defect(normal(), "stain", np.random.default_rng(seed)).mask_HW > 0).mean())
        for seed in range(30)
    ]
    low, high = AREA_RATIOS
    assert min(areas) < 4 * low
    assert max(areas) > high / 3


def test_some_are_faint_and_some_are_not() -> None:
    image_HWC = normal()
    changes = []
    for seed in range(60):
        probe = make_synthetic_defect(image_HWC, "stain", np.random.default_rng(seed), area_ratio=0.02)
        changes.append(float(np.abs(probe.image_HWC.astype(float) - image_HWC)[probe.mask_HW > 0].mean()))
    faint, clear = np.quantile(changes, [0.1, 0.9])
    assert clear > 4 * faint


def test_a_flat_image_gets_a_defect_that_is_seen() -> None:
    flat_HWC: Image = np.full((64, 64, 1), 128, np.uint8)
    probe = make_synthetic_defect(flat_HWC, "blur", np.random.default_rng(0))
    assert np.abs(probe.image_HWC.astype(int) - 128)[probe.mask_HW > 0].mean() > 5


def test_lies_on_the_part_rather_than_beside_it() -> None:
    image_HWC: Image = np.full((120, 160, 1), 51, np.uint8)  # a plain ground
    image_HWC[30:90, 40:120] = normal(120, 160, channels=1)[30:90, 40:120]
    on_part = 0
    for seed in range(40):
        mask_HW = make_synthetic_defect(image_HWC, "stain", np.random.default_rng(seed), area_ratio=0.002).mask_HW
        y, x = np.argwhere(mask_HW > 0).mean(0)
        on_part += 20 <= y < 100 and 30 <= x < 130
    assert on_part > 32  # the part and its rim are 42% of the view


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'rust'; choose foreign, piece"):
        make_synthetic_defect(normal(), "rust", np.random.default_rng(0))


def test_an_image_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="12x20 px"):
        make_synthetic_defect(normal(20, 12), "stain", np.random.default_rng(0))


def test_a_defect_is_clear_where_it_is_neither_small_nor_faint() -> None:
    image = np.full((200, 200, 1), 120, np.uint8)
    rng = np.random.default_rng(4)
    drawn = [make_synthetic_defect(image, "stain", rng, area_ratio=ratio) for ratio in (0.0005, 0.02) * 20]
    for defect in drawn:
        area_ratio = np.count_nonzero(defect.mask_HW) / defect.mask_HW.size
        difference = np.abs(defect.image_HWC.astype(float) - image)[defect.mask_HW > 0].mean() / 255
        assert defect.change == pytest.approx(difference, abs=0.003)
        assert defect.is_clear == (area_ratio >= 0.002 and defect.change >= 0.04)
    assert {defect.is_clear for defect in drawn[1::2]} == {True, False}  # large ones, clear and faint
    assert not any(defect.is_clear for defect in drawn[::2])
