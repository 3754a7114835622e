"""Preprocessing: size, range, and that depth does not matter."""

import numpy as np
import pytest
from numpy.typing import NDArray

from siad.vision.preprocess import input_size, preprocess


def smooth(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    rows = np.linspace(0, 250, height)[:, None, None]
    columns = np.linspace(0, 5, width)[None, :, None]
    return np.broadcast_to(rows + columns, (height, width, channels)).astype(np.uint8)


@pytest.mark.parametrize("size", [(300, 300), (460, 1130), (900, 900), (17, 23), (3000, 4000), (10, 2000)])
@pytest.mark.parametrize("input_px", [64, 256, 384])
def test_the_area_and_the_aspect_are_kept_within_a_stride(size: tuple[int, int], input_px: int) -> None:
    height, width = input_size(*size, input_px=input_px)
    assert height % 32 == width % 32 == 0
    ratio = input_px / (size[0] * size[1]) ** 0.5
    assert abs(height - max(32, size[0] * ratio)) <= 16
    assert abs(width - max(32, size[1] * ratio)) <= 16


def test_the_range_is_that_of_the_backbones_training() -> None:
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    assert preprocess(black, input_px=64).max() == pytest.approx(-127 / 128)
    assert preprocess(white, input_px=64).min() == pytest.approx(1.0)


def test_grey_is_three_equal_planes() -> None:
    grey = smooth(80, 64, 1)
    planes = preprocess(grey, input_px=64)
    assert planes.shape == (3, 64, 64)
    assert planes.dtype == np.float32
    assert planes.flags.c_contiguous
    np.testing.assert_array_equal(planes, preprocess(np.repeat(grey, 3, axis=2), input_px=64))


def test_colours_stay_in_their_planes() -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    assert preprocess(red, input_px=64).mean(axis=(1, 2)) == pytest.approx([1.0, -127 / 128, -127 / 128])


@pytest.mark.parametrize("size", [(64, 64), (300, 260), (20, 30)])
def test_16_bit_gives_what_8_bit_gives(size: tuple[int, int]) -> None:
    image = smooth(*size, 1)
    deep = image.astype(np.uint16) * 257  # 255 becomes 65535
    np.testing.assert_allclose(preprocess(deep, input_px=64), preprocess(image, input_px=64), atol=1.01 / 128)


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8)]
)
def test_what_the_decoder_never_gives_is_refused(image: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="is needed"):
        preprocess(image, input_px=64)
