"""Layout of a TIFF: which page is decoded, and what it holds.

Source: TIFF revision 6.0 and its Technical Notes 1 (SubIFDs) and 2 (JPEG); registered tags of the Library of Congress.
"""

import math
import re
from dataclasses import dataclass
from typing import Final

from siad.vision.formats.errors import damaged, several, truncated, unsupported
from siad.vision.formats.tags import ORIENTATION, Directory, byte_order, read_pages, read_sub_pages

WHITE_IS_ZERO: Final = 0
BLACK_IS_ZERO: Final = 1
RGB: Final = 2
PALETTE: Final = 3
YCBCR: Final = 6

NONE: Final = 1
LZW: Final = 5
JPEG: Final = 7
ZSTD: Final = frozenset({34926, 50000})
DEFLATE: Final = frozenset({8, 32946})
PACKBITS: Final = 32773

_COLOUR_SAMPLES: Final = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, YCBCR: 3}
_PHOTOMETRICS: Final = {
    WHITE_IS_ZERO: "grey (white is zero)",
    BLACK_IS_ZERO: "grey",
    RGB: "RGB",
    PALETTE: "palette",
    YCBCR: "YCbCr",
    4: "transparency mask",
    5: "CMYK",
    8: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32803: "colour filter array",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
    51177: "depth map",
}
_COMPRESSIONS: Final = {
    NONE: "none",
    2: "CCITT RLE",
    3: "CCITT group 3",
    4: "CCITT group 4",
    LZW: "LZW",
    6: "old JPEG",
    JPEG: "JPEG",
    **dict.fromkeys(DEFLATE, "deflate"),
    **dict.fromkeys(ZSTD, "zstd"),
    PACKBITS: "PackBits",
    9: "JBIG",
    10: "JBIG",
    34661: "JBIG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    22610: "JPEG XR",
    34934: "JPEG XR",
    50001: "WebP",
    34927: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
    34887: "LERC",
    34925: "LZMA",
    32809: "ThunderScan",
    32766: "NeXT",
    34892: "lossy JPEG",
    34713: "Nikon NEF",
}
_READABLE: Final = frozenset({NONE, LZW, JPEG, PACKBITS, *DEFLATE, *ZSTD})
_PREDICTABLE: Final = frozenset({LZW, *DEFLATE, *ZSTD})  # other compressions ignore the predictor, as in libtiff
_FORMATS: Final = {2: "signed", 3: "floating-point", 4: "undefined", 5: "complex signed", 6: "complex"}
_STACK_SHAPE: Final = re.compile(rb'"shape": \[(\d+(?:, ?\d+)*)\]')
_IMAGEJ_IMAGES: Final = re.compile(rb"^ImageJ=.*?^images=(\d+)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """How the pixels are cut into segments: strips or tiles."""

    name: str  # strip or tile
    width_px: int
    height_px: int
    starts: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a TIFF that can be decoded."""

    order: str  # "<" or ">"
    width_px: int
    height_px: int
    bits: int  # of a sample
    samples: int  # of a pixel: its colour, and one of alpha if there is one
    photometric: int
    compression: int
    is_planar: bool
    has_predictor: bool
    has_reversed_bits: bool
    has_extra_sample: bool  # beside its colour, of unknown meaning; not alpha
    orientation: int
    highest: int | None  # stated maximum of a sample
    grid: Grid
    colour_map: tuple[int, ...]
    jpeg_tables: bytes
    pages: int = 1  # in the file
    note: str = ""

    @property
    def significant_bits(self) -> int:
        """Bits of a sample that the file declares, if fewer than 16."""
        if 8 < self.bits < 16:
            return self.bits
        stated = self.highest or 0
        is_depth = self.bits == 16 and 255 <= stated < 65535 and stated & stated + 1 == 0
        return stated.bit_length() if is_depth else 0


def read_page(data: bytes) -> Page:
    """Find the one full-size page of a file, and read its layout.

    Raises:
        ImageError: truncated, damaged, or unsupported: several images, or pixels of another kind.
    """
    pages = list(read_pages(data))
    if not pages:
        msg = "a TIFF without pages"
        raise damaged(msg)
    pages += read_sub_pages(data, pages)
    place, page = _only_full_page(pages)
    note = ""
    if len(pages) > 1:
        others = "the other is a reduced copy" if len(pages) == 2 else "the others are reduced copies"
        note = f"page {place} of {len(pages)} was used: {others}"
    return _page(data, page, pages=len(pages), note=note)


def _only_full_page(pages: list[Directory]) -> tuple[int, Directory]:
    if any(page.get(50706, 0) for page in pages):  # DNGVersion
        msg = "a camera raw file (DNG)"
        raise unsupported(msg)
    if any(_kind(page) & 4 or page.get(262, 0) == 4 for page in pages):
        msg = "a TIFF with a transparency mask as a page of its own"
        raise unsupported(msg)
    full = [place for place, page in enumerate(pages) if not _kind(page) & 1]
    if not full:
        msg = f"a TIFF whose {len(pages)} pages are all marked as reduced copies of an image that it lacks"
        raise unsupported(msg)
    largest = pages[full[0]]
    full += [place for place, page in enumerate(pages) if place not in full and _area(page) >= _area(largest)]
    images = max(len(full), _images_in_page(largest))
    if images > 1:
        msg = f"a TIFF of {images} images"
        raise several(msg)
    return full[0] + 1, largest


def _kind(page: Directory) -> int:
    """Return the flags of NewSubfileType.

    1 is a reduced copy, 2 a page of several, 4 a transparency mask.
    """
    return page.get(254, 1 if page.get(255, 1) == 2 else 0)


def _area(page: Directory) -> int:
    return page.get(256, 0) * page.get(257, 0)


def _images_in_page(page: Directory) -> int:
    """Count the images that some programs store behind one page.

    ImageJ, MetaMorph and tifffile do, and volumes are such.
    """
    description = page.strings.get(270, b"")
    found = _IMAGEJ_IMAGES.search(description)
    stack = len(page.integers.get(33629, ())) if 33629 in page.integers else 1  # MetaMorph: one entry a plane
    return max(int(found[1]) if found else 1, stack, _images_of_shape(page, description), page.get(32997, 1))


def _images_of_shape(page: Directory, description: bytes) -> int:
    """Count the images of a stack of tifffile.

    It writes the tags of the first alone.
    """
    found = _STACK_SHAPE.search(description)
    samples = _area(page) * page.get(277, 1)
    if b'"truncated": true' not in description or found is None or not samples:
        return 1
    return math.prod(int(size) for size in found[1].split(b",")) // samples


def _page(data: bytes, tags: Directory, *, pages: int, note: str) -> Page:
    if not {256, 257} <= tags.integers.keys():
        msg = "a TIFF whose page has no width or height"
        raise damaged(msg)
    if 262 not in tags.integers:
        msg = "a TIFF that does not say what its samples mean (PhotometricInterpretation)"
        raise damaged(msg)
    samples = tags.get(277, 1)
    page = Page(
        order=byte_order(data),
        width_px=tags.get(256, 0),
        height_px=tags.get(257, 0),
        bits=tags.get(258, 1),
        samples=samples,
        photometric=tags.get(262, 0),
        compression=tags.get(259, NONE),
        is_planar=tags.get(284, 1) == 2 and samples > 1,
        has_predictor=tags.get(317, 1) == 2,
        has_reversed_bits=tags.get(266, 1) == 2,
        has_extra_sample=tags.get(338, 0) not in (1, 2),
        orientation=tags.get(ORIENTATION, 1),
        highest=max(tags.integers[281]) if 281 in tags.integers else None,
        grid=_grid(tags),
        colour_map=tags.integers.get(320, ()),
        jpeg_tables=tags.strings.get(347, b""),
        pages=pages,
        note=note,
    )
    _require_supported(page, tags)
    _require_whole(data, page)
    return page


def _grid(tags: Directory) -> Grid:
    width, height = tags.get(256, 0), tags.get(257, 0)
    if 324 in tags.integers or 322 in tags.integers:
        name, starts, sizes = "tile", tags.integers.get(324), tags.integers.get(325)
        segment = tags.get(322, 0), tags.get(323, 0)
    else:
        name, starts, sizes = "strip", tags.integers.get(273), tags.integers.get(279)
        segment = width, min(tags.get(278, height), height)
    if not starts or not sizes or len(starts) != len(sizes):
        msg = "a TIFF whose page has no offsets or sizes of its pixels"
        raise damaged(msg)
    if min(segment) < 1 or segment[0] * segment[1] > 4 * width * height + 2**20:  # a tile may be wider than the image
        msg = f"a TIFF of {width}x{height} px in {name}s of {segment[0]}x{segment[1]} px"
        raise damaged(msg)
    return Grid(name=name, width_px=segment[0], height_px=segment[1], starts=starts, sizes=sizes)


def _require_supported(page: Page, tags: Directory) -> None:
    """Refuse what can't be decoded, with everything that the page holds."""
    sample_format = max(tags.integers.get(339, (1,)))
    compression = _COMPRESSIONS.get(page.compression, "unknown")
    photometric = _PHOTOMETRICS.get(page.photometric, "unknown")
    kind = f"{_FORMATS.get(sample_format, 'unsigned')} {photometric} of {page.samples}x{page.bits} bits"
    holds = f"a TIFF that holds {kind}, photometric {page.photometric}, compression {page.compression} ({compression})"
    colours = _COLOUR_SAMPLES.get(page.photometric, 0)
    is_supported = (
        sample_format == 1
        and 1 <= page.bits <= 16
        and len(set(tags.integers.get(258, (1,)))) == 1
        and page.samples in (colours, colours + 1)
        and colours
        and page.compression in _READABLE
        and tags.get(284, 1) in (1, 2)
        and (page.photometric != YCBCR or (page.compression == JPEG and not page.is_planar))
        and (page.photometric != PALETTE or page.bits <= 8)
        and (page.compression != JPEG or (page.bits == 8 and page.samples in (1, 3) and page.photometric != PALETTE))
    )
    if not is_supported:
        raise unsupported(holds)
    predictor = tags.get(317, 1)
    if page.compression in _PREDICTABLE and (predictor > 2 or (predictor == 2 and page.bits not in (8, 16))):
        what = f"{holds}, predictor {predictor}"
        raise unsupported(what)
    if page.photometric == PALETTE and len(page.colour_map) != 3 * 2**page.bits:
        msg = f"a TIFF of {page.bits} bits with {len(page.colour_map)} values in its palette"
        raise damaged(msg)


def _require_whole(data: bytes, page: Page) -> None:
    grid = page.grid
    across, down = -(-page.width_px // grid.width_px), -(-page.height_px // grid.height_px)
    needed = across * down * (page.samples if page.is_planar else 1)
    if len(grid.starts) != needed:
        msg = f"a TIFF of {page.width_px}x{page.height_px} px that has {len(grid.starts)} {grid.name}s, not {needed}"
        raise damaged(msg)
    for place, (start, size) in enumerate(zip(grid.starts, grid.sizes, strict=True), 1):
        if start < 1 or size < 1:
            msg = f"a TIFF that lacks {grid.name} {place} of {needed}"
            raise damaged(msg)
        if start + size > len(data):
            raise truncated(data, f"{grid.name} {place} of {needed}")
