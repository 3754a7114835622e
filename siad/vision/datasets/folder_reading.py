"""Readers of Pascal VOC, YOLO, mask PNG and MVTec."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from siad.vision.datasets import folders, voc, yolo
from siad.vision.datasets.palette import read_indexed
from siad.vision.datasets.reading import (
    DatasetError,
    DatasetFiles,
    ReadMarks,
    ReadSample,
    Size,
    images_below,
    is_image,
    largest,
    make_mark,
    objects_of,
    read_facts,
    stem_of,
)
from siad.vision.datasets.samples import WITHOUT_CLASS
from siad.vision.headers import ImageError
from siad.vision.mask_objects import Mask
from siad.vision.masks import DEFECT, IGNORE, decode_mask

_NAME: Final = re.compile(r"""\s*(?:-|(?:\d+)\s*:)\s*["']?(.+?)["']?\s*(?:\#.*)?""")
_LINES_MAX: Final = 10_000  # of one file of labels


def read_voc(files: DatasetFiles) -> Iterator[ReadSample]:
    """Read the samples of Pascal VOC that have a mask of classes.

    Raises:
        DatasetError: a mask has no image, or there is no list of classes.
    """
    facts, images = read_facts(files), images_below(files.names, voc.IMAGES)
    classes = _labels(files)
    names = set(files.names)
    for path in files.names:
        if not path.startswith(f"{voc.CLASSES}/") or not path.endswith(".png"):
            continue
        name = stem_of(path)
        image = _require_image(images, name, path)
        instances = f"{voc.OBJECTS}/{name}.png"
        draw = partial(_draw_voc, files, (path, instances if instances in names else ""), classes)
        of_capture = facts.get(image, {})
        yield ReadSample(image=image, draw=draw, is_normal=of_capture.get("intent") == "normal", facts=of_capture)


def _labels(files: DatasetFiles) -> list[str]:
    """Names by index, from the label map of CVAT.

    Index 0 is the background.
    """
    if voc.LABELS not in files.names:
        msg = f"{voc.LABELS} is missing, so classes have no names. Add a line name:r,g,b:: for each"
        raise DatasetError(msg)
    lines = [line.strip() for line in files.read(voc.LABELS).decode(errors="replace").splitlines()]
    return [line.split(":", 1)[0] for line in lines if line and not line.startswith("#")]


def _draw_voc(files: DatasetFiles, paths: tuple[str, str], classes: Sequence[str], size: Size) -> ReadMarks:
    path, instances = paths
    classes_HW = _sized(_indices(files, path), size, path)
    objects_HW = _sized(_indices(files, instances), size, instances) if instances else classes_HW
    mask_HW = np.zeros(size, np.uint8)
    mask_HW[classes_HW == voc.VOID] = IGNORE
    is_defect_HW = (classes_HW != 0) & (classes_HW != voc.VOID)
    mask_HW[is_defect_HW] = DEFECT
    pairs = np.unique(classes_HW[is_defect_HW].astype(np.int32) * 256 + objects_HW[is_defect_HW])
    objects = []
    for pair in pairs.tolist():
        number, instance = divmod(pair, 256)
        if number >= len(classes):
            msg = f"{path} has class {number}, and {voc.LABELS} names {len(classes)}. Add its line"
            raise DatasetError(msg)
        name = classes[number]
        objects.append(
            make_mark((classes_HW == number) & (objects_HW == instance), "" if name == WITHOUT_CLASS else name)
        )
    return ReadMarks(mask_HW, largest(objects))


def _indices(files: DatasetFiles, path: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        return read_indexed(files.read(path))
    except ImageError as error:
        msg = f"{path}: {error}. Save it with a palette of 8 bits"
        raise DatasetError(msg) from error


def _sized(found_HW: np.ndarray[Any, np.dtype[np.uint8]], size: Size, path: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if found_HW.shape != size:
        height, width = found_HW.shape
        msg = f"{path} has {width}x{height} px, and its image {size[1]}x{size[0]} px. Save the mask at the image's size"
        raise DatasetError(msg)
    return found_HW


def read_yolo(files: DatasetFiles) -> Iterator[ReadSample]:
    """Read the samples of YOLO: images with their labels.

    Raises:
        DatasetError: labels have no image, or there is no list of classes.
    """
    facts = read_facts(files)
    images = images_below(files.names, "images")
    classes = _yolo_classes(files)
    for path in files.names:
        if path.startswith("labels/") and path.endswith(".txt"):
            image = _require_image(images, stem_of(path), path)
            of_capture = facts.get(image, {})
            is_normal = of_capture.get("intent") == "normal"
            yield ReadSample(
                image=image, draw=partial(_draw_yolo, files, path, classes), is_normal=is_normal, facts=of_capture
            )


def _yolo_classes(files: DatasetFiles) -> list[str]:
    """Names by number, from ``data.yaml``: a block or a list in brackets."""
    if yolo.CLASSES not in files.names:
        msg = f"{yolo.CLASSES} is missing, so the numbers of classes have no names. Add it with names:"
        raise DatasetError(msg)
    text = files.read(yolo.CLASSES).decode(errors="replace")
    head, found, tail = text.partition("names:")
    if not found or (head and not head.endswith("\n")):
        msg = f"{yolo.CLASSES} has no names:. Add the name of each class below it"
        raise DatasetError(msg)
    first, _, rest = tail.partition("\n")
    if first.strip():
        return [one.strip().strip("\"'") for one in first.strip().strip("[]").split(",")]
    names = []
    for line in rest.splitlines():
        if (match := _NAME.fullmatch(line)) is None:
            break
        names.append(match[1])
    return names


def _draw_yolo(files: DatasetFiles, path: str, classes: Sequence[str], size: Size) -> ReadMarks:
    lines = [line for line in files.read(path).decode(errors="replace").splitlines() if line.strip()]
    if len(lines) > _LINES_MAX:
        msg = f"{path} has {len(lines)} lines, at most {_LINES_MAX} are read. Merge specks"
        raise DatasetError(msg)
    mask_HW, objects = np.zeros(size, np.uint8), []
    for number, line in enumerate(lines, start=1):
        try:
            class_number, inside_HW = yolo.read_line(line, size=size)
            name = classes[class_number] if class_number >= 0 else classes[len(classes)]
        except IndexError as error:
            msg = f"{path}, line {number}: a class that {yolo.CLASSES} does not name. Add its name"
            raise DatasetError(msg) from error
        except ValueError as error:
            msg = f"{path}, line {number}: {error}. Boxes are no outlines: export segments"
            raise DatasetError(msg) from error
        if inside_HW.any():
            mask_HW[inside_HW] = DEFECT
            objects.append(make_mark(inside_HW, "" if name == WITHOUT_CLASS else name))
    return ReadMarks(mask_HW, largest(objects))


def read_masks(files: DatasetFiles) -> Iterator[ReadSample]:
    """Read images and masks of the same name.

    An image without a mask is not answered.

    Raises:
        DatasetError: a mask has no image.
    """
    facts = read_facts(files)
    images = images_below(files.names, folders.IMAGES)
    masks = images_below(files.names, folders.MASKS)
    for name, path in masks.items():
        _require_image(images, name, path)
    for name, image in images.items():
        of_capture = facts.get(image, {})
        is_answered = name in masks or of_capture.get("verdict") in ("defect", "unsure")
        is_normal = of_capture.get("intent") == "normal"
        draw = partial(_draw_mask, files, masks[name], of_capture) if name in masks else None
        yield ReadSample(image=image, draw=draw, is_answered=is_answered, is_normal=is_normal, facts=of_capture)


def _draw_mask(files: DatasetFiles, path: str, facts: Mapping[str, Any], size: Size) -> ReadMarks:
    try:
        mask_HW = decode_mask(files.read(path), may_ignore=True)
    except ImageError as error:
        msg = f"{path}: {error}"
        raise DatasetError(msg) from error
    return ReadMarks(_sized(mask_HW, size, path), objects_of(facts))


def read_mvtec(files: DatasetFiles, root: str) -> Iterator[ReadSample]:
    """Read a folder of MVTec AD: its normals, good and defective parts.

    Raises:
        DatasetError: a defect has no mask.
    """
    facts, names = read_facts(files), set(files.names)
    for path in files.names:
        parts = path.removeprefix(root).split("/")
        if not path.startswith(root) or len(parts) != 3 or not is_image(path):
            continue
        part, kind, name = parts
        if (part, kind) == ("train", "good"):
            yield ReadSample(image=path, is_answered=False, is_normal=True, facts=facts.get(path, {}))
        elif (part, kind) == ("test", "good"):
            yield ReadSample(image=path, facts=facts.get(path, {}))
        elif part == "test":
            mask = f"{root}ground_truth/{kind}/{stem_of(name)}_mask.png"
            if mask not in names:
                msg = f"{path} is a defect without a mask. Add {mask}, or remove the image"
                raise DatasetError(msg)
            yield ReadSample(image=path, draw=partial(_draw_kind, files, mask, kind), facts=facts.get(path, {}))


def _draw_kind(files: DatasetFiles, path: str, kind: str, size: Size) -> ReadMarks:
    marks = _draw_mask(files, path, {}, size)
    class_name = "" if kind in (WITHOUT_CLASS, folders.COMBINED) else kind
    is_defect_HW: Mask = marks.mask_HW == DEFECT
    objects = (make_mark(is_defect_HW, class_name),) if class_name and is_defect_HW.any() else ()
    return ReadMarks(marks.mask_HW, objects)


def _require_image(images: Mapping[str, str], name: str, path: str) -> str:
    if name not in images:
        msg = f"{path} has no image of its name. Add the image, or remove {path}"
        raise DatasetError(msg)
    return images[name]
