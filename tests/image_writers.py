"""Writers of image files that libraries do not write: every depth, every tag, interlaced, damaged at will."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# first row, first column, step of rows, step of columns of the seven passes (W3C PNG 3rd edition, section 8.2)
_ADAM7: Final = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_SHORT, _LONG, _ASCII = 3, 4, 2


def packed(samples_HWC: NDArray[Any], bits: int) -> list[bytes]:
    """Rows of samples, each packed from the highest bit and filled up to a byte."""
    rows = samples_HWC.reshape(len(samples_HWC), -1).astype(np.uint32)
    shifts = np.arange(bits - 1, -1, -1, dtype=np.uint32)
    return [np.packbits((row[:, None] >> shifts & 1).astype(np.uint8).ravel()).tobytes() for row in rows]


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    samples_HWC: NDArray[Any],
    bits: int,
    colour: int,
    *,
    before: bytes = b"",
    is_interlaced: bool = False,
) -> bytes:
    """A PNG of stored samples, with more chunks before its pixels."""
    height, width = samples_HWC.shape[:2]
    passes = _ADAM7 if is_interlaced else ((0, 0, 1, 1),)
    parts = [samples_HWC[top::down, left::right] for top, left, down, right in passes]
    rows = b"".join(b"\0" + row for part in parts if part.size for row in packed(part, bits))
    return png_of(rows, (width, height, bits, colour), before=before, is_interlaced=is_interlaced)


def png_of(
    rows: bytes,
    header: tuple[int, int, int, int],
    *,
    before: bytes = b"",
    is_interlaced: bool = False,
    coded: bytes | None = None,
) -> bytes:
    """A PNG of filtered rows or of coded pixels; the header is width, height, bits and colour type."""
    ihdr = struct.pack(">IIBBBBB", *header, 0, 0, int(is_interlaced))
    idat = zlib.compress(rows) if coded is None else coded
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + before + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


def tiff(pages: Sequence[tuple[Mapping[int, Any], Sequence[bytes]]], order: str = "<") -> bytes:
    """A TIFF of pages; each has tags (numbers, sequences of numbers, or bytes) and strips."""
    data = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 0))
    link = 4
    for tags, strips in pages:
        starts = []
        for strip in strips:
            starts.append(len(data))
            data += strip + b"\0" * (len(strip) % 2)
        entries = {273: starts, 279: [len(strip) for strip in strips]} | dict(tags)
        rows = b""
        for tag in sorted(entries):
            kind, count, values = _values(entries[tag], order)
            if len(values) > 4:
                rows += struct.pack(f"{order}HHII", tag, kind, count, len(data))
                data += values + b"\0" * (len(values) % 2)
            else:
                rows += struct.pack(f"{order}HHI", tag, kind, count) + values.ljust(4, b"\0")
        struct.pack_into(f"{order}I", data, link, len(data))
        data += struct.pack(f"{order}H", len(entries)) + rows
        link = len(data)
        data += struct.pack(f"{order}I", 0)
    return bytes(data)


def _values(given: Any, order: str) -> tuple[int, int, bytes]:
    if isinstance(given, bytes):
        return _ASCII, len(given), given
    numbers = [given] if isinstance(given, int) else list(given)
    kind, code = (_LONG, "I") if max(numbers) > 65535 else (_SHORT, "H")
    return kind, len(numbers), struct.pack(f"{order}{len(numbers)}{code}", *numbers)


def tiff_tags(samples_HWC: NDArray[Any], bits: int, photometric: int, **more: int) -> dict[int, Any]:
    """The tags of one page in one strip; ``more`` as t259=5."""
    height, width, samples = samples_HWC.shape
    tags: dict[int, Any] = {256: width, 257: height, 258: [bits] * samples, 262: photometric, 277: samples, 278: height}
    return tags | {int(name[1:]): value for name, value in more.items()}


def bmp(pixels: bytes, header: tuple[int, int, int, int], *, tables: bytes = b"", header_bytes: int = 40) -> bytes:
    """A BMP of stored rows; the header is width, height, bits and coding; the tables are masks and palette."""
    width, height, bits, coding = header
    info = struct.pack("<IiiHHIIiiII", header_bytes, width, height, 1, bits, coding, len(pixels), 0, 0, 0, 0)
    offset = 14 + len(info) + len(tables)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + info + tables + pixels
