"""THE code that judges images with a model: teacher or segmenter, for masks, verdicts and thresholds alike.

A large input is scored in tiles that are stitched, so memory stays bounded however large an image is shown.

Shape suffixes: B = batch, C = channels, H, W = size of an image, h, w = size of a map.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from siad.core.decide import Finding, decide, finish_map
from siad.core.images import Image
from siad.core.interest import EVERYTHING, Interest
from siad.core.manifest import Manifest
from siad.core.preprocess import STRIDE_PX, preprocess
from siad.core.tiles import Tile, plan_tiles, stitch
from siad.models.detector import Detector

TILE_PX: Final = 1024  # of the input; a tile of so many squared takes 0.6 GB in the widest stage of the backbone
OVERLAP_PX: Final = 128  # what a place of the deepest stage used mostly looks at
BATCH_MAX = 2  # images through the network at once; on a CPU more are slower: they fall out of its caches (see ADR 3)


class Examiner:
    """One set of weights, ready. Calls from several threads are safe: nothing in it changes."""

    def __init__(self, manifest: Manifest, detector: Detector) -> None:
        self.manifest = manifest
        self._detector = detector

    def examine(self, images: Sequence[Image]) -> list[Finding]:
        """Judge decoded images, uint8 or uint16 [H, W, C], of any sizes, in their order."""
        return [self.decide(map_HW) for map_HW in self.maps(images)]

    def decide(self, map_HW: NDArray[np.float32]) -> Finding:
        """Judge by a map that ``maps`` gave."""
        manifest = self.manifest
        return decide(
            map_HW,
            image_threshold=manifest.image_threshold,
            pixel_threshold=manifest.pixel_threshold,
            spread=manifest.spread,
        )

    def maps(self, images: Sequence[Image]) -> list[NDArray[np.float32]]:
        """Score decoded images: float32 [H, W] raw scores each, smoothed, at image size."""
        interest = Interest(self.manifest.region)
        return score_maps(self._detector, images, input_px=self.manifest.input_px, interest=interest)


def score_maps(
    detector: Detector, images: Sequence[Image], *, input_px: int, interest: Interest = EVERYTHING
) -> list[NDArray[np.float32]]:
    """Score decoded images with a detector that may not have a manifest yet; as ``Examiner.maps``."""
    cuts = [interest.cut(image_HWC) for image_HWC in images]
    inputs = [preprocess(cut_hwC, input_px=input_px) for cut_hwC in cuts]
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, input_CHW in enumerate(inputs):
        alike[input_CHW.shape].append(index)
    maps: dict[int, NDArray[np.float32]] = {}
    for indices in alike.values():
        for start in range(0, len(indices), BATCH_MAX):
            batch = indices[start : start + BATCH_MAX]
            maps_Bhw = _score(detector, np.stack([inputs[index] for index in batch]))
            for index, map_hw in zip(batch, maps_Bhw, strict=True):
                maps[index] = finish_map(
                    map_hw,
                    input_hw=(inputs[index].shape[1], inputs[index].shape[2]),
                    size_px=(cuts[index].shape[0], cuts[index].shape[1]),
                )
    return [
        interest.put_back(maps[index], (image_HWC.shape[0], image_HWC.shape[1]))
        for index, image_HWC in enumerate(images)
    ]


def _score(detector: Detector, inputs_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Raw maps: float32 [B, h, w] as the detector gives them; [B, H, W] of an input so large that it is tiled."""
    height, width = inputs_BCHW.shape[2:]
    with torch.inference_mode():
        if height * width <= TILE_PX**2:
            return np.asarray(detector.score(torch.from_numpy(inputs_BCHW)).float().cpu().numpy())
        tiles = _tiles(height, width)
        maps: list[list[NDArray[np.float32]]] = [[] for _ in inputs_BCHW]  # by image, then by tile
        for tile in tiles:
            piece_BCHW = np.ascontiguousarray(inputs_BCHW[:, :, *tile.box])
            for index, map_hw in enumerate(detector.score(torch.from_numpy(piece_BCHW)).float().cpu().numpy()):
                maps[index].append(cv2.resize(map_hw, (tile.width, tile.height), interpolation=cv2.INTER_LINEAR))
    return np.stack([stitch(of_image, tiles, (height, width)) for of_image in maps])


def _tiles(height: int, width: int) -> list[Tile]:
    """Tiles of an input that begin and end at whole strides, as the input itself does."""
    in_strides = plan_tiles(
        height // STRIDE_PX, width // STRIDE_PX, side_px=TILE_PX // STRIDE_PX, overlap_px=OVERLAP_PX // STRIDE_PX
    )
    return [Tile(*(value * STRIDE_PX for value in (one.top, one.left, one.height, one.width))) for one in in_strides]
