"""Marks of a mask as instances, with run lengths and outlines.

A correction stores one mask, and for each mark its box and class. Pixels go to the mark whose box holds them; together
the instances are the defects of the mask, pixel by pixel, and no pixel is in two.

Shape suffixes: H, W = size of the image, h, w = size of a box.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.contracts.marked_objects import MarkedObject, ObjectFate
from siad.vision.mask_objects import Mask
from siad.vision.masks import DEFECT

_FREE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """Pixels of one mark."""

    x: int  # of the box, px of the image
    y: int
    inside_hw: Mask  # bool [h, w]
    class_name: str  # empty where none was named
    mark: MarkedObject | None = None  # None: pixels of no mark

    @property
    def area_px(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.inside_hw))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, width and height in pixels."""
        height, width = self.inside_hw.shape
        return self.x, self.y, width, height


def split_instances(mask_HW: NDArray[np.uint8], marks: Sequence[MarkedObject]) -> list[Instance]:
    """Split the defects of a mask by the boxes of marks.

    A connected part belongs to the smallest box that holds it whole; where none does, each of its pixels to the
    smallest box around it. Pixels in no box are one more instance, the last.
    """
    defect_HW = mask_HW == DEFECT
    kept = sorted((one for one in marks if one.fate is not ObjectFate.DELETED), key=lambda one: one.width * one.height)
    count, labels_HW, stats, _ = cv2.connectedComponentsWithStats(defect_HW.astype(np.uint8), connectivity=8)
    owners = _owners(stats[1:count, :4], kept)
    owner_HW = np.concatenate(([_FREE], owners)).astype(np.int32)[labels_HW]
    owner_HW[~defect_HW] = _FREE
    is_shared_HW = defect_HW & (owner_HW == _FREE)
    for number in reversed(range(len(kept))):  # the smallest box last
        box = _slices(kept[number])
        owner_HW[box][is_shared_HW[box]] = number
    found: list[Instance | None] = []
    for number, one in enumerate(kept):
        box = _slices(one)
        found.append(_crop(owner_HW[box] == number, one, x=box[1].start, y=box[0].start))
    found.append(_crop(defect_HW & (owner_HW == _FREE), None))
    return [one for one in found if one is not None]


def _owners(boxes: NDArray[np.int32], marks: Sequence[MarkedObject]) -> NDArray[np.int32]:
    """Number of the smallest box around each part; -1 without one."""
    if not marks:
        return np.full(len(boxes), _FREE, np.int32)
    around = np.array([(one.x, one.y, one.x + one.width, one.y + one.height) for one in marks])
    starts, ends = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:]
    holds = np.all(starts >= around[None, :, :2], axis=2) & np.all(ends <= around[None, :, 2:], axis=2)
    found: NDArray[np.int32] = np.where(np.any(holds, axis=1), np.argmax(holds, axis=1), _FREE).astype(np.int32)
    return found


def _slices(mark: MarkedObject) -> tuple[slice, slice]:
    return slice(mark.y, mark.y + mark.height), slice(mark.x, mark.x + mark.width)


def _crop(inside: Mask, mark: MarkedObject | None, *, x: int = 0, y: int = 0) -> Instance | None:
    """Cut an instance to its box; None without a pixel."""
    left, top, width, height = cv2.boundingRect(inside.astype(np.uint8)) if inside.size else (0, 0, 0, 0)
    if not width:
        return None
    cut = inside[top : top + height, left : left + width].copy()
    return Instance(x=x + left, y=y + top, inside_hw=cut, class_name=mark.class_name if mark else "", mark=mark)


def runs_in_image(instance: Instance, *, size: tuple[int, int]) -> list[int]:
    """Run lengths of an instance in its whole image.

    As ``siad.vision.mask_objects.runs_of``, without a mask of the size of the image.

    Args:
        instance: the pixels.
        size: height and width of the image.
    """
    height, width = size
    column = np.zeros((height, instance.inside_hw.shape[1]), np.int8)
    column[instance.y : instance.y + instance.inside_hw.shape[0]] = instance.inside_hw
    changes = np.flatnonzero(np.diff(column.ravel(order="F"), prepend=0, append=0)) + instance.x * height
    runs = np.diff([0, *changes.tolist(), height * width]).tolist()
    return runs[:-1] if runs[-1] == 0 else list(runs)


def outlines_of(inside_hw: Mask) -> list[list[tuple[int, int]]]:
    """Outline a mask along the edges of its pixels, exactly.

    Outer outlines run clockwise, those of holes the other way; parts that only touch at a corner have outlines of
    their own. Filled by the even-odd rule they are the mask again.

    Returns:
        Corners x, y of the pixels at which an outline turns.
    """
    around = np.pad(inside_hw.astype(np.int8), 1)
    across = np.diff(around, axis=0)[:, 1:-1]  # [h + 1, w]: 1 where the mask begins below the edge
    along = np.diff(around, axis=1)[1:-1]  # [h, w + 1]: 1 where it begins to the right
    following: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for rows, step in ((np.argwhere(across == 1), 1), (np.argwhere(across == -1), -1)):
        for y, x in rows.tolist():
            following[x + (step < 0), y].append((step, 0))
    for rows, step in ((np.argwhere(along == 1), -1), (np.argwhere(along == -1), 1)):
        for y, x in rows.tolist():
            following[x, y + (step < 0)].append((0, step))
    found = []
    while following:
        start = next(iter(following))
        found.append(_follow(start, following))
    return found


def _follow(start: tuple[int, int], following: dict[tuple[int, int], list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Take one closed outline out of the edges."""
    corners: list[tuple[int, int]] = []
    at, heading = start, (0, 0)
    while True:
        steps = following[at]
        right = (-heading[1], heading[0])
        step = right if right in steps else steps[0]  # at a shared corner stay with the same part
        steps.remove(step)
        if not steps:
            del following[at]
        if step != heading:
            corners.append(at)
        at, heading = (at[0] + step[0], at[1] + step[1]), step
        if at == start:
            return corners


def is_outer(corners: Sequence[tuple[int, int]]) -> bool:
    """Whether an outline goes around pixels, not around a hole."""
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], *corners[:1]], strict=True)) > 0
