"""COCO: one JSON with images, categories and annotations as compressed run lengths.

Unsure pixels are one annotation with ``iscrowd`` 1, which evaluations ignore, as COCO means it. Every pixel of a mask
is kept.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from siad.vision.datasets.instances import Instance, runs_in_image, split_instances
from siad.vision.datasets.runs import write_runs
from siad.vision.datasets.samples import DatasetClasses, DatasetSample, EndFile, Rows, SampleFiles
from siad.vision.masks import IGNORE

ANNOTATIONS: Final = "annotations/instances.json"
IMAGES: Final = "images"
_IMAGES, _MARKS = "images", "annotations"


class CocoWriter:
    """Writer of COCO.

    Ids count from 1 in the order of the samples.
    """

    def __init__(self, classes: DatasetClasses) -> None:
        self._classes = classes
        self._images = self._marks = 0

    def add(self, sample: DatasetSample) -> SampleFiles:
        """Write a sample: its image, and rows of the JSON."""
        self._images += 1
        image = {
            "id": self._images,
            "file_name": sample.file_name,
            "width": sample.width_px,
            "height": sample.height_px,
        }
        marks = [self._annotation(one, sample, is_crowd=False) for one in _instances(sample)]
        unsure_HW = sample.mask_HW == IGNORE
        if unsure_HW.any():
            marks.append(
                self._annotation(Instance(x=0, y=0, inside_hw=unsure_HW, class_name=""), sample, is_crowd=True)
            )
        is_first = self._images == 1
        rows = {_IMAGES: (b"" if is_first else b",\n") + _json(image)}
        if marks:
            is_first = self._marks == len(marks)
            rows[_MARKS] = (b"" if is_first else b",\n") + b",\n".join(_json(one) for one in marks)
        return SampleFiles(image=f"{IMAGES}/{sample.file_name}", rows=rows)

    def end(self) -> Sequence[EndFile]:
        """Write the JSON of all samples."""
        categories = [
            {"id": number + 1, "name": name, "color": list(self._classes.colour(number))}
            for number, name in enumerate(self._classes.names)
        ]
        head = b'{"info":{"description":"SIAD"},"licenses":[],"categories":' + _json(categories)
        pieces = (head, b',\n"images":[\n', Rows(_IMAGES), b'\n],"annotations":[\n', Rows(_MARKS), b"\n]}\n")
        return [EndFile(path=ANNOTATIONS, pieces=pieces)]

    def summary(self) -> Mapping[str, Any]:
        """Nothing is lost."""
        return {}

    def _annotation(self, one: Instance, sample: DatasetSample, *, is_crowd: bool) -> dict[str, Any]:
        self._marks += 1
        size = (sample.height_px, sample.width_px)
        found: dict[str, Any] = {
            "id": self._marks,
            "image_id": self._images,
            "category_id": self._classes.number(one.class_name) + 1,
            "segmentation": {"size": list(size), "counts": write_runs(runs_in_image(one, size=size))},
            "area": one.area_px,
            "bbox": list(_tight_box(one)),
            "iscrowd": int(is_crowd),
        }
        if one.mark is not None:
            found["attributes"] = {"origin": one.mark.origin.value, "fate": one.mark.fate.value}
        return found


def _instances(sample: DatasetSample) -> list[Instance]:
    return split_instances(sample.mask_HW, sample.objects)


def _tight_box(one: Instance) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(one.inside_hw.any(axis=1)), np.flatnonzero(one.inside_hw.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return one.x + left, one.y + top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
