"""The template: what it tolerates, what it finds, and pairs that need no fit."""

import numpy as np
import pytest
from numpy.typing import NDArray

from siad.models.bundle import open_bundle
from siad.models.teachers.template import PARTS, TemplateRecipe, compare_pair, differing, fit, lay_all, learn
from siad.models.tensors import unpack


def board(*, shift: int = 0, gap: bool = False) -> NDArray[np.uint8]:
    """Bright tracks on a dark board, uint8 [96, 96, 1]; a gap breaks one of them."""
    pixels = np.full((96, 96), 20, np.uint8)
    for column in (12, 40, 68):
        pixels[8:88, column + shift : column + shift + 10] = 230
    pixels[30:40, 12 + shift : 78 + shift] = 230
    if gap:
        pixels[60:70, 40 + shift : 50 + shift] = 20
    return pixels[:, :, None]


def slow_differing(image: NDArray[np.float32], template: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    out = np.zeros(image.shape[:2], np.float32)
    for row, column in np.ndindex(*out.shape):
        near = template[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
        for channel in range(image.shape[2]):
            value = image[row, column, channel]
            over = max(value - near[..., channel].max(), near[..., channel].min() - value, 0.0)
            out[row, column] = max(out[row, column], over)
    return out


@pytest.mark.parametrize("reach", [1, 3])
def test_what_no_shift_explains_is_what_is_outside_every_neighbour(reach: int) -> None:
    image, template = np.random.default_rng(reach).uniform(-1, 1, (2, 12, 15, 3)).astype(np.float32)
    assert np.allclose(differing(image, template, reach_px=reach), slow_differing(image, template, reach))


@pytest.mark.parametrize("shift", [0, 2, 6])
def test_a_pair_shows_the_gap_and_nothing_else(shift: int) -> None:
    map_HW = compare_pair(board(), board(shift=shift, gap=True))
    assert map_HW.shape == (96, 96)
    assert map_HW[63:67, 43 + shift : 47 + shift].min() > 0.5
    away = map_HW.copy()
    away[52:78, 32 + shift : 58 + shift] = 0
    assert away[:, 10:-10].max() < 0.5


def test_a_pair_of_two_sizes_is_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        compare_pair(board(), board()[:50])


def test_sixteen_bits_compare_like_eight() -> None:
    deep = board(gap=True).astype(np.uint16) * 257
    assert np.allclose(compare_pair(board(), deep), compare_pair(board(), board(gap=True)), atol=1e-3)


def normals(count: int) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        pixels = board().astype(np.float32) / 128 - 1 + rng.normal(0, 0.02, (96, 96, 1)).astype(np.float32)
        pixels[80:86, 80:86] += rng.uniform(-0.5, 0.5)  # a label that is printed lighter or darker
        made.append(pixels.astype(np.float32))
    return made


def test_a_place_that_differs_from_part_to_part_is_tolerated() -> None:
    template, tolerance = learn(np.stack(normals(8)), TemplateRecipe())
    assert template.shape == (96, 96, 1)
    assert tolerance[83, 83] > 3 * tolerance[5, 83]
    assert tolerance.min() >= 0.99 * TemplateRecipe().floor


def test_normals_that_moved_are_laid_onto_each_other() -> None:
    moved = [np.roll(one, shift, 1) for one, shift in zip(normals(5), (0, 2, -3, 1, 4), strict=True)]
    laid = lay_all(moved)
    assert np.abs(laid - laid[0])[:, 20:70, 16:-16].mean() < 0.06
    assert np.abs(np.stack(moved) - moved[0])[:, 20:70, 16:-16].mean() > 0.1


def boards(count: int, *, channels: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    grain = rng.integers(0, 12, (count, 96, 96, 1))
    return [np.repeat(board() + one, channels, 2).astype(np.uint8) for one in grain]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grey_line_has_a_grey_template_and_finds_the_same(channels: int) -> None:
    names = [f"{index:032x}" for index in range(6)]
    images = boards(6, channels=channels)
    recipe = TemplateRecipe(input_px=96)
    made = fit(images, line="a", product="b", normals=names, false_reject_budget=0.1, recipe=recipe)
    assert unpack(made.parts[PARTS])["template"].shape == (96, 96, channels)
    broken, whole = (np.repeat(board(shift=1, gap=gap), channels, 2) for gap in (True, False))
    bad, good = open_bundle(made.manifest, made.parts).examine([broken, whole])
    assert bad.mask_HW[63:67, 43:49].all()
    assert bad.score > 3 * good.score


def test_views_that_would_come_in_tiles_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2000 for a template.*at most 1024"):
        fit([], line="a", product="b", normals=[], false_reject_budget=0.1, input_px=2000)
