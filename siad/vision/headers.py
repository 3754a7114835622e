"""Headers of image files, read without decoding a pixel.

Each format is parsed from its first byte to its declared end, because OpenCV decodes a truncated file without an error
and fills the rest with grey: an image without its lower half would be judged as if it were complete.

Sources: JPEG is ITU T.81 annex B, PNG is W3C PNG 3rd edition, TIFF is revision 6.0, WebP is RFC 9649, Exif is 2.32.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

NOT_AN_IMAGE = "not-an-image"
TRUNCATED = "truncated"
TOO_LARGE = "too-large"
UNSUPPORTED = "unsupported"
DAMAGED = "damaged"

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_TIFF_TYPES = {1: "B", 3: "H", 4: "I"}  # byte, short, long: the types of the tags read here
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in coded data FF00 is a byte and FFD0 to FFD7 are restarts
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; Huffman all
# lossless, hierarchical, arithmetic
_JPEG_FRAMES_UNSUPPORTED = {
    0xC3,
    0xC5,
    0xC6,
    0xC7,
    0xC9,
    0xCA,
    0xCB,
    0xCD,
    0xCE,
    0xCF,
}
_ORIENTATION = 274
_ACCEPTED = "send 8 or 16 bit, grey or colour"
_TIFF_COLOURS = {0: 1, 1: 1, 2: 3, 3: 3, 5: 3, 6: 3}  # PhotometricInterpretation -> channels


class ImageError(ValueError):
    """Bytes that can't be decoded as an image.

    ``reason`` is a code; the message has the details.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Header of one image, before orientation."""

    format: str  # jpeg, png, bmp, tiff, webp
    width_px: int
    height_px: int
    channels: int  # 1 or 3, alpha not counted
    bits: int  # of one channel
    orientation: int = 1  # Exif: 1 upright, ..., 8


def read_header(data: bytes) -> Header:
    """Parse one file of JPEG, PNG, BMP, TIFF or WebP.

    Raises:
        ImageError: not-an-image, truncated, unsupported or damaged.
    """
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(_PNG):
            return _png(data)
        if data.startswith(b"BM"):
            return _bmp(data)
        if data[:4] in _TIFF_ORDERS:
            return _tiff(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError) as error:
        raise _cut(data, "its header") from error
    shown = data[:8].hex(" ") or "nothing"
    raise ImageError(NOT_AN_IMAGE, f"{len(data)} bytes that start with {shown} are not JPEG, PNG, BMP, TIFF or WebP")


def _cut(data: bytes, where: str) -> ImageError:
    return ImageError(TRUNCATED, f"the file ends after {len(data)} bytes, within {where}; send the complete file")


def _jpeg(data: bytes) -> Header:
    frame: tuple[int, int, int, int] | None = None
    orientation = 1
    for marker, body in _jpeg_segments(data):
        if marker in _JPEG_FRAMES:
            frame = struct.unpack_from(">BHHB", body)
        elif marker in _JPEG_FRAMES_UNSUPPORTED:
            raise ImageError(UNSUPPORTED, f"JPEG coding FF{marker:02X} is not supported; {_ACCEPTED}")
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = _exif_orientation(body[6:])
    if frame is None:
        raise ImageError(DAMAGED, "a JPEG without a frame header")
    bits, height, width, channels = frame
    if bits != 8:
        raise ImageError(UNSUPPORTED, f"a JPEG of {bits} bits is not supported; {_ACCEPTED}")
    return _header("jpeg", (width, height), 1 if channels == 1 else 3, 8, orientation)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and body of every segment.

    Up to the end-of-image marker, skipping coded pixels.
    """
    at = 2
    while (found := _JPEG_MARKER.search(data, at)) is not None:
        marker, at = data[found.start() + 1], found.end()
        if marker == 0xD9:
            return
        if marker in (0x01, 0xD8):  # markers without a segment
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if at + length > len(data):
            raise _cut(data, f"segment FF{marker:02X}")
        yield marker, data[at + 2 : at + length]
        at += length
    raise _cut(data, "its coded pixels: the end-of-image marker is missing")


def _png(data: bytes) -> Header:
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    orientation, channels, at, kind = 1, 3 if colour & 2 else 1, len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise _cut(data, f"chunk {kind.decode('latin-1')}")
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != checksum:
            raise ImageError(DAMAGED, f"PNG chunk {kind.decode('latin-1')} at byte {at} fails its checksum")
        if kind == b"eXIf":
            orientation = _exif_orientation(data[at + 8 : end - 4])
        at = end
    return _header("png", (width, height), channels, max(bits, 8), orientation)


def _bmp(data: bytes) -> Header:
    offset, size, width, height, _planes, bits, coding, coded = struct.unpack_from("<IIiiHHII", data, 10)
    if size < 40:
        raise ImageError(UNSUPPORTED, f"a BMP of OS/2 is not supported; {_ACCEPTED}")
    height = abs(height)  # negative: rows from the top
    need = coded if coding in (1, 2) else (width * bits + 31) // 32 * 4 * height
    if offset + need > len(data):
        raise _cut(data, "its pixels")
    channels = 3
    if bits <= 8:
        start = 14 + size
        entries = [data[at : at + 3] for at in range(start, min(offset, start + 4 * 2**bits) - 3, 4)]
        channels = 1 if all(entry[0] == entry[1] == entry[2] for entry in entries) else 3
    return _header("bmp", (width, height), channels, 8, 1)


def _tiff(data: bytes) -> Header:
    tags = _ifd(data)
    if not {256, 257} <= tags.keys():
        raise ImageError(DAMAGED, "a TIFF whose first page has no width or height")
    bits = max(tags.get(258, (1,)))
    photometric = tags.get(262, (1,))[0]
    if bits > 16 or max(tags.get(339, (1,))) != 1 or photometric not in _TIFF_COLOURS:
        found = f"a TIFF of {bits} bits, sample format {tags.get(339, (1,))[0]}, photometric {photometric}"
        raise ImageError(UNSUPPORTED, f"{found} is not supported; {_ACCEPTED}")
    starts, sizes = (tags.get(273), tags.get(279)) if 273 in tags else (tags.get(324), tags.get(325))
    if not starts or not sizes or len(starts) != len(sizes):
        raise ImageError(DAMAGED, "a TIFF whose first page has no offsets of its pixels")
    if max(start + size for start, size in zip(starts, sizes, strict=True)) > len(data):
        raise _cut(data, "its pixels")
    return _header(
        "tiff",
        (tags[256][0], tags[257][0]),
        _TIFF_COLOURS[photometric],
        8 if bits <= 8 else 16,
        tags.get(_ORIENTATION, (1,))[0],
    )


def _webp(data: bytes) -> Header:
    (declared,) = struct.unpack_from("<I", data, 4)
    if 8 + declared > len(data):
        raise _cut(data, "its RIFF container")
    size, orientation, at = None, 1, 12
    while at + 8 <= 8 + declared:
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        if kind == b"VP8X" and body[0] & 0x02:
            raise ImageError(UNSUPPORTED, f"an animated WebP is not supported; {_ACCEPTED}")
        if kind == b"VP8 ":
            width, height = struct.unpack_from("<HH", body, 6)
            size = (width & 0x3FFF, height & 0x3FFF)
        elif kind == b"VP8L":
            (packed,) = struct.unpack_from("<I", body, 1)
            size = ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
        elif kind == b"EXIF":
            orientation = _exif_orientation(body.removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    if size is None:
        raise ImageError(DAMAGED, "a WebP without a picture")
    return _header("webp", size, 3, 8, orientation)


def _header(name: str, size_px: tuple[int, int], channels: int, bits: int, orientation: int) -> Header:
    width, height = size_px
    if width < 1 or height < 1:
        raise ImageError(DAMAGED, f"a {name} of {width}x{height} px")
    known = orientation if 1 <= orientation <= 8 else 1
    return Header(format=name, width_px=width, height_px=height, channels=channels, bits=bits, orientation=known)


def _exif_orientation(exif: bytes) -> int:
    """Read the orientation.

    It is 1 where the block can't be read, as in image viewers.
    """
    try:
        return _ifd(exif).get(_ORIENTATION, (1,))[0]
    except (struct.error, IndexError, ImageError):
        return 1


def _ifd(data: bytes) -> Mapping[int, tuple[int, ...]]:
    """Read the integers of a TIFF's first page, by tag."""
    order = _TIFF_ORDERS.get(data[:4])
    if order is None:
        raise ImageError(DAMAGED, "no TIFF byte order mark")
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    tags: dict[int, tuple[int, ...]] = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", data, entry)
        code = _TIFF_TYPES.get(kind)
        if code is None or not length:
            continue
        if length > len(data):  # also prevents a forged length from allocating gigabytes
            raise _cut(data, f"tag {tag}")
        layout = f"{order}{length}{code}"
        position = entry + 8
        if struct.calcsize(layout) > 4:
            (position,) = struct.unpack_from(f"{order}I", data, position)
        tags[tag] = struct.unpack_from(layout, data, position)
    return tags
