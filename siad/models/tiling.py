"""Tiles of inputs too large for one pass.

So memory stays bounded however large an image is.

Most networks are run tile by tile, and their maps stitched. A network that compares the positions of an image with each
other needs the whole input: only its backbone runs in tiles (``siad.models.tiled_backbone``).

Shape suffixes: B = batch, C = channels, V = views, H, W = size of the input, h, w = size of a map.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.models.runner.port import Runner
from siad.vision.preprocess import STRIDE_PX
from siad.vision.tiles import Tile, plan_tiles, stitch

TILE_PX: Final = 1024  # of the input; a tile of that side takes 0.6 GB in the widest stage of the backbone
OVERLAP_PX: Final = 128  # the part of the receptive field that mostly decides a position of the deepest stage
_ROUNDING: Final = 1.15  # sides come in whole strides, so an input of 1,024 px may be a tenth larger than that squared


def is_tiled(height_px: int, width_px: int) -> bool:
    """Whether an input is large enough to run in tiles."""
    return height_px * width_px > _ROUNDING * TILE_PX**2


def run_tiled(runner: Runner, images_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Score images of any size.

    In tiles where they are large and the network allows it.

    Args:
        runner: the network.
        images_BCHW: as ``siad.vision.preprocess`` makes them.

    Returns:
        float32 [B, V, h, w] as the runner gives them; [B, V, H, W] where they were stitched.
    """
    height, width = images_BCHW.shape[2:]
    if not is_tiled(height, width) or runner.needs_whole_input:
        return runner.run(images_BCHW)
    tiles = input_tiles(height, width, overlap_px=OVERLAP_PX)
    pieces = [runner.run(np.ascontiguousarray(images_BCHW[:, :, *tile.box])) for tile in tiles]
    count, views = pieces[0].shape[:2]
    whole = [
        _stitched([piece_BVhw[index, view] for piece_BVhw in pieces], tiles, (height, width))
        for index in range(count)
        for view in range(views)
    ]
    return np.stack(whole).reshape(count, views, height, width)


def input_tiles(height_px: int, width_px: int, *, overlap_px: int) -> list[Tile]:
    """Plan tiles that begin and end at whole strides."""
    in_strides = plan_tiles(
        height_px // STRIDE_PX, width_px // STRIDE_PX, side_px=TILE_PX // STRIDE_PX, overlap_px=overlap_px // STRIDE_PX
    )
    return [
        Tile(*(value * STRIDE_PX for value in (tile.top, tile.left, tile.height, tile.width))) for tile in in_strides
    ]


def _stitched(
    maps: Sequence[NDArray[np.float32]], tiles: Sequence[Tile], size_px: tuple[int, int]
) -> NDArray[np.float32]:
    large = [
        np.asarray(cv2.resize(map_hw, (tile.width, tile.height), interpolation=cv2.INTER_LINEAR), np.float32)
        for map_hw, tile in zip(maps, tiles, strict=True)
    ]
    return stitch(large, tiles, size_px)
