"""What every format is written from: a sample, its files, the classes.

Shape suffixes: H, W = size of the image, upright.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from siad.contracts.marked_objects import MarkedObject

WITHOUT_CLASS: Final = "defect"  # name of marks without a class, where a format needs one
# by digit, as on the console's page; the last one is that of marks without a class
COLOURS: Final = (
    *((255, 77, 109), (255, 209, 102), (76, 201, 240), (181, 228, 140), (199, 125, 255), (255, 159, 28)),
    *((247, 247, 247), (46, 196, 182), (255, 153, 200), (169, 177, 189)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSample:
    """One capture with what a person said about it, or a normal."""

    name: str  # of its files, without extension
    extension: str
    image: bytes  # as it was sent
    width_px: int
    height_px: int
    mask_HW: NDArray[np.uint8]  # 0 good, 128 unsure, 255 defect
    objects: Sequence[MarkedObject] = ()  # of the mask; deleted ones are ignored
    is_normal: bool = False  # sent as a normal
    is_known: bool = True  # whether the mask says where the defects are; otherwise it is empty
    product: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)  # JSON; written to the list of captures

    @property
    def is_defect(self) -> bool:
        """Whether a pixel is marked defective."""
        return bool((self.mask_HW == 255).any())

    @property
    def file_name(self) -> str:
        """Name of the image's file."""
        return f"{self.name}.{self.extension}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFiles:
    """Files of one sample, and rows of files at the end."""

    image: str  # path of the image
    files: Sequence[tuple[str, bytes]] = ()  # path and bytes
    rows: Mapping[str, bytes] = field(default_factory=dict)  # by name of the rows
    facts: Mapping[str, Any] = field(default_factory=dict)  # for the list of captures


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of a name, in order."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndFile:
    """A file that is written once all samples are."""

    path: str
    pieces: Sequence[bytes | Rows]


class DatasetWriter(Protocol):
    """Writer of one format."""

    def add(self, sample: DatasetSample) -> SampleFiles:
        """Write a sample."""
        ...

    def end(self) -> Sequence[EndFile]:
        """Write what comes last."""
        ...

    def summary(self) -> Mapping[str, Any]:
        """What the format lost; empty for one that keeps every pixel."""
        ...


@dataclass(frozen=True, slots=True)
class DatasetClasses:
    """Classes of a line by digit, then the one without."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, names: Sequence[str]) -> "DatasetClasses":
        """Add the class of marks without one."""
        return cls((*(name for name in names if name != WITHOUT_CLASS), WITHOUT_CLASS))

    def number(self, class_name: str) -> int:
        """Return the number of a class, from 0.

        Of one that the line has no longer, the last.
        """
        return self.names.index(class_name) if class_name in self.names else len(self.names) - 1

    def colour(self, number: int) -> tuple[int, int, int]:
        """Red, green and blue of a class."""
        return COLOURS[-1] if number == len(self.names) - 1 else COLOURS[number % (len(COLOURS) - 1)]
