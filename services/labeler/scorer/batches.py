"""A batch as Serve fills it, with captures of any line, taken apart so that nobody's failure is another's.

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
    """Judge every image by its own weights: those of equal weights together, and one by one where they fail together.

    Args:
        items: an image and the weights that judge it.
        run: awaits a call that computes, elsewhere.

    Returns:
        In the order of ``items``: what was found, or why this one could not be judged.
    """
    alike: dict[int, list[int]] = defaultdict(list)
    for index, (_, judge) in enumerate(items):
        alike[id(judge)].append(index)
    answers: dict[int, Finding | Exception] = {}
    for indices in alike.values():
        judge, images = items[indices[0]][1], [items[index][0] for index in indices]
        answers |= dict(zip(indices, await _examine(judge, images, run), strict=True))
    return [answers[index] for index in range(len(items))]


async def _examine(judge: BatchPredictor, images: Sequence[Image], run: Run) -> Sequence[Finding | Exception]:
    [answer] = await asyncio.gather(run(judge.predict, images), return_exceptions=True)
    if isinstance(answer, list):
        return answer
    if not isinstance(answer, Exception):
        raise answer
    if len(images) == 1:
        return [answer]
    return [one for image in images for one in await _examine(judge, [image], run)]
