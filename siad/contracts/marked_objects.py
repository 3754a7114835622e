"""Marks of a corrected capture, and the classes of defects.

The mask of a correction holds the pixels of all marks together; these records say what became of each mark.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

CLASSES_MAX: Final = 9  # a class has a digit from 1
CLASS_NAME_MAX: Final = 40  # characters
OBJECTS_MAX: Final = 200  # of one correction; the largest are listed
SIDE_MAX: Final = 65_535  # px
EFFORT_S_MAX: Final = 86_400
EFFORT_MAX: Final = 1_000_000  # keys or presses


class ObjectOrigin(StrEnum):
    """Drawer of a mark."""

    UNSPECIFIED = "unspecified"
    MACHINE = "machine"
    PERSON = "person"


class ObjectFate(StrEnum):
    """What a person did with a mark."""

    UNSPECIFIED = "unspecified"
    KEPT = "kept"
    RESHAPED = "reshaped"
    DELETED = "deleted"
    ADDED = "added"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedObject:
    """One mark: box, area, origin, fate and class."""

    x: int  # of the box, px of the image; of a deleted mark as it was shown
    y: int
    width: int
    height: int
    area_px: int
    origin: ObjectOrigin
    fate: ObjectFate
    class_name: str = ""  # empty where the person named none

    def __post_init__(self) -> None:
        """Refuse a box without pixels, and a class that is no name."""
        if not (0 <= self.x <= SIDE_MAX and 0 <= self.y <= SIDE_MAX):
            msg = f"a mark begins at {self.x},{self.y}, which is in no image"
            raise ValueError(msg)
        if not (1 <= self.width <= SIDE_MAX and 1 <= self.height <= SIDE_MAX):
            msg = f"a mark of {self.width}x{self.height} px has no pixel"
            raise ValueError(msg)
        if not 1 <= self.area_px <= self.width * self.height:
            msg = f"a mark of {self.area_px} px does not fit into its box of {self.width}x{self.height} px"
            raise ValueError(msg)
        if self.class_name:
            require_class_name(self.class_name)


def require_effort(active_s: float, keys: int, presses: int) -> None:
    """Refuse an effort below 0, or of more than a day.

    Raises:
        ValueError: one of the figures is out of range.
    """
    if not 0 <= active_s <= EFFORT_S_MAX or min(keys, presses) < 0 or max(keys, presses) > EFFORT_MAX:
        msg = f"an effort of {active_s:g} s, {keys} keys and {presses} presses is none: 0 to {EFFORT_S_MAX} s"
        raise ValueError(msg)


def require_classes(classes: Sequence[str]) -> None:
    """Refuse classes that are not at most nine different names.

    Raises:
        ValueError: too many, twice the same, or not a name.
    """
    if len(classes) > CLASSES_MAX:
        msg = f"{len(classes)} classes: at most {CLASSES_MAX} have a digit"
        raise ValueError(msg)
    for name in classes:
        require_class_name(name)
    if len(set(classes)) < len(classes):
        msg = f"classes {', '.join(classes)}: two have the same name"
        raise ValueError(msg)


def require_class_name(name: str) -> None:
    """Refuse what is no name of a class.

    Raises:
        ValueError: blanks around it, control characters, a comma, or more than 40 characters.
    """
    if not 1 <= len(name) <= CLASS_NAME_MAX or name != name.strip() or not name.isprintable() or "," in name:
        msg = f"class {name!r} is not 1 to {CLASS_NAME_MAX} printable characters without a comma and blanks around it"
        raise ValueError(msg)
