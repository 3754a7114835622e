"""Tiles of large images, and stitching of their maps without a seam.

At 384 px a network can't detect a broken thread in 4096 px of fabric. Tiles show it the image at the size where the
defect is large enough; they overlap, so that what is cut off at the border of one is complete in the next.

Shape suffixes: H, W = size of the image, h, w = size of one tile.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tile:
    """Rectangle of an image, in pixels from its top left corner."""

    top: int
    left: int
    height: int
    width: int

    @property
    def box(self) -> tuple[slice, slice]:
        """Slices of rows and columns, for ``image_HWC[tile.box]``."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def plan_tiles(height_px: int, width_px: int, *, side_px: int, overlap_px: int) -> tuple[Tile, ...]:
    """Plan overlapping tiles of one size, evenly spread, row by row.

    Equal tiles can share a batch, and a full tile at the border looks like any other view, which a narrow
    remainder does not. So along each axis the fewest tiles of ``side_px`` (or of the whole image, where it is smaller)
    are spread evenly, each sharing at least ``overlap_px`` with the next.

    Args:
        height_px: of the image.
        width_px: of the image.
        side_px: of a tile.
        overlap_px: that neighbours share at least, under half of ``side_px``.

    Returns:
        At least one tile; together they cover every pixel.

    Raises:
        ValueError: an empty image, or an overlap that is not under half of a tile.
    """
    if min(height_px, width_px) < 1 or side_px < 1 or not 0 <= overlap_px < side_px / 2:
        msg = (
            f"tiles of {side_px} px that share {overlap_px} px on an image of {width_px}x{height_px} px; "
            "the overlap must be under half of a tile"
        )
        raise ValueError(msg)
    tall, wide = min(side_px, height_px), min(side_px, width_px)
    return tuple(
        Tile(top, left, tall, wide)
        for top in _starts(height_px, tall, overlap_px)
        for left in _starts(width_px, wide, overlap_px)
    )


def stitch(maps: Sequence[NDArray[np.float32]], tiles: Sequence[Tile], size_px: tuple[int, int]) -> NDArray[np.float32]:
    """Join the tiles' maps to one.

    Where tiles overlap, each is weighted by the pixel's distance from its border, with weights that sum to 1. So scores
    pass from one tile to the next without a step, scores that tiles agree on are kept, and the least reliable pixels of
    a tile, those beside its border, count least.

    Args:
        maps: float32 [h, w] of each tile, at the tile's size.
        tiles: as ``plan_tiles`` gave them.
        size_px: height and width of the image.

    Returns:
        float32 [H, W], within the range of the maps.

    Raises:
        ValueError: the number of maps is not that of the tiles, or a map has another size than its tile.
    """
    if len(maps) != len(tiles):
        msg = f"{len(maps)} maps for {len(tiles)} tiles"
        raise ValueError(msg)
    total_HW, shares_HW = np.zeros(size_px, np.float64), np.zeros(size_px, np.float64)
    for map_hw, tile in zip(maps, tiles, strict=True):
        if map_hw.shape != (tile.height, tile.width):
            msg = f"a map of {map_hw.shape[1]}x{map_hw.shape[0]} px for a tile of {tile.width}x{tile.height} px"
            raise ValueError(msg)
        share_hw = np.outer(
            _ramp(tile.top, tile.height, size_px[0]),
            _ramp(tile.left, tile.width, size_px[1]),
        )
        total_HW[tile.box] += share_hw * map_hw
        shares_HW[tile.box] += share_hw
    return np.asarray(total_HW / shares_HW, np.float32)


def _starts(length_px: int, side_px: int, overlap_px: int) -> list[int]:
    """Compute where tiles start along one axis."""
    if length_px == side_px:
        return [0]
    count = 1 + math.ceil((length_px - side_px) / (side_px - overlap_px))
    return [round(index * (length_px - side_px) / (count - 1)) for index in range(count)]


def _ramp(start: int, side_px: int, length_px: int) -> NDArray[np.float64]:
    """Distance to the tile's nearer border.

    Borders of the image do not count.
    """
    position = np.arange(side_px) + 0.5
    before = position if start > 0 else np.full(side_px, np.inf)
    behind = side_px - position if start + side_px < length_px else np.full(side_px, np.inf)
    return np.asarray(np.minimum(np.minimum(before, behind), side_px))
