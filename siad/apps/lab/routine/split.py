"""Which images a line is shown, in which role: the paper's routine, few-shot and whole. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Shown = TypeVar("Shown")  # whatever names an image

DEFECTS_MIN = 2  # shown to the line, and again to test by


class TooFewError(ValueError):
    """The folder has not the images that the routine needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePool(Generic[Shown]):
    """What there is to draw from."""

    normals: Sequence[Shown]  # known to be good
    goods: Sequence[Shown]  # good as well, but only the test knows
    defects: Sequence[Shown]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutineShift(Generic[Shown]):
    """What a line is shown. No image has two roles."""

    normals: tuple[Shown, ...]  # to fit the teacher on
    online: tuple[Shown, ...]  # good and defective ones, mixed, that nobody has labelled
    test: tuple[Shown, ...]  # seen by neither teacher nor segmenter before


def draw_few(pool: ImagePool[Shown], *, shots: int, online: int, defects: int, seed: int) -> RoutineShift[Shown]:
    """Draw a few: ``shots`` normals, ``online`` images as mixed as the folder is, ``defects`` to test by.

    Args:
        pool: what there is.
        shots: normals to fit on.
        online: images without a label; good and defective in the share that the folder has of both.
        defects: defective images of the test; to them comes every good image that was not shown.
        seed: of the draw.

    Raises:
        TooFewError: the folder has fewer.
    """
    _require("normals in train/good", len(pool.normals), shots)
    bad = _share_of_defects(pool, online)
    _require("defective images under test", len(pool.defects), bad + defects)
    rng = np.random.default_rng(seed)
    normals, goods = _shuffled(pool.normals, rng), _shuffled(pool.goods, rng)
    found = _shuffled(pool.defects, rng)
    shown = [*goods[: online - bad], *found[:bad]]
    return RoutineShift(
        normals=tuple(normals[:shots]),
        online=tuple(_shuffled(shown, rng)),
        test=(*goods[online - bad :], *found[bad : bad + defects]),
    )


def draw_whole(pool: ImagePool[Shown], *, normals_max: int, seed: int) -> RoutineShift[Shown]:
    """Draw everything: all normals, half of the rest online, the other half to test by.

    Args:
        pool: what there is.
        normals_max: that a teacher is fitted on; the labeler takes no more either.
        seed: of the draw.

    Raises:
        TooFewError: there is nothing to halve.
    """
    _require("normals in train/good", len(pool.normals), 2)
    _require("good images in test/good", len(pool.goods), 2)
    _require("defective images under test", len(pool.defects), 2 * DEFECTS_MIN)
    rng = np.random.default_rng(seed)
    goods, defects = _shuffled(pool.goods, rng), _shuffled(pool.defects, rng)
    half, middle = len(goods) // 2, len(defects) // 2
    return RoutineShift(
        normals=tuple(_shuffled(pool.normals, rng)[:normals_max]),
        online=tuple(_shuffled([*goods[:half], *defects[:middle]], rng)),
        test=(*goods[half:], *defects[middle:]),
    )


def _share_of_defects(pool: ImagePool[Shown], online: int) -> int:
    """How many of ``online`` images are defective: as in the folder, some of either kind, and a good one is kept."""
    goods = len(pool.goods)
    _require("images to show online (--online)", online, DEFECTS_MIN + 1)
    _require("good images in test/good", goods, 2)
    share = round(online * len(pool.defects) / max(1, goods + len(pool.defects)))
    return min(max(share, DEFECTS_MIN, online - (goods - 1)), online - 1)


def _require(what: str, found: int, least: int) -> None:
    if found < least:
        msg = f"{found} {what}, {least} needed; nothing was drawn. Give a larger folder or ask for fewer"
        raise TooFewError(msg)


def _shuffled(things: Sequence[Shown], rng: np.random.Generator) -> list[Shown]:
    return [things[index] for index in rng.permutation(len(things))]
