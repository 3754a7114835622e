"""Pairs: an image compared with a template of its own."""

import numpy as np
import pytest
from numpy.typing import NDArray

from siad.vision.pairs import compare_pair, differing


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
def test_a_pixel_differs_by_how_far_it_is_outside_its_neighbours(reach: int) -> None:
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
