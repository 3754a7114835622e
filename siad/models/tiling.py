"""Inputs too large to go through a network at once: in tiles, so that memory stays bounded however large they are.

Most detectors are asked tile by tile, and their maps stitched. One that compares an image's places with each other must
see it whole: there only the backbone is asked tile by tile, and its outputs are put together.

Shape suffixes: B = batch, C = channels, V = views, H, W = size of the input, h, w = size of a map, D = channels of a
stage.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siad.models.backbone import STRIDES, Backbone
from siad.models.detector import Detector, MultiViewDetector, WholeImageDetector
from siad.vision.preprocess import STRIDE_PX
from siad.vision.tiles import Tile, plan_tiles, stitch

TILE_PX: Final = 1024  # of the input; a tile of so many squared takes 0.6 GB in the widest stage of the backbone
OVERLAP_PX: Final = 128  # what a place of the deepest stage used mostly looks at
_ROUNDING: Final = 1.15  # sides come in whole strides, so an input of 1,024 px may be a tenth larger than that squared


def is_tiled(height_px: int, width_px: int) -> bool:
    """Whether an input is so large that it goes through a network in tiles."""
    return height_px * width_px > _ROUNDING * TILE_PX**2


def views_of(detector: Detector, images_BCHW: Tensor) -> Tensor:
    """A detector's views of images of any size; one view, where it has no several.

    Args:
        detector: asked tile by tile where the images are large, unless it ``sees_whole``.
        images_BCHW: float32, as ``siad.vision.preprocess`` makes them.

    Returns:
        float32 [B, V, h, w] as the detector gives them; [B, V, H, W] where they were stitched.
    """
    height, width = images_BCHW.shape[2:]
    if not is_tiled(height, width) or isinstance(detector, WholeImageDetector):
        return _views(detector, images_BCHW)
    tiles = _tiles(height, width, OVERLAP_PX)
    pieces = [_views(detector, images_BCHW[:, :, *tile.box].contiguous()).numpy() for tile in tiles]
    count, views = pieces[0].shape[:2]
    whole = [
        _stitched([piece_BVhw[index, view] for piece_BVhw in pieces], tiles, (height, width))
        for index in range(count)
        for view in range(views)
    ]
    return torch.from_numpy(np.stack(whole).reshape(count, views, height, width))


def outputs_of(backbone: Backbone, images_BCHW: Tensor, stages: Sequence[int]) -> list[Tensor]:
    """The outputs of a backbone's stages for images of any size, as ``Backbone.forward`` gives them.

    Tiles share twice what a place mostly looks at, and of what they share each keeps the half that is farther from its
    border; so outputs differ from those of the whole by what lies still further away.
    """
    height, width = images_BCHW.shape[2:]
    if not is_tiled(height, width):
        return backbone.forward(images_BCHW, stages)
    tiles = _tiles(height, width, 2 * OVERLAP_PX)
    whole: list[Tensor] = []
    for tile in tiles:
        outputs = backbone.forward(images_BCHW[:, :, *tile.box].contiguous(), stages)
        top, bottom = _kept(tile.top, tile.height, sorted({one.top for one in tiles}), height)
        left, right = _kept(tile.left, tile.width, sorted({one.left for one in tiles}), width)
        if not whole:
            whole = [
                torch.empty(*output.shape[:2], height // STRIDES[stage], width // STRIDES[stage])
                for stage, output in zip(stages, outputs, strict=True)
            ]
        for stage, output, all_BDhw in zip(stages, outputs, whole, strict=True):
            rows, columns = (
                (low // STRIDES[stage], high // STRIDES[stage]) for low, high in ((top, bottom), (left, right))
            )
            down, across = tile.top // STRIDES[stage], tile.left // STRIDES[stage]
            all_BDhw[:, :, slice(*rows), slice(*columns)] = output[
                :, :, rows[0] - down : rows[1] - down, columns[0] - across : columns[1] - across
            ]
    return whole


def _kept(start: int, side: int, starts: Sequence[int], length: int) -> tuple[int, int]:
    """From where to where a tile's output is kept along one axis, in px: to the middle of what it shares."""
    at = starts.index(start)
    low = 0 if at == 0 else _middle(start, starts[at - 1] + side)
    high = length if at == len(starts) - 1 else _middle(starts[at + 1], start + side)
    return low, high


def _middle(begin: int, end: int) -> int:
    return (begin + end) // 2 // STRIDE_PX * STRIDE_PX


def _views(detector: Detector, images_BCHW: Tensor) -> Tensor:
    if isinstance(detector, MultiViewDetector):
        return detector.views(images_BCHW).transpose(0, 1).float().cpu()
    return detector.score(images_BCHW)[:, None].float().cpu()


def _stitched(
    maps: Sequence[NDArray[np.float32]], tiles: Sequence[Tile], size_px: tuple[int, int]
) -> NDArray[np.float32]:
    large = [
        np.asarray(cv2.resize(map_hw, (tile.width, tile.height), interpolation=cv2.INTER_LINEAR), np.float32)
        for map_hw, tile in zip(maps, tiles, strict=True)
    ]
    return stitch(large, tiles, size_px)


def _tiles(height: int, width: int, overlap_px: int) -> list[Tile]:
    """Tiles of an input that begin and end at whole strides, as the input itself does."""
    in_strides = plan_tiles(
        height // STRIDE_PX, width // STRIDE_PX, side_px=TILE_PX // STRIDE_PX, overlap_px=overlap_px // STRIDE_PX
    )
    return [Tile(*(value * STRIDE_PX for value in (one.top, one.left, one.height, one.width))) for one in in_strides]
