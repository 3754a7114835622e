"""Overlay of a mask over its image."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from siad.contracts.events import Region
from siad.vision.images import ImageError
from siad.vision.overlay import draw_overlay


def drawn(
    image: NDArray[np.uint8] | NDArray[np.uint16], mask: NDArray[np.uint8] | None, regions: tuple[Region, ...] = ()
) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(draw_overlay(image, mask, regions), np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_defects_are_red_ignored_pixels_blue_and_the_rest_unchanged(channels: int) -> None:
    image = np.full((40, 60, channels), 100, np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    mask[5:25, 5:25], mask[5:25, 40:55] = 255, 128
    picture = drawn(image, mask)
    assert picture.shape == (40, 60, 3)
    red, blue, rest = (picture[y, x].astype(int) for y, x in ((15, 15), (15, 47), (35, 30)))
    assert red[0] > red[1] + 40
    assert blue[2] > blue[0] + 40
    assert rest.tolist() == [100, 100, 100]
    assert picture[5, 5].tolist() == [255, 60, 40]  # the outline
    assert (image == 100).all()


def test_regions_are_outlined_where_there_is_no_mask() -> None:
    region = Region(points=(10, 10, 30, 10, 30, 30, 10, 30), area_px=400, peak_score=1.0)
    picture = drawn(np.zeros((40, 60, 3), np.uint8), None, (region,))
    assert picture[10, 20].tolist() == [255, 60, 40]
    assert picture[20, 20].tolist() == [0, 0, 0]


def test_a_dark_16_bit_image_is_stretched() -> None:
    image = np.full((40, 60, 1), 40, np.uint16)
    image[:, 30:] = 4000  # 12 bits
    picture = drawn(image, None)
    assert picture[20, 10].max() < 10
    assert picture[20, 50].min() > 245


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ImageError, match="mask has 50x40 px, the image 60x40 px"):
        draw_overlay(np.zeros((40, 60, 3), np.uint8), np.zeros((40, 50), np.uint8))
