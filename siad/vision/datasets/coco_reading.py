"""Reader of COCO: compressed and plain run lengths, and polygons."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from siad.vision.datasets.reading import (
    MARKS_MAX,
    DatasetError,
    DatasetFiles,
    ReadMarks,
    ReadSample,
    Size,
    is_image,
    largest,
    mark_in_box,
    read_facts,
)
from siad.vision.datasets.runs import read_runs
from siad.vision.datasets.samples import WITHOUT_CLASS
from siad.vision.mask_objects import fill_polygon
from siad.vision.masks import DEFECT, IGNORE

_CORNERS_MAX: Final = 20_000  # of one annotation
_POLYGON_COST_MAX: Final = 50_000_000  # corners times rows of one image


def read_coco(files: DatasetFiles, path: str) -> Iterator[ReadSample]:
    """Read the samples of a COCO file.

    An image without annotations is good.

    Raises:
        DatasetError: the JSON is none of COCO, or names what it does not have.
    """
    try:
        found = json.loads(files.read(path))
        categories = {one["id"]: str(one["name"]) for one in found["categories"]}
        images = {one["id"]: str(one["file_name"]) for one in found["images"]}
        of_image: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for one in found["annotations"]:
            _require_known(path, one, images, categories)
            of_image[one["image_id"]].append(one)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, DatasetError):
            raise
        msg = f"{path} is no COCO file ({type(error).__name__}: {error}). It needs images, annotations and categories"
        raise DatasetError(msg) from error
    facts, paths = read_facts(files), _paths(files)
    for image_id, file_name in images.items():
        image = paths.get(file_name) or paths.get(file_name.rpartition("/")[2])
        if image is None:
            msg = f"{path} names the image {file_name}, which the archive lacks. Add it, or remove its entry"
            raise DatasetError(msg)
        annotations = of_image.get(image_id, [])
        if len(annotations) > MARKS_MAX:
            msg = f"{file_name} has {len(annotations)} annotations, at most {MARKS_MAX} are read. Merge specks"
            raise DatasetError(msg)
        of_capture = facts.get(image, {})
        draw = partial(_draw, annotations, categories, file_name) if annotations else None
        is_normal = of_capture.get("intent") == "normal" and not annotations
        yield ReadSample(image=image, draw=draw, is_normal=is_normal, facts=of_capture)


def _require_known(path: str, one: Mapping[str, Any], images: Mapping[Any, str], categories: Mapping[Any, str]) -> None:
    if one["image_id"] not in images:
        msg = f"{path}: annotation {one.get('id')} is of image {one['image_id']!r}, which it does not list. Remove it"
        raise DatasetError(msg)
    if one["category_id"] not in categories:
        msg = f"{path}: annotation {one.get('id')} has category {one['category_id']!r}, which it does not list. Add it"
        raise DatasetError(msg)


def _paths(files: DatasetFiles) -> dict[str, str]:
    """Paths of the images by each of their ends."""
    found: dict[str, str] = {}
    for path in files.names:
        if is_image(path):
            parts = path.split("/")
            for start in range(len(parts)):
                found.setdefault("/".join(parts[start:]), path)
    return found


def _draw(
    annotations: Sequence[Mapping[str, Any]], categories: Mapping[Any, str], file_name: str, size: Size
) -> ReadMarks:
    """Draw the annotations of one image, unsure ones below the others."""
    height, width = size
    flat = np.zeros(height * width, np.uint8)  # column by column, as run lengths are
    objects, cost = [], 0
    for one in annotations:
        is_crowd = bool(one.get("iscrowd", 0))
        try:
            shape = one["segmentation"]
            if isinstance(shape, Mapping):
                spans = _spans_of_runs(shape, size)
            else:
                cost += _cost_of(shape, height, cost)
                spans = _spans_of_polygons(shape, size)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            msg = f"{file_name}: annotation {one.get('id')} has no outline that can be read: {error}. Correct it"
            raise DatasetError(msg) from error
        for start, end in spans:
            part = flat[start:end]
            part[part == 0] = IGNORE if is_crowd else DEFECT
            if not is_crowd:
                part[:] = DEFECT
        if not is_crowd and len(spans):
            name = categories[one["category_id"]]
            attributes = one.get("attributes")
            objects.append(
                mark_in_box(
                    _box_of(spans, height),
                    int((spans[:, 1] - spans[:, 0]).sum()),
                    "" if name == WITHOUT_CLASS else name,
                    attributes if isinstance(attributes, Mapping) else None,
                )
            )
    return ReadMarks(flat.reshape((width, height)).T.copy(), largest(objects))


def _cost_of(shape: Sequence[Sequence[float]], height: int, before: int) -> int:
    """Return corners times rows of polygons.

    Raises:
        ValueError: with what the image had before, it takes too long to fill them.
    """
    cost = sum(len(part) for part in shape) // 2 * height
    if before + cost > _POLYGON_COST_MAX:
        msg = f"polygons of more than {_POLYGON_COST_MAX // height} corners in one image"
        raise ValueError(msg)
    return cost


def _spans_of_runs(shape: Mapping[str, Any], size: Size) -> NDArray[np.int64]:
    """Begin and end of each run of marked pixels; int64 [N, 2]."""
    if list(shape["size"]) != list(size):
        height, width = shape["size"]
        msg = f"it is {width}x{height} px, and the image {size[1]}x{size[0]} px"
        raise ValueError(msg)
    counts = shape["counts"]
    runs = read_runs(counts) if isinstance(counts, str) else [int(one) for one in counts]
    if min(runs, default=0) < 0 or sum(runs) != size[0] * size[1]:
        msg = f"its run lengths are {sum(runs)} px, and the image {size[0] * size[1]} px"
        raise ValueError(msg)
    ends = np.cumsum(np.array(runs, np.int64))
    marked = ends[1::2]
    return np.stack([ends[0::2][: len(marked)], marked], axis=1)


def _spans_of_polygons(shape: Sequence[Sequence[float]], size: Size) -> NDArray[np.int64]:
    height, width = size
    inside_HW = np.zeros(size, np.bool_)
    for part in shape:
        if len(part) < 6 or len(part) % 2 or len(part) > 2 * _CORNERS_MAX:
            msg = f"a polygon of {len(part)} numbers; it has x and y of 3 to {_CORNERS_MAX} corners"
            raise ValueError(msg)
        points = [(round(2 * float(x)), round(2 * float(y))) for x, y in zip(part[::2], part[1::2], strict=True)]
        if not all(-1 <= x <= 2 * width + 1 and -1 <= y <= 2 * height + 1 for x, y in points):
            msg = "a polygon with a corner outside of the image"
            raise ValueError(msg)
        inside_HW |= fill_polygon(points, size=size)
    changes = np.flatnonzero(np.diff(inside_HW.ravel(order="F").astype(np.int8), prepend=0, append=0))
    return changes.reshape(-1, 2)


def _box_of(spans: NDArray[np.int64], height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of runs of pixels."""
    starts, ends = spans[:, 0], spans[:, 1] - 1
    left, right = int(starts.min() // height), int(ends.max() // height)
    if (starts // height != ends // height).any():  # a run around the end of a column
        return left, 0, right - left + 1, height
    top, bottom = int((starts % height).min()), int((ends % height).max())
    return left, top, right - left + 1, bottom - top + 1
