"""Tiles: they cover the image, and their maps join without a seam."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siad.vision.tiles import Tile, plan_tiles, stitch

SIZES = st.integers(1, 80)


@given(height=SIZES, width=SIZES, side=st.integers(4, 40), share=st.floats(0, 0.49))
def test_cover_every_pixel_with_tiles_of_one_size(height: int, width: int, side: int, share: float) -> None:
    tiles = plan_tiles(height, width, side_px=side, overlap_px=int(share * side))
    seen_HW = np.zeros((height, width), int)
    for tile in tiles:
        assert seen_HW[tile.box].shape == (min(side, height), min(side, width))
        seen_HW[tile.box] += 1
    assert seen_HW.min() >= 1


@given(length=st.integers(1, 300), side=st.integers(4, 120), share=st.floats(0, 0.49))
def test_neighbours_share_what_was_asked_and_none_is_too_many(length: int, side: int, share: float) -> None:
    overlap = int(share * side)
    tops = sorted({tile.top for tile in plan_tiles(length, 1, side_px=side, overlap_px=overlap)})
    assert all(second - first <= side - overlap for first, second in pairwise(tops))
    fewest = next(n for n in range(1, 400) if n * side - (n - 1) * overlap >= length)
    assert len(tops) == fewest
    assert (tops[0], tops[-1]) == (0, max(0, length - side))


@pytest.mark.parametrize("size", [(50, 50), (61, 200), (300, 40), (129, 257)])
def test_stitches_cuts_of_a_map_back_into_the_map(size: tuple[int, int]) -> None:
    map_HW = np.random.default_rng(0).normal(size=size).astype(np.float32)
    tiles = plan_tiles(*size, side_px=64, overlap_px=16)
    np.testing.assert_allclose(stitch([map_HW[tile.box] for tile in tiles], tiles, size), map_HW, atol=1e-5)


def test_passes_from_one_tile_to_the_next_without_a_step() -> None:
    tiles = plan_tiles(32, 112, side_px=64, overlap_px=16)
    assert [tile.left for tile in tiles] == [0, 48]
    whole_HW = stitch([np.full((32, 64), level, np.float32) for level in (0.0, 1.0)], tiles, (32, 112))
    assert np.abs(np.diff(whole_HW, axis=1)).max() < 1.5 / 16
    assert (whole_HW[:, :48] == 0).all()
    assert (whole_HW[:, 64:] == 1).all()


def test_a_border_of_the_image_is_trusted_as_its_middle() -> None:
    tiles = plan_tiles(8, 8, side_px=64, overlap_px=16)
    assert tiles == (Tile(0, 0, 8, 8),)
    map_HW = np.arange(64, dtype=np.float32).reshape(8, 8)
    assert np.array_equal(stitch([map_HW], tiles, (8, 8)), map_HW)


def test_stays_within_the_range_of_the_maps() -> None:
    rng = np.random.default_rng(1)
    tiles = plan_tiles(100, 100, side_px=40, overlap_px=19)
    whole_HW = stitch([rng.random((40, 40)).astype(np.float32) for _ in tiles], tiles, (100, 100))
    assert 0 <= whole_HW.min() <= whole_HW.max() <= 1


@pytest.mark.parametrize(("side", "overlap"), [(64, 32), (64, 64), (0, 0), (64, -1)])
def test_an_overlap_of_half_a_tile_is_refused(side: int, overlap: int) -> None:
    with pytest.raises(ValueError, match=f"tiles of {side} px that share {overlap} px on an image of 200x100 px"):
        plan_tiles(100, 200, side_px=side, overlap_px=overlap)


def test_maps_that_do_not_fit_are_refused() -> None:
    tiles = plan_tiles(64, 100, side_px=64, overlap_px=8)
    with pytest.raises(ValueError, match="1 maps for 2 tiles"):
        stitch([np.zeros((64, 64), np.float32)], tiles, (64, 100))
    with pytest.raises(ValueError, match="a map of 32x64 px for a tile of 64x64 px"):
        stitch([np.zeros((64, 32), np.float32)] * 2, tiles, (64, 100))
