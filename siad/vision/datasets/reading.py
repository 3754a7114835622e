"""Readers of data sets: samples with their marks.

A reader first names the samples; the marks of one are drawn when its image, and with it the size, is known. What is
wrong with a file is a ``DatasetError``, whose text names the file and says what to change.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from siad.contracts.marked_objects import OBJECTS_MAX, MarkedObject, ObjectFate, ObjectOrigin

LIST: Final = "captures.jsonl"
MARKS_MAX: Final = 10_000  # of one image
SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

Size = tuple[int, int]  # height, width in pixels


class DatasetError(ValueError):
    """A file of a data set that can't be read."""


class DatasetFiles(Protocol):
    """Files of an archive."""

    @property
    def names(self) -> Sequence[str]:
        """Paths, in order."""
        ...

    def read(self, name: str) -> bytes:
        """Read one file."""
        ...


@dataclass(frozen=True, slots=True)
class ReadMarks:
    """Marks of one image."""

    mask_HW: NDArray[np.uint8]  # 0 good, 128 unsure, 255 defect
    objects: Sequence[MarkedObject] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSample:
    """One image of a data set, and what is said about it."""

    image: str  # path
    draw: Callable[[Size], ReadMarks] | None = None  # None: nothing is said, or nothing is marked
    is_answered: bool = True  # otherwise it is an image alone
    is_normal: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)  # of an export by SIAD


def stem_of(path: str) -> str:
    """Return the name of a file without folders and extension."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def is_image(path: str) -> bool:
    """Whether a name is that of an image."""
    return path.lower().endswith(SUFFIXES)


def images_below(names: Iterable[str], folder: str) -> dict[str, str]:
    """Paths of the images below a folder, by name without extension.

    Raises:
        DatasetError: two have the same name.
    """
    found: dict[str, str] = {}
    for path in names:
        if not path.startswith(f"{folder}/") or not is_image(path):
            continue
        if (other := found.setdefault(stem_of(path), path)) != path:
            msg = f"{other} and {path} have the same name, so their marks can't be told apart. Rename one"
            raise DatasetError(msg)
    return found


def read_facts(files: DatasetFiles) -> dict[str, Mapping[str, Any]]:
    """Read the list of captures of an export, by path.

    The path is that of the image. Empty without a list.
    """
    if LIST not in files.names:
        return {}
    found: dict[str, Mapping[str, Any]] = {}
    for number, line in enumerate(files.read(LIST).splitlines(), start=1):
        try:
            row = json.loads(line)
            found[str(row["image"])] = row
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{LIST}, line {number}, is no capture of an export. Export again, or remove {LIST}"
            raise DatasetError(msg) from error
    return found


def make_mark(inside_HW: NDArray[np.bool_], class_name: str) -> MarkedObject:
    """Describe the pixels of a mark, at least one."""
    rows, columns = np.flatnonzero(inside_HW.any(axis=1)), np.flatnonzero(inside_HW.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    box = (left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1)
    return mark_in_box(box, int(np.count_nonzero(inside_HW)), class_name)


def mark_in_box(
    box: tuple[int, int, int, int], area_px: int, class_name: str, attributes: Mapping[str, Any] | None = None
) -> MarkedObject:
    """Describe a mark.

    Args:
        box: left, top, width and height in pixels.
        area_px: its pixels.
        class_name: its class; empty where none is named.
        attributes: ``origin`` and ``fate``; without them a person added it.
    """
    given = attributes or {}
    try:
        origin, fate = ObjectOrigin(given.get("origin", "person")), ObjectFate(given.get("fate", "added"))
    except (ValueError, TypeError, AttributeError):
        origin, fate = ObjectOrigin.PERSON, ObjectFate.ADDED
    left, top, width, height = box
    return MarkedObject(
        x=left, y=top, width=width, height=height, area_px=area_px, origin=origin, fate=fate, class_name=class_name
    )


def largest(objects: Iterable[MarkedObject]) -> tuple[MarkedObject, ...]:
    """Keep as many marks as a correction lists, the largest."""
    return tuple(sorted(objects, key=lambda one: -one.area_px)[:OBJECTS_MAX])


def objects_of(facts: Mapping[str, Any]) -> tuple[MarkedObject, ...]:
    """Read the marks that an export lists of a capture.

    Raises:
        DatasetError: one is no mark.
    """
    try:
        return tuple(
            MarkedObject(**{**one, "origin": ObjectOrigin(one["origin"]), "fate": ObjectFate(one["fate"])})
            for one in facts.get("objects", ())
        )
    except (TypeError, ValueError, KeyError) as error:
        msg = f"{LIST} lists a mark of {facts.get('name')} that is none: {error}. Export again, or remove {LIST}"
        raise DatasetError(msg) from error
