"""Score maps of images by a runner, in batches of one shape.

Shape suffixes: B = batch, C = channels, V = views, H, W = size of an image, h, w = size of a map.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from siad.models.runner.port import Runner
from siad.models.tiling import run_tiled
from siad.vision.decide import refine_map
from siad.vision.images import Image
from siad.vision.memory_errors import out_of_memory_named
from siad.vision.preprocess import preprocess
from siad.vision.region import EVERYTHING, RegionOfInterest

BATCH_MAX: Final = 2  # images per run; on a CPU larger batches are slower, since they fall out of its caches


def score_maps(
    runner: Runner, images: Sequence[Image], *, input_px: int, interest: RegionOfInterest = EVERYTHING
) -> list[NDArray[np.float32]]:
    """Score decoded images with a network that has no manifest yet.

    As ``Predictor.maps``, of images of the full range.
    """
    return [mean_of(views) for views in view_maps(runner, images, input_px=input_px, interest=interest)]


def view_maps(
    runner: Runner,
    images: Sequence[Image],
    *,
    input_px: int,
    interest: RegionOfInterest,
    refine_from: float = -math.inf,
) -> list[list[NDArray[np.float32]]]:
    """Score decoded images: for each its views, float32 [H, W].

    Maps whose highest score is less than ``refine_from`` do not follow edges.

    Raises:
        OutOfMemoryError: memory ran out.
        DeviceError: the device failed.
    """
    with out_of_memory_named(f"scoring {len(images)} images"):
        cuts = [interest.cut(image_HWC) for image_HWC in images]
        inputs = [preprocess(cut_hwC, input_px=input_px) for cut_hwC in cuts]
        found: dict[int, list[NDArray[np.float32]]] = {}
        for batch in _batches(inputs):
            views_BVhw = run_tiled(runner, np.stack([inputs[index] for index in batch]))
            for index, maps_Vhw in zip(batch, views_BVhw, strict=True):
                size_px = (cuts[index].shape[0], cuts[index].shape[1])
                found[index] = [
                    refine_map(
                        map_hw,
                        input_CHW=inputs[index],
                        size_px=size_px,
                        refine_from=refine_from,
                        inside_HW=interest.inside(images[index].shape[:2]),
                    )
                    for map_hw in maps_Vhw
                ]
        return [
            [interest.put_back(map_HW, (image_HWC.shape[0], image_HWC.shape[1])) for map_HW in found[index]]
            for index, image_HWC in enumerate(images)
        ]


def _batches(inputs: Sequence[NDArray[np.float32]]) -> list[list[int]]:
    """Group the positions of inputs of one shape, at most ``BATCH_MAX`` together."""
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, input_CHW in enumerate(inputs):
        by_shape[input_CHW.shape].append(index)
    return [
        indices[start : start + BATCH_MAX]
        for indices in by_shape.values()
        for start in range(0, len(indices), BATCH_MAX)
    ]


def mean_of(views: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Mean over the views of one image: float32 [H, W]."""
    return views[0] if len(views) == 1 else np.asarray(np.mean(views, axis=0), np.float32)
