"""The backbone on inputs of any size, in tiles where large.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = size of a map, D = channels of a stage.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from siad.models.backbone import STRIDES, Backbone
from siad.models.tiling import OVERLAP_PX, input_tiles, is_tiled
from siad.vision.preprocess import STRIDE_PX


def outputs_of(backbone: Backbone, images_BCHW: Tensor, stages: Sequence[int]) -> list[Tensor]:
    """Compute the outputs of stages for images of any size.

    As ``Backbone.forward`` gives them.

    Neighbouring tiles share twice what mostly decides a position, and each keeps the half of the shared strip that is
    farther from its own border. So outputs differ from those of the whole input only by what lies farther away.
    """
    height, width = images_BCHW.shape[2:]
    if not is_tiled(height, width):
        return backbone.forward(images_BCHW, stages)
    tiles = input_tiles(height, width, overlap_px=2 * OVERLAP_PX)
    whole: list[Tensor] = []
    for tile in tiles:
        outputs = backbone.forward(images_BCHW[:, :, *tile.box].contiguous(), stages)
        top, bottom = _kept(tile.top, tile.height, sorted({other.top for other in tiles}), height)
        left, right = _kept(tile.left, tile.width, sorted({other.left for other in tiles}), width)
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
    """Range, px along one axis, that a tile's output is kept for.

    To the middle of each shared strip.
    """
    at = starts.index(start)
    low = 0 if at == 0 else _middle(start, starts[at - 1] + side)
    high = length if at == len(starts) - 1 else _middle(starts[at + 1], start + side)
    return low, high


def _middle(begin: int, end: int) -> int:
    return (begin + end) // 2 // STRIDE_PX * STRIDE_PX
