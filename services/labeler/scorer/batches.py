"""Batches of captures, split so that a failure fails one capture.

Needs neither Ray nor torch.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self

from siad.contracts.normals_profile import SizeRule
from siad.vision.decide import Finding
from siad.vision.images import Image
from siad.vision.plausibility import Misfit


class BatchPredictor(Protocol):
    """One set of weights, ready."""

    def at_threshold(self, image_threshold: float | None) -> Self:
        """Judge by another image threshold, with the same network."""
        ...

    def examine(self, images: Sequence[Image], *, sizes: SizeRule) -> list[Finding | Misfit]:
        """Judge decoded images that fit the normals, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class BatchItem:
    """An image, and how it is judged."""

    image_HWC: Image
    predictor: BatchPredictor
    sizes: SizeRule = SizeRule.NORMALS
    image_threshold: float | None = None  # None: that of the manifest


Examination = Callable[[Sequence[Image]], list[Finding | Misfit]]
Run = Callable[[Examination, Sequence[Image]], Awaitable[list[Finding | Misfit]]]


async def examine_batch(items: Sequence[BatchItem], *, run: Run) -> list[Finding | Misfit | Exception]:
    """Judge every image by its own weights.

    Images of equal weights, thresholds and size rules are judged together, and one by one where they fail together.

    Args:
        items: images and the weights that judge them.
        run: awaits a computation on another thread.

    Returns:
        In the order of ``items``: the finding, or why this one could not be judged.
    """
    indices_of: dict[tuple[int, SizeRule, float | None], list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        indices_of[id(item.predictor), item.sizes, item.image_threshold].append(index)
    results: dict[int, Finding | Misfit | Exception] = {}
    for indices in indices_of.values():
        first, images = items[indices[0]], [items[index].image_HWC for index in indices]
        examine = partial(first.predictor.at_threshold(first.image_threshold).examine, sizes=first.sizes)
        results |= dict(zip(indices, await _examine(examine, images, run), strict=True))
    return [results[index] for index in range(len(items))]


async def _examine(examine: Examination, images: Sequence[Image], run: Run) -> Sequence[Finding | Misfit | Exception]:
    [result] = await asyncio.gather(run(examine, images), return_exceptions=True)
    if isinstance(result, list):
        return result
    if not isinstance(result, Exception):
        raise result
    if len(images) == 1:
        return [result]
    return [finding for image in images for finding in await _examine(examine, [image], run)]
