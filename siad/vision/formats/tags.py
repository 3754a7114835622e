"""Tags of TIFF and BigTIFF, which Exif and multi-picture JPEG use too.

Sources: TIFF revision 6.0; BigTIFF, Adobe Technical Note of 2007; Exif 2.32; CIPA DC-007 for multi-picture JPEG.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from siad.vision.formats.errors import DAMAGED, ImageError, damaged, truncated, unsupported

PAGES_MAX: Final = 1000
SUB_PAGES_MAX: Final = 64  # pyramids halve the size at each
TAGS_MAX: Final = 4096  # of a page; about twenty are usual
VALUES_MAX: Final = 2_000_000  # of all pages: forged counts may name the same bytes again and again
ORIENTATION: Final = 274
SUB_IFDS: Final = 330

# The tags that are read; others may hold whole documents.
_READ: Final = frozenset(
    {
        *(254, 255, 256, 257, 258, 259, 262, 266, 270, 273, ORIENTATION, 277, 278, 279, 281, 284, 317, 320),
        *(322, 323, 324, 325, SUB_IFDS, 338, 339, 347, 32997, 33629, 50706, 0xB001),
    }
)
_CLASSIC: Final = {b"II*\0": "<", b"MM\0*": ">"}
_BIG: Final = {b"II+\0": "<", b"MM\0+": ">"}
MAGIC: Final = frozenset({*_CLASSIC, *_BIG})

# type: code of ``struct``; byte, short, long and their signed and 8-byte kinds, and offsets of directories
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_STRINGS: Final = {2: 1, 7: 1}  # ASCII and undefined bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Tags of one page."""

    integers: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    strings: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def values(self) -> int:
        """Number of values read."""
        return sum(map(len, self.integers.values())) + sum(map(len, self.strings.values())) // 8

    def get(self, tag: int, default: int) -> int:
        """Return the first integer of a tag."""
        values = self.integers.get(tag)
        return values[0] if values else default


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    order: str  # "<" or ">"
    offset: str  # code of an offset and of a count of values
    entries: str  # code of the number of entries
    first: int  # place of the first directory's offset

    @property
    def inline(self) -> int:
        return struct.calcsize(f"{self.order}{self.offset}")


def byte_order(data: bytes) -> str:
    """Return the byte order of a TIFF, "<" or ">"."""
    return _layout(data).order


def read_pages(data: bytes) -> Iterator[Directory]:
    """Read every page of a file, in order.

    Raises:
        ImageError: truncated, damaged, or unsupported (over ``PAGES_MAX`` pages).
        struct.error: the file ends within its header.
    """
    layout = _layout(data)
    (at,) = struct.unpack_from(f"{layout.order}{layout.offset}", data, layout.first)
    seen: set[int] = set()
    values = 0
    while at:
        if at in seen:
            msg = f"a TIFF whose page {len(seen) + 1} is one of the pages before it"
            raise damaged(msg)
        if len(seen) == PAGES_MAX:
            msg = f"a TIFF of more than {PAGES_MAX} pages"
            raise unsupported(msg)
        seen.add(at)
        page, at = _directory(data, layout, at)
        values += page.values
        _require_few(values)
        yield page


def read_sub_pages(data: bytes, pages: Sequence[Directory]) -> Iterator[Directory]:
    """Read the pages below pages (SubIFDs).

    Raises:
        ImageError: truncated, damaged, or unsupported (over ``SUB_PAGES_MAX`` of them).
    """
    layout = _layout(data)
    places = [at for page in pages for at in page.integers.get(SUB_IFDS, ())]
    if len(places) > SUB_PAGES_MAX:
        msg = f"a TIFF of {len(places)} pages below others"
        raise unsupported(msg)
    values = 0
    for at in places:
        page, _ = _directory(data, layout, at)
        values += page.values
        _require_few(values)
        yield page


def exif_orientation(exif: bytes) -> int:
    """Read the orientation of an Exif block.

    It is 1 where the block can't be read, as in image viewers.
    """
    try:
        return next(read_pages(exif)).get(ORIENTATION, 1)
    except (struct.error, IndexError, ImageError, StopIteration):
        return 1


def _require_few(values: int) -> None:
    if values > VALUES_MAX:
        msg = f"a TIFF of more than {VALUES_MAX:,} values in its tags"
        raise unsupported(msg)


def _layout(data: bytes) -> _Layout:
    magic = data[:4]
    if magic in _CLASSIC:
        return _Layout(order=_CLASSIC[magic], offset="I", entries="H", first=4)
    if magic not in _BIG:
        raise ImageError(DAMAGED, "no TIFF byte order mark")
    order = _BIG[magic]
    if struct.unpack_from(f"{order}HH", data, 4) != (8, 0):
        msg = f"a BigTIFF with the header {data[:8].hex(' ')}"
        raise damaged(msg)
    return _Layout(order=order, offset="Q", entries="Q", first=8)


def _directory(data: bytes, layout: _Layout, at: int) -> tuple[Directory, int]:
    """Read the directory at a place.

    Returns:
        The directory and the place of the next, 0 after the last.
    """
    order, offset = layout.order, layout.offset
    if at >= len(data):
        raise truncated(data, f"the page at byte {at}")
    (count,) = struct.unpack_from(f"{order}{layout.entries}", data, at)
    start = at + struct.calcsize(f"{order}{layout.entries}")
    size = 4 + 2 * layout.inline
    if start + count * size + layout.inline > len(data):
        raise truncated(data, f"the {count} tags at byte {at}")
    if count > TAGS_MAX:
        msg = f"a TIFF of {count} tags in a page"
        raise damaged(msg)
    page = _read_entries(data, layout, range(start, start + count * size, size))
    (following,) = struct.unpack_from(f"{order}{offset}", data, start + count * size)
    return page, following


def _read_entries(data: bytes, layout: _Layout, entries: range) -> Directory:
    """Read the tags at the given places.

    Of several with one number the first counts.
    """
    order, offset = layout.order, layout.offset
    integers: dict[int, tuple[int, ...]] = {}
    strings: dict[int, bytes] = {}
    for entry in entries:
        tag, kind, length = struct.unpack_from(f"{order}HH{offset}", data, entry)
        code = _INTEGERS.get(kind)
        if tag not in _READ or tag in integers or tag in strings or (code is None and kind not in _STRINGS):
            continue
        if length > len(data):  # also prevents a forged length from allocating gigabytes
            raise truncated(data, f"tag {tag}")
        layout_of_values = f"{order}{length}{code or 's'}"
        position = entry + 4 + layout.inline
        if struct.calcsize(layout_of_values) > layout.inline:
            (position,) = struct.unpack_from(f"{order}{offset}", data, position)
        if position + struct.calcsize(layout_of_values) > len(data):
            raise truncated(data, f"tag {tag}")
        values = struct.unpack_from(layout_of_values, data, position)
        if code is None:
            strings[tag] = values[0]
        elif values:
            integers[tag] = values
    return Directory(integers=integers, strings=strings)
