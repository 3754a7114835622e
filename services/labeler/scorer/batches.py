"""Batches of captures, split so that a failure fails one capture.

Needs neither Ray nor torch.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from siad.vision.decide import Finding
from siad.vision.images import Image


class BatchPredictor(Protocol):
    """One set of weights, ready."""

    def predict(self, images: Sequence[Image], /) -> list[Finding]:
        """Judge decoded images, in their order."""
        ...


Run = Callable[[Callable[[Sequence[Image]], list[Finding]], Sequence[Image]], Awaitable[list[Finding]]]


async def examine_batch(items: Sequence[tuple[Image, BatchPredictor]], *, run: Run) -> list[Finding | Exception]:
    """Judge every image by its own weights.

    Images of equal weights are judged together, and one by one where they fail together.

    Args:
        items: an image and the weights that judge it.
        run: awaits a computation on another thread.

    Returns:
        In the order of ``items``: the finding, or why this one could not be judged.
    """
    indices_of: dict[int, list[int]] = defaultdict(list)
    for index, (_, predictor) in enumerate(items):
        indices_of[id(predictor)].append(index)
    results: dict[int, Finding | Exception] = {}
    for indices in indices_of.values():
        predictor, images = items[indices[0]][1], [items[index][0] for index in indices]
        results |= dict(zip(indices, await _examine(predictor, images, run), strict=True))
    return [results[index] for index in range(len(items))]


async def _examine(predictor: BatchPredictor, images: Sequence[Image], run: Run) -> Sequence[Finding | Exception]:
    [result] = await asyncio.gather(run(predictor.predict, images), return_exceptions=True)
    if isinstance(result, list):
        return result
    if not isinstance(result, Exception):
        raise result
    if len(images) == 1:
        return [result]
    return [finding for image in images for finding in await _examine(predictor, [image], run)]
