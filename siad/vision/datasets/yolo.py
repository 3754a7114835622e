"""YOLO: polygons in text, one line a part.

A polygon has no hole and no unsure pixel, so this format loses some. What it loses is told as IoU: the written text is
filled again and compared with the mask.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from siad.vision.datasets.instances import is_outer, outlines_of, split_instances
from siad.vision.datasets.samples import DatasetClasses, DatasetSample, EndFile, Rows, SampleFiles
from siad.vision.mask_objects import Mask, fill_polygon
from siad.vision.masks import DEFECT, IGNORE

IMAGES, LABELS = "images/train", "labels/train"
CLASSES: Final = "data.yaml"
_DIGITS: Final = 7  # behind the point; a thousandth of a pixel in 8192


class YoloWriter:
    """Writer of YOLO, with a tally of what it lost."""

    def __init__(self, classes: DatasetClasses) -> None:
        self._classes = classes
        self._both_px = self._either_px = self._unsure_px = 0
        self._least = 1.0

    def add(self, sample: DatasetSample) -> SampleFiles:
        """Write a sample: its image, and a line for each outline."""
        size = (sample.height_px, sample.width_px)
        lines = []
        for one in split_instances(sample.mask_HW, sample.objects):
            number = self._classes.number(one.class_name)
            for corners in outlines_of(one.inside_hw):
                if is_outer(corners):
                    placed = [(x + one.x, y + one.y) for x, y in corners]
                    lines.append(_line(number, placed, sample.width_px, sample.height_px))
        read_HW = np.zeros(size, np.bool_)
        for line in lines:
            read_HW |= read_line(line, size=size)[1]
        defect_HW = sample.mask_HW == DEFECT
        both, either = int((read_HW & defect_HW).sum()), int((read_HW | defect_HW).sum())
        unsure = int((sample.mask_HW == IGNORE).sum())
        iou = both / either if either else 1.0
        self._both_px, self._either_px, self._unsure_px = (
            self._both_px + both,
            self._either_px + either,
            self._unsure_px + unsure,
        )
        self._least = min(self._least, iou)
        text = "".join(f"{line}\n" for line in lines).encode()
        path = f"{IMAGES}/{sample.file_name}"
        return SampleFiles(
            image=path,
            files=((f"{LABELS}/{sample.name}.txt", text),),
            rows={"train": f"./{path}\n".encode()},
            facts={"iou": round(iou, 6), "unsure_px": unsure},
        )

    def end(self) -> Sequence[EndFile]:
        """Write the list of images and the classes."""
        names = "".join(f"  {number}: {json.dumps(name)}\n" for number, name in enumerate(self._classes.names))
        text = f"path: .\ntrain: train.txt\nval: train.txt\nnames:\n{names}".encode()
        return [EndFile(path="train.txt", pieces=(Rows("train"),)), EndFile(path=CLASSES, pieces=(text,))]

    def summary(self) -> Mapping[str, Any]:
        """IoU of the text with the masks, and of the worst sample."""
        iou = self._both_px / self._either_px if self._either_px else 1.0
        return {"iou": round(iou, 6), "iou_least": round(self._least, 6), "unsure_px": self._unsure_px}


def _line(number: int, corners: Sequence[tuple[int, int]], width: int, height: int) -> str:
    values = [f"{x / width:.{_DIGITS}g} {y / height:.{_DIGITS}g}" for x, y in corners]
    return f"{number} {' '.join(values)}"


def read_line(line: str, *, size: tuple[int, int]) -> tuple[int, Mask]:
    """Read a line: number of the class, and its pixels.

    Args:
        line: class, then x and y of each corner, 0 to 1 of the image.
        size: height and width of the image.

    Raises:
        ValueError: it is no polygon of three corners or more in the image.
    """
    height, width = size
    first, *values = line.split()
    numbers = [float(value) for value in values]
    if len(numbers) < 6 or len(numbers) % 2:
        msg = f"a line with {len(numbers)} numbers behind the class; a polygon has x and y of three corners or more"
        raise ValueError(msg)
    if not all(0 <= number <= 1 for number in numbers):
        msg = "a corner outside of the image; all numbers are 0 to 1"
        raise ValueError(msg)
    points = [(round(2 * x * width), round(2 * y * height)) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
    return int(first), fill_polygon(points, size=size)
