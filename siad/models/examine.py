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
from siad.models.detector import Detector, ManyViews

TILE_PX: Final = 1024  # of the input; a tile of so many squared takes 0.6 GB in the widest stage of the backbone
_ROUNDING: Final = 1.15  # sides come in whole strides, so an input of 1,024 px may be a tenth larger than that squared
OVERLAP_PX: Final = 128  # what a place of the deepest stage used mostly looks at
BATCH_MAX = 2  # images through the network at once; on a CPU more are slower: they fall out of its caches (see ADR 3)


class Examiner:
    """One set of weights, ready. Calls from several threads are safe: nothing in it changes."""

    def __init__(self, manifest: Manifest, detector: Detector) -> None:
        self.manifest = manifest
        self._detector = detector

    def examine(self, images: Sequence[Image]) -> list[Finding]:
        """Judge decoded images, uint8 or uint16 [H, W, C], of any sizes, in their order."""
        return [self.decide(_mean(views), views=views if len(views) > 1 else ()) for views in self.views(images)]

    def decide(self, map_HW: NDArray[np.float32], *, views: Sequence[NDArray[np.float32]] = ()) -> Finding:
        """Judge by a map that ``maps`` gave, and by the views that it is the mean of, if several."""
        manifest = self.manifest
        return decide(
            map_HW,
            image_threshold=manifest.image_threshold,
            pixel_threshold=manifest.pixel_threshold,
            spread=manifest.spread,
            views=views,
        )

    def maps(self, images: Sequence[Image]) -> list[NDArray[np.float32]]:
        """Score decoded images: float32 [H, W] raw scores each, smoothed, at image size."""
        return score_maps(self._detector, images, input_px=self.manifest.input_px, interest=self._interest())

    def views(self, images: Sequence[Image]) -> list[list[NDArray[np.float32]]]:
        """Score decoded images: of each the maps whose mean ``maps`` gives; one, where the detector has no more."""
        return view_maps(self._detector, images, input_px=self.manifest.input_px, interest=self._interest())

    @property
    def has_views(self) -> bool:
        """Whether there are several maps of an image, which may differ."""
        return isinstance(self._detector, ManyViews)

    def _interest(self) -> Interest:
        return Interest(self.manifest.region)


def is_tiled(height_px: int, width_px: int) -> bool:
    """Whether an input is so large that it is scored in tiles."""
    return height_px * width_px > _ROUNDING * TILE_PX**2


def score_maps(
    detector: Detector, images: Sequence[Image], *, input_px: int, interest: Interest = EVERYTHING
) -> list[NDArray[np.float32]]:
    """Score decoded images with a detector that may not have a manifest yet; as ``Examiner.maps``."""
    return [_mean(views) for views in view_maps(detector, images, input_px=input_px, interest=interest)]


def view_maps(
    detector: Detector, images: Sequence[Image], *, input_px: int, interest: Interest
) -> list[list[NDArray[np.float32]]]:
    """Score decoded images: of each its views, float32 [H, W]; one, where the detector has no several."""
    cuts = [interest.cut(image_HWC) for image_HWC in images]
    inputs = [preprocess(cut_hwC, input_px=input_px) for cut_hwC in cuts]
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, input_CHW in enumerate(inputs):
        alike[input_CHW.shape].append(index)
    found: dict[int, list[NDArray[np.float32]]] = {}
    for indices in alike.values():
        for start in range(0, len(indices), BATCH_MAX):
            batch = indices[start : start + BATCH_MAX]
            maps_BVhw = _score(detector, np.stack([inputs[index] for index in batch]))
            for index, maps_Vhw in zip(batch, maps_BVhw, strict=True):
                input_hw, size_px = inputs[index].shape[1:], cuts[index].shape[:2]
                found[index] = [_finished(map_hw, input_hw, size_px) for map_hw in maps_Vhw]
    return [
        [interest.put_back(map_HW, (image_HWC.shape[0], image_HWC.shape[1])) for map_HW in found[index]]
        for index, image_HWC in enumerate(images)
    ]


def _mean(views: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return views[0] if len(views) == 1 else np.asarray(np.mean(views, axis=0), np.float32)


def _finished(map_hw: NDArray[np.float32], input_hw: tuple[int, ...], size_px: tuple[int, ...]) -> NDArray[np.float32]:
    return finish_map(map_hw, input_hw=(input_hw[0], input_hw[1]), size_px=(size_px[0], size_px[1]))


def _score(detector: Detector, inputs_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Raw maps: float32 [B, V, h, w] as the detector gives them; [B, V, H, W] of an input so large that it is tiled."""
    height, width = inputs_BCHW.shape[2:]
    with torch.inference_mode():
        if not is_tiled(height, width):
            return _views(detector, inputs_BCHW)
        tiles = _tiles(height, width)
        pieces = [
            _views(detector, np.ascontiguousarray(inputs_BCHW[:, :, *tile.box])) for tile in tiles
        ]  # [B, V, h, w]
    count, views = pieces[0].shape[:2]
    whole = [
        _stitched([piece_BVhw[index, view] for piece_BVhw in pieces], tiles, (height, width))
        for index in range(count)
        for view in range(views)
    ]
    return np.stack(whole).reshape(count, views, height, width)


def _stitched(
    maps: Sequence[NDArray[np.float32]], tiles: Sequence[Tile], size_px: tuple[int, int]
) -> NDArray[np.float32]:
    large = [
        np.asarray(cv2.resize(map_hw, (tile.width, tile.height), interpolation=cv2.INTER_LINEAR), np.float32)
        for map_hw, tile in zip(maps, tiles, strict=True)
    ]
    return stitch(large, tiles, size_px)


def _views(detector: Detector, inputs_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
    images_BCHW = torch.from_numpy(inputs_BCHW)
    if isinstance(detector, ManyViews):
        return np.asarray(detector.views(images_BCHW).transpose(0, 1).float().cpu().numpy())
    return np.asarray(detector.score(images_BCHW)[:, None].float().cpu().numpy())


def _tiles(height: int, width: int) -> list[Tile]:
    """Tiles of an input that begin and end at whole strides, as the input itself does."""
    in_strides = plan_tiles(
        height // STRIDE_PX, width // STRIDE_PX, side_px=TILE_PX // STRIDE_PX, overlap_px=OVERLAP_PX // STRIDE_PX
    )
    return [Tile(*(value * STRIDE_PX for value in (one.top, one.left, one.height, one.width))) for one in in_strides]
