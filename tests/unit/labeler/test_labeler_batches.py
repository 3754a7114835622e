"""A batch holds captures of any line; no failure spreads to another line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from services.labeler.scorer.batches import BatchItem, examine_batch
from siad.contracts.normals_profile import MisfitReason, SizeRule
from siad.vision.decide import Finding
from siad.vision.images import Image
from siad.vision.plausibility import Misfit

Call = Callable[[Sequence[Image]], list[Finding | Misfit]]


@dataclass
class Teacher:
    """Scores an image by its first pixel, and falls over those that are 13."""

    shift: float = 0.0
    batches: list[int] = field(default_factory=list)
    rules: list[SizeRule] = field(default_factory=list)
    thresholds: list[float | None] = field(default_factory=list)

    def at_threshold(self, image_threshold: float | None) -> Self:
        self.thresholds.append(image_threshold)
        return self

    def examine(self, images: Sequence[Image], *, sizes: SizeRule) -> list[Finding | Misfit]:
        self.rules.append(sizes)
        self.batches.append(len(images))
        pixels = [float(image[0, 0, 0]) for image in images]
        if 13 in pixels:
            msg = "13 is no good"
            raise ZeroDivisionError(msg)
        mask_HW = np.zeros((1, 1), np.uint8)
        if sizes is SizeRule.NORMALS and 7 in pixels:
            return [Misfit(MisfitReason.SIZE, "7 is too small") for _ in pixels]
        return [
            Finding(
                score=pixel + self.shift,
                is_defect=False,
                mask_HW=mask_HW,
                regions=(),
                defect_ratio=0.0,
                confidence=1.0,
                pseudo_mask_HW=mask_HW,
            )
            for pixel in pixels
        ]


async def run(call: Call, images: Sequence[Image]) -> list[Finding | Misfit]:
    return call(images)


def image(pixel: int) -> Image:
    return np.full((1, 1, 1), pixel, np.uint8)


def scores(found: Sequence[Finding | Misfit | Exception]) -> list[float | str]:
    return [one.score if isinstance(one, Finding) else type(one).__name__ for one in found]


async def test_every_image_is_judged_by_its_own_teacher_and_answers_keep_their_order() -> None:
    a, b = Teacher(0.25), Teacher(0.5)
    found = await examine_batch(
        [BatchItem(image(1), a), BatchItem(image(2), b), BatchItem(image(3), a), BatchItem(image(4), b)], run=run
    )
    assert scores(found) == [1.25, 2.5, 3.25, 4.5]
    assert (a.batches, b.batches) == ([2], [2])


async def test_an_image_that_no_network_can_take_fails_alone() -> None:
    a, b = Teacher(), Teacher()
    found = await examine_batch(
        [BatchItem(image(1), a), BatchItem(image(13), a), BatchItem(image(2), b), BatchItem(image(3), a)], run=run
    )
    assert scores(found) == [1.0, "ZeroDivisionError", 2.0, 3.0]
    assert (a.batches, b.batches) == ([3, 1, 1, 1], [1])


async def test_a_batch_of_one_that_fails_is_not_tried_twice() -> None:
    a = Teacher()
    assert scores(await examine_batch([BatchItem(image(13), a)], run=run)) == ["ZeroDivisionError"]
    assert a.batches == [1]


async def test_images_under_different_thresholds_are_judged_apart() -> None:
    a = Teacher()
    items = [BatchItem(image(1), a), BatchItem(image(2), a, image_threshold=4.5), BatchItem(image(3), a)]
    assert scores(await examine_batch(items, run=run)) == [1.0, 2.0, 3.0]
    assert (a.batches, a.thresholds) == ([2, 1], [None, 4.5])


async def test_images_under_different_size_rules_are_judged_apart() -> None:
    a = Teacher()
    items = [BatchItem(image(7), a), BatchItem(image(7), a, SizeRule.ANY), BatchItem(image(7), a)]
    assert scores(await examine_batch(items, run=run)) == ["Misfit", 7.0, "Misfit"]
    assert (a.batches, a.rules) == ([2, 1], [SizeRule.NORMALS, SizeRule.ANY])
