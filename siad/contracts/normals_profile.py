"""Profile of a line's normals, for comparison with its images.

It is part of the manifest of a teacher and of the segmenters that learn from it. ``siad.vision.plausibility`` makes it
and compares images with it.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from siad.contracts.depth import require_bits
from siad.contracts.json_codec import OMIT_IF_DEFAULT
from siad.contracts.view_baseline import ViewBaseline

SAME: Final = 0.02  # sides and aspects that differ by no more than this share are one size


class SizeRule(StrEnum):
    """Sizes that images of a line may have."""

    NORMALS = "normals"  # those of the normals
    ANY = "any"

    @classmethod
    def of(cls, sizes: str) -> Self:
        """Read a line's setting, empty for that of the normals."""
        return cls(sizes or cls.NORMALS.value)


class MisfitReason(StrEnum):
    """Why an image does not fit the normals of its line."""

    SIZE = "size"  # width, height or aspect
    CHANNELS = "channels"  # grey where the normals are colour, or colour where they are grey
    DEPTH = "depth"  # 8 bits where the normals have more, more where they have 8, or values beyond the depth


@dataclass(frozen=True, slots=True, kw_only=True)
class OddNormal:
    """A normal whose size or channels differ from those of the rest."""

    capture_id: str
    own: str  # what it is: ``640x480 px, grey``
    others: str  # what the rest are: ``the other 9: 900x900 px, colour``
    differs_in: tuple[MisfitReason, ...]  # size, channels or both


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalsProfile:
    """Description of a teacher's normals, without those that it left out.

    Pairs hold the least and the largest value of all of them.
    """

    widths_px: tuple[int, int]
    heights_px: tuple[int, int]
    aspects: tuple[float, float]  # width / height
    has_grey: bool  # a grey file, or a colour file whose channels are equal
    has_colour: bool
    chroma: float  # least difference of channels in a colour normal, in levels of 255, at its most colourful pixel
    containers: tuple[int, ...]  # bits of the decoded files, ascending: 8, 16 or both
    bits: int  # significant bits of the samples of 16-bit files, by which they are scaled; 8 where there are none
    brightest: tuple[float, float]  # highest value of a normal, as a share of white
    view: ViewBaseline | None = field(default=None, metadata=OMIT_IF_DEFAULT)  # for drift; None in earlier profiles

    def __post_init__(self) -> None:
        """Refuse a depth that no file has."""
        require_bits(self.bits)

    @property
    def has_one_size(self) -> bool:
        """Whether all normals are of one size, small differences aside."""
        return _is_one_size(self.widths_px, self.heights_px)

    def __str__(self) -> str:
        """Describe it for people: ``256x192 px, grey, 12 of 16 bits``."""
        return f"{self.sizes}, {self.colours}, {self.depth}"

    @property
    def sizes(self) -> str:
        """Sizes of the normals, for people."""
        return describe_sizes(self.widths_px, self.heights_px)

    @property
    def colours(self) -> str:
        """Channels of the normals, for people."""
        return " and ".join(
            name for name, is_there in (("grey", self.has_grey), ("colour", self.has_colour)) if is_there
        )

    @property
    def depth(self) -> str:
        """Depth of the normals, for people."""
        shown = [f"{self.bits} of 16 bits" if bits > self.bits else f"{bits} bits" for bits in self.containers]
        return " and ".join(shown)


def describe_sizes(widths_px: tuple[int, int], heights_px: tuple[int, int]) -> str:
    """Describe sizes for people, by the least and largest sides."""
    if _is_one_size(widths_px, heights_px):
        return f"{widths_px[1]}x{heights_px[1]} px"
    return " x ".join(f"{least} to {largest}" for least, largest in (widths_px, heights_px)) + " px"


def _is_one_size(*sides_px: tuple[int, int]) -> bool:
    return all(largest <= least * (1 + SAME) for least, largest in sides_px)


def require_sizes(sizes: str) -> None:
    """Raise ValueError for a size rule that does not exist."""
    if sizes and sizes not in set(SizeRule):
        msg = f"sizes {sizes!r} is not one of {', '.join(SizeRule)}; any accepts images of every size"
        raise ValueError(msg)
