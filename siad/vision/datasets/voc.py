"""Pascal VOC: boxes in XML, masks as PNG with a palette.

Class 0 is the background, 255 ("void") is unsure, as VOC has it. Every pixel of a mask is kept.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from siad.vision.datasets.instances import Instance, split_instances
from siad.vision.datasets.palette import write_indexed
from siad.vision.datasets.samples import DatasetClasses, DatasetSample, EndFile, Rows, SampleFiles
from siad.vision.masks import IGNORE

IMAGES, CLASSES, OBJECTS = "JPEGImages", "SegmentationClass", "SegmentationObject"
LABELS: Final = "labelmap.txt"
VOID: Final = 255
_LIST: Final = "ImageSets/Segmentation/default.txt"
_VOID_RGB: Final = (224, 224, 192)


class VocWriter:
    """Writer of Pascal VOC."""

    def __init__(self, classes: DatasetClasses) -> None:
        self._classes = classes
        colours = [classes.colour(number) for number in range(len(classes.names))]
        self._class_colours = _palette(colours)
        self._object_colours = _palette([_object_colour(number) for number in range(1, VOID)])

    def add(self, sample: DatasetSample) -> SampleFiles:
        """Write a sample: its image, XML and two masks."""
        found = split_instances(sample.mask_HW, sample.objects)
        classes_HW = np.zeros_like(sample.mask_HW)
        objects_HW = np.zeros_like(sample.mask_HW)
        for number, one in enumerate(found, start=1):
            height, width = one.inside_hw.shape
            box = (slice(one.y, one.y + height), slice(one.x, one.x + width))
            classes_HW[box][one.inside_hw] = self._classes.number(one.class_name) + 1
            objects_HW[box][one.inside_hw] = number
        for indices_HW in (classes_HW, objects_HW):
            indices_HW[sample.mask_HW == IGNORE] = VOID
        return SampleFiles(
            image=f"{IMAGES}/{sample.file_name}",
            files=(
                (f"Annotations/{sample.name}.xml", self._xml(sample, found)),
                (f"{CLASSES}/{sample.name}.png", write_indexed(classes_HW, self._class_colours)),
                (f"{OBJECTS}/{sample.name}.png", write_indexed(objects_HW, self._object_colours)),
            ),
            rows={"list": f"{sample.name}\n".encode()},
        )

    def end(self) -> Sequence[EndFile]:
        """Write the list of samples and the classes with their colours."""
        lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
        for number, name in enumerate(self._classes.names):
            red, green, blue = self._classes.colour(number)
            lines.append(f"{name}:{red},{green},{blue}::")
        labels = "".join(f"{line}\n" for line in lines).encode()
        return [EndFile(path=_LIST, pieces=(Rows("list"),)), EndFile(path=LABELS, pieces=(labels,))]

    def summary(self) -> Mapping[str, Any]:
        """Nothing is lost."""
        return {}

    def _xml(self, sample: DatasetSample, found: Sequence[Instance]) -> bytes:
        objects = "".join(
            f"<object><name>{escape(self._classes.names[self._classes.number(one.class_name)])}</name>"
            "<pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
            f"<bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>"
            f"<xmax>{x + width}</xmax><ymax>{y + height}</ymax></bndbox>"
            "</object>\n"
            for one in found
            for x, y, width, height in [one.box]
        )
        return (
            f"<annotation><folder>{IMAGES}</folder><filename>{escape(sample.file_name)}</filename>"
            f"<size><width>{sample.width_px}</width><height>{sample.height_px}</height><depth>3</depth></size>"
            f"<segmented>1</segmented>\n{objects}</annotation>\n"
        ).encode()


def _palette(colours: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Colours of all indices: background, these, and void."""
    unused = [(0, 0, 0)] * (VOID - 1 - len(colours))
    return [(0, 0, 0), *colours, *unused, _VOID_RGB]


def _object_colour(number: int) -> tuple[int, int, int]:
    """Colour of an instance by VOC's own rule.

    The bits of its number are spread over the channels.
    """
    red = green = blue = 0
    for bit in range(8):
        red |= (number >> (3 * bit) & 1) << (7 - bit)
        green |= (number >> (3 * bit + 1) & 1) << (7 - bit)
        blue |= (number >> (3 * bit + 2) & 1) << (7 - bit)
    return red, green, blue
