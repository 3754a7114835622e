"""Depth: found from the normals or stated by the line, and scaled to the full range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from siad.contracts.depth import FULL_BITS, require_bits, white_of
from siad.vision.depth import find_depth, require_depth, scale_to_full_range


def deep(*values: int) -> NDArray[np.uint16]:
    return np.array(values, np.uint16).reshape(1, -1, 1)


def shallow(*values: int) -> NDArray[np.uint8]:
    return np.array(values, np.uint8).reshape(1, -1, 1)


@given(st.integers(8, 16), st.data())
def test_black_stays_black_white_becomes_white_and_the_order_is_kept(bits: int, data: st.DataObject) -> None:
    values = sorted(data.draw(st.lists(st.integers(0, white_of(bits)), min_size=1, max_size=50)))
    scaled = scale_to_full_range(deep(0, *values, white_of(bits)), bits).ravel().tolist()
    assert (scaled[0], scaled[-1]) == (0, 65535)
    assert scaled == sorted(scaled)
    assert scaled == [round(value * 65535 / white_of(bits)) for value in [0, *values, white_of(bits)]]


def test_values_beyond_the_depth_become_white_and_never_wrap() -> None:
    assert scale_to_full_range(deep(4095, 4096, 65535), 12).ravel().tolist() == [65535, 65535, 65535]


@pytest.mark.parametrize("bits", [0, 16])
def test_the_full_range_is_left_alone(bits: int) -> None:
    image = deep(0, 4095, 65535)
    assert scale_to_full_range(image, bits) is image


def test_eight_bit_images_are_left_alone() -> None:
    image = shallow(0, 200)
    assert scale_to_full_range(image, 12) is image


@pytest.mark.parametrize(
    ("highest", "bits"),
    [(255, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12), (4096, 14), (16383, 14), (16384, 16), (65535, 16)],
)
def test_the_highest_value_of_all_normals_says_the_depth(highest: int, bits: int) -> None:
    found = find_depth([deep(1, 2), deep(0, highest), deep(3, 0)])
    assert found.bits == bits
    assert str(highest) in found.why


def test_normals_of_eight_bits_have_eight() -> None:
    assert find_depth([shallow(3), shallow(255)]).bits == 8


def test_files_that_declare_their_depth_are_scaled_already() -> None:
    assert find_depth([deep(900), deep(800)], declared=[12, 12]).bits == FULL_BITS
    assert require_depth([deep(60000)], 12, declared=[12]).bits == FULL_BITS
    assert find_depth([deep(900), deep(800)], declared=[0, 0]).bits == 10


def test_a_stated_depth_holds_where_the_normals_agree() -> None:
    assert require_depth([deep(900), deep(800)], 12).bits == 12


def test_a_stated_depth_that_the_normals_exceed_is_refused_with_the_values() -> None:
    with pytest.raises(
        ValueError, match=r"states 12 bits, and 1 of 2 normals have values beyond 4095, up to 5000; set"
    ):
        require_depth([deep(900), deep(5000)], 12)


def test_a_stated_depth_over_eight_does_not_fit_files_of_eight_bits() -> None:
    with pytest.raises(ValueError, match=r"states 12 bits, and 1 of 2 normals are 8-bit files; set --bits 8 or 0"):
        require_depth([deep(900), shallow(200)], 12)
    assert require_depth([shallow(200)], 8).bits == 8


@pytest.mark.parametrize("bits", [-1, 1, 7, 17, 4096])
def test_a_depth_that_no_camera_has_is_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"bits {bits} is not 8 to 16"):
        require_bits(bits)
    require_bits(0)
    require_bits(12)
