"""THE code that judges images with a model: teacher or segmenter, for masks, verdicts and thresholds alike.

Shape suffixes: B = batch, C = channels, H, W = size of an image, h, w = size of a map.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from siad.contracts.manifest import Manifest
from siad.models.detector import Detector, MultiViewDetector
from siad.models.tiling import views_of
from siad.vision.decide import Finding, decide, draw_map
from siad.vision.images import Image
from siad.vision.preprocess import preprocess
from siad.vision.region import EVERYTHING, RegionOfInterest

BATCH_MAX = 2  # images through the network at once; on a CPU more are slower: they fall out of its caches (see ADR 3)


class Predictor:
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
        """Score decoded images: float32 [H, W] raw scores each, at image size, their borders on the image's edges."""
        return score_maps(self._detector, images, input_px=self.manifest.input_px, interest=self._interest())

    def views(self, images: Sequence[Image]) -> list[list[NDArray[np.float32]]]:
        """Score decoded images: of each the maps whose mean ``maps`` gives; one, where the detector has no more."""
        return view_maps(self._detector, images, input_px=self.manifest.input_px, interest=self._interest())

    @property
    def has_views(self) -> bool:
        """Whether there are several maps of an image, which may differ."""
        return isinstance(self._detector, MultiViewDetector)

    def _interest(self) -> RegionOfInterest:
        return RegionOfInterest(self.manifest.region)


def score_maps(
    detector: Detector, images: Sequence[Image], *, input_px: int, interest: RegionOfInterest = EVERYTHING
) -> list[NDArray[np.float32]]:
    """Score decoded images with a detector that may not have a manifest yet; as ``Predictor.maps``."""
    return [_mean(views) for views in view_maps(detector, images, input_px=input_px, interest=interest)]


def view_maps(
    detector: Detector, images: Sequence[Image], *, input_px: int, interest: RegionOfInterest
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
            with torch.inference_mode():
                views_BVhw = views_of(detector, torch.from_numpy(np.stack([inputs[index] for index in batch])))
            for index, maps_Vhw in zip(batch, views_BVhw.numpy(), strict=True):
                size_px = (cuts[index].shape[0], cuts[index].shape[1])
                found[index] = [draw_map(map_hw, input_CHW=inputs[index], size_px=size_px) for map_hw in maps_Vhw]
    return [
        [interest.put_back(map_HW, (image_HWC.shape[0], image_HWC.shape[1])) for map_HW in found[index]]
        for index, image_HWC in enumerate(images)
    ]


def _mean(views: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return views[0] if len(views) == 1 else np.asarray(np.mean(views, axis=0), np.float32)
