"""Split of a folder into the roles of the routine. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Sample = TypeVar("Sample")

DEFECTS_MIN = 2  # online, and again for the test


class TooFewError(ValueError):
    """A folder with fewer images than the routine needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePool(Generic[Sample]):
    """Images to draw from."""

    normals: Sequence[Sample]  # known to be good
    goods: Sequence[Sample]  # good too, but labelled only for the test
    defects: Sequence[Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutineShift(Generic[Sample]):
    """Images of one run, by role. No image has two roles."""

    normals: tuple[Sample, ...]  # the teacher is fitted on them
    online: tuple[Sample, ...]  # good and defective ones, mixed, without labels
    test: tuple[Sample, ...]  # neither model was fitted on them


def draw_few(pool: ImagePool[Sample], *, shots: int, online: int, defects: int, seed: int) -> RoutineShift[Sample]:
    """Draw a few-shot split: ``shots`` normals, ``online`` images, ``defects`` for the test.

    Args:
        pool: images of the folder.
        shots: normals to fit on.
        online: images without labels, with the folder's ratio of good and defective ones.
        defects: defective images of the test; every good image that is not online is added.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRoles:
    """Number of images of each role, by label."""

    shots: int  # normals to fit on
    goods: int  # good images online
    defects: int  # defective images online
    test: int  # defective images of the test, and good ones at most


def draw_stream(pool: ImagePool[Sample], roles: StreamRoles, *, seed: int) -> RoutineShift[Sample]:
    """Draw a split with few defects online, as a line has.

    Good images that no other role has come from both folders of good ones: those to fit on and those of the test.

    Raises:
        TooFewError: the folder has fewer.
    """
    rng = np.random.default_rng(seed)
    normals, found = _shuffled(pool.normals, rng), _shuffled(pool.defects, rng)
    _require("normals in train/good", len(normals), roles.shots)
    goods = [*_shuffled(pool.goods, rng), *normals[roles.shots :]]
    _require("images to show online (--online)", roles.goods + roles.defects, DEFECTS_MIN + 1)
    _require("defective images online (--online-defects)", roles.defects, DEFECTS_MIN)
    _require("good images besides the normals", len(goods), roles.goods + 2)
    _require("defective images under test", len(found), roles.defects + roles.test)
    tested = min(roles.test, len(goods) - roles.goods)
    return RoutineShift(
        normals=tuple(normals[: roles.shots]),
        online=tuple(_shuffled([*goods[tested : tested + roles.goods], *found[: roles.defects]], rng)),
        test=(*goods[:tested], *found[roles.defects : roles.defects + roles.test]),
    )


def draw_whole(pool: ImagePool[Sample], *, normals_max: int, seed: int) -> RoutineShift[Sample]:
    """Draw the whole folder: all normals, half online, half test.

    Args:
        pool: images of the folder.
        normals_max: normals that a teacher is fitted on at most, as in the labeler.
        seed: of the draw.

    Raises:
        TooFewError: the folder has too few images to halve.
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


def _share_of_defects(pool: ImagePool[Sample], online: int) -> int:
    """Number of defective ``online`` images.

    The folder's ratio, with both kinds online and one good image for the test.
    """
    goods = len(pool.goods)
    _require("images to show online (--online)", online, DEFECTS_MIN + 1)
    _require("good images in test/good", goods, 2)
    share = round(online * len(pool.defects) / max(1, goods + len(pool.defects)))
    return min(max(share, DEFECTS_MIN, online - (goods - 1)), online - 1)


def _require(what: str, found: int, least: int) -> None:
    if found < least:
        msg = f"{found} {what}, {least} needed; nothing was fitted. Use a larger folder or request fewer"
        raise TooFewError(msg)


def _shuffled(things: Sequence[Sample], rng: np.random.Generator) -> list[Sample]:
    return [things[index] for index in rng.permutation(len(things))]
