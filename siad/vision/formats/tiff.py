"""TIFF and BigTIFF, decoded segment by segment.

Every segment must give exactly its bytes.

Libraries that read TIFF fill missing and short segments, and differ in what they do with white-is-zero, planes and
samples of 10, 12 or 14 bits. Here the page is described first (``tiff_layout``), so that only known kinds are decoded.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from imagecodecs import bitorder_decode, deflate_decode, lzw_decode, packbits_decode, packints_decode, zstd_decode
from numpy.typing import NDArray

from siad.vision.formats.errors import ImageError, damaged, unsupported
from siad.vision.formats.header import Header
from siad.vision.formats.jpeg import decode_strictly, without_colour_markers
from siad.vision.formats.jpeg import read_header as read_jpeg_header
from siad.vision.formats.samples import scale_samples
from siad.vision.formats.tiff_layout import (
    DEFLATE,
    JPEG,
    LZW,
    NONE,
    PACKBITS,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    YCBCR,
    ZSTD,
    Page,
    read_page,
)
from siad.vision.memory_errors import is_out_of_memory

Samples = NDArray[Any]  # uint8 or uint16

_PADDING_MAX: Final = 15  # bytes after the pixels of an uncompressed segment, for alignment
_DECODERS: Final[Mapping[int, Callable[..., bytes | bytearray]]] = {
    LZW: lzw_decode,
    PACKBITS: packbits_decode,
    **dict.fromkeys(DEFLATE, deflate_decode),
    **dict.fromkeys(ZSTD, zstd_decode),
}
_ADOBE: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"  # the byte after it is the colour transform


def read_header(data: bytes) -> Header:
    """Describe the page that ``decode`` reads."""
    page = read_page(data)
    return Header(
        format="tiff",
        width_px=page.width_px,
        height_px=page.height_px,
        channels=3 if page.photometric in (RGB, PALETTE, YCBCR) else 1,
        bits=8 if page.bits <= 8 else 16,
        orientation=page.orientation,
        significant_bits=page.significant_bits,
        pages=page.pages,
        note=page.note,
    ).checked()


def decode(data: bytes, header: Header) -> Samples:
    """Decode the pixels.

    Returns:
        uint8 or uint16 [H, W, C], C 1 (grey) or 3 (RGB), and one more where the page has alpha. Samples of fewer than 8
        bits are scaled to 8, of 9 to 15 to 16.

    Raises:
        ImageError: a segment is damaged, or does not hold its share of the pixels.
    """
    page = read_page(data)
    planes = page.samples if page.is_planar else 1
    dtype = np.uint8 if page.bits <= 8 else np.uint16
    image: Samples = np.empty((header.height_px, header.width_px, page.samples), dtype)
    depth = page.samples // planes
    for plane, top, left, segment in _segments(data, page, depth):
        rows, columns = min(segment.shape[0], page.height_px - top), min(segment.shape[1], page.width_px - left)
        image[top : top + rows, left : left + columns, plane * depth : (plane + 1) * depth] = segment[:rows, :columns]
    image = _meant(image, page)
    return _without_unknown(image, header.channels) if page.has_extra_sample else image


def _segments(data: bytes, page: Page, depth: int) -> Iterator[tuple[int, int, int, Samples]]:
    """Yield plane, top, left and samples [H, W, depth] of every segment."""
    grid = page.grid
    across, down = -(-page.width_px // grid.width_px), -(-page.height_px // grid.height_px)
    for place, (start, size) in enumerate(zip(grid.starts, grid.sizes, strict=True)):
        plane, rest = divmod(place, across * down)
        top, left = rest // across * grid.height_px, rest % across * grid.width_px
        rows = grid.height_px if grid.name == "tile" else min(grid.height_px, page.height_px - top)
        coded = data[start : start + size]
        if page.has_reversed_bits:
            coded = bytes(bitorder_decode(coded))
        name = f"{grid.name} {place + 1} of {len(grid.starts)}"
        if page.compression == JPEG:
            segment: Samples = _jpeg(coded, page, (rows, depth), name)
        else:
            segment = _unpacked(_decompressed(coded, page, depth, name), page, (rows, depth), name)
        yield plane, top, left, segment


def _decompressed(coded: bytes, page: Page, depth: int, name: str) -> bytes | bytearray:
    """Decompress one segment, within the size of a full one."""
    if page.compression == NONE:
        return coded
    row = page.grid.width_px * depth
    limit = page.grid.height_px * max((row * page.bits + 7) // 8, row * (2 if page.bits > 8 else 1)) + 1
    try:
        return _DECODERS[page.compression](coded, out=limit)
    except (RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        msg = f"{name} of a TIFF can't be decompressed: {error}"
        raise damaged(msg) from error


def _unpacked(pixels: bytes | bytearray, page: Page, shape: tuple[int, int], name: str) -> Samples:
    """Take samples [H, W, depth] out of the bytes of a segment.

    There must be neither more nor fewer.
    """
    rows, depth = shape
    width = page.grid.width_px
    row_bytes = (width * depth * page.bits + 7) // 8
    word_bytes = 2 * width * depth
    bits = page.bits
    full_rows = (rows, page.grid.height_px)  # encoders may fill up the last strip
    padding = _PADDING_MAX if page.compression == NONE else 0
    if len(pixels) in [row_bytes * count for count in full_rows]:
        pass
    elif 8 < bits < 16 and len(pixels) in [word_bytes * count for count in full_rows]:
        bits, row_bytes = 16, word_bytes  # samples of 12 bits, each in a word of its own
    elif not 0 < len(pixels) - rows * row_bytes <= padding:
        msg = f"{name} of a TIFF holds {len(pixels)} bytes of pixels, not {rows * row_bytes}"
        raise damaged(msg)
    pixels = pixels[: rows * row_bytes]
    samples: Samples
    if bits == 8:
        samples = np.frombuffer(pixels, np.uint8)
    elif bits == 16:
        samples = np.frombuffer(pixels, f"{page.order}u2").astype(np.uint16, copy=False)
    else:
        samples = packints_decode(pixels, "u1" if bits < 8 else "u2", bits, runlen=width * depth)
    samples = samples.reshape(rows, width, depth)
    if page.has_predictor and page.compression not in (NONE, PACKBITS):
        samples = np.cumsum(samples, axis=1, dtype=samples.dtype)  # horizontal differencing, modulo 2**bits
    if bits != page.bits and int(samples.max()) >= 2**page.bits:
        msg = f"{name} of a TIFF of {page.bits} bits has a sample of {int(samples.max())}"
        raise damaged(msg)
    return samples


def _jpeg(coded: bytes, page: Page, shape: tuple[int, int], name: str) -> NDArray[np.uint8]:
    """Decode a segment of JPEG.

    Its tables may be in a tag, and its colours are those of the page, whatever its own markers say.
    """
    rows, depth = shape
    transform = bytes([1 if page.photometric == YCBCR else 0])
    tables = page.jpeg_tables[2:-2] if page.jpeg_tables.startswith(b"\xff\xd8") else b""
    colours = _ADOBE + transform if depth == 3 else b""
    stream = coded[:2] + colours + without_colour_markers(tables + coded[2:])
    try:
        found = read_jpeg_header(stream)
        size = (found.width_px, found.channels)
        if size != (page.grid.width_px, depth) or found.height_px not in (rows, page.grid.height_px):
            msg = f"is {found.width_px}x{found.height_px} px of {found.channels} channels"
            raise damaged(msg)
        return decode_strictly(stream, channels=depth)
    except ImageError as error:
        raise ImageError(error.reason, f"{name} of a TIFF: {error}") from error


def _meant(image: Samples, page: Page) -> Samples:
    """Scale samples so that black is 0 and white the highest."""
    if page.photometric == PALETTE:
        return _coloured(image, page)
    bits = page.significant_bits or page.bits
    if bits < page.bits and int(image.max()) >= 2**bits:
        msg = f"a TIFF that states {page.highest} as its highest sample and has one of {int(image.max())}"
        raise damaged(msg)
    if page.photometric == WHITE_IS_ZERO:
        image[:, :, 0] = 2**bits - 1 - image[:, :, 0]
    return scale_samples(image, bits)


def _without_unknown(image: Samples, channels: int) -> Samples:
    """Drop a sample of unknown meaning that holds nothing.

    It pads pixels to four bytes.
    """
    extra = image[:, :, channels:]
    if extra.size and int(extra.min()) != int(extra.max()):
        msg = "a TIFF with a sample of unknown meaning beside its colour (ExtraSamples is not alpha)"
        raise unsupported(msg)
    return image[:, :, :channels]


def _coloured(image: Samples, page: Page) -> NDArray[np.uint8]:
    """Look the colours up: uint8 [H, W, 3], or 4 with alpha."""
    colour_map = np.array(page.colour_map, np.uint16).reshape(3, -1).T
    if colour_map.max() > 255:  # values of 16 bits, except from some old encoders
        colour_map >>= 8
    colours = colour_map.astype(np.uint8)[image[:, :, 0]]
    alpha = scale_samples(image[:, :, 1:].astype(np.uint8), page.bits)
    return np.concatenate([colours, alpha], axis=2)
