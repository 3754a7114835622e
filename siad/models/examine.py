"""THE code that judges images with a model: teacher or segmenter, for masks, verdicts and thresholds alike.

Shape suffixes: B = batch, C = channels, H, W = size of an image, h, w = size of a map.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from siad.core.decide import Finding, decide, finish_map
from siad.core.images import Image
from siad.core.manifest import Manifest
from siad.core.preprocess import preprocess
from siad.models.detector import Detector

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
        return score_maps(self._detector, images, input_px=self.manifest.input_px)


def score_maps(detector: Detector, images: Sequence[Image], *, input_px: int) -> list[NDArray[np.float32]]:
    """Score decoded images with a detector that may not have a manifest yet; as ``Examiner.maps``."""
    inputs = [preprocess(image_HWC, input_px=input_px) for image_HWC in images]
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, input_CHW in enumerate(inputs):
        alike[input_CHW.shape].append(index)
    maps: dict[int, NDArray[np.float32]] = {}
    for indices in alike.values():
        for start in range(0, len(indices), BATCH_MAX):
            batch = indices[start : start + BATCH_MAX]
            with torch.inference_mode():
                maps_Bhw = detector.score(torch.from_numpy(np.stack([inputs[index] for index in batch])))
            for index, map_hw in zip(batch, maps_Bhw.float().cpu().numpy(), strict=True):
                maps[index] = finish_map(
                    map_hw,
                    input_hw=(inputs[index].shape[1], inputs[index].shape[2]),
                    size_px=(images[index].shape[0], images[index].shape[1]),
                )
    return [maps[index] for index in range(len(images))]
