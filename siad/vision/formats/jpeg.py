"""JPEG, read by libjpeg-turbo with every warning as an error.

libjpeg warns and goes on where coded pixels end early or make no sense, and fills the rest with grey. It can't warn
where a progressive file lacks its last scans, so the scans are counted here.

Bytes after the end-of-image marker are ignored: cameras append padding, thumbnails, videos and further images.

Sources: ITU T.81 annex B and G, Exif 2.32, CIPA DC-007 (multi-picture format), Adobe Technical Note 5116.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from siad.vision.formats.errors import ImageError, damaged, truncated, unsupported
from siad.vision.formats.header import Header
from siad.vision.formats.tags import exif_orientation, read_pages
from siad.vision.memory_errors import is_out_of_memory_text

START: Final = b"\xff\xd8\xff"
SCANS_MAX: Final = 100  # encoders write up to some twenty; each scan costs as much as decoding the image once

_MARKER: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in coded data FF00 is a byte and FFD0 to FFD7 are restarts
_FRAMES: Final = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; Huffman all
_PROGRESSIVE: Final = 0xC2
_FRAMES_UNSUPPORTED: Final = {
    0xC3: "lossless JPEG",
    0xC5: "hierarchical JPEG",
    0xC6: "hierarchical JPEG",
    0xC7: "hierarchical JPEG",
    0xC9: "JPEG with arithmetic coding",
    0xCA: "JPEG with arithmetic coding",
    0xCB: "lossless JPEG",
    0xCD: "hierarchical JPEG",
    0xCE: "hierarchical JPEG",
    0xCF: "hierarchical JPEG",
    0xF7: "JPEG-LS",  # ITU T.87
}
_NUMBER_OF_IMAGES: Final = 0xB001  # of the multi-picture format


@dataclass(slots=True, kw_only=True)
class _Frame:
    """What the segments of one file say."""

    progressive: bool = False
    bits: int = 0
    height_px: int = 0
    width_px: int = 0
    components: dict[int, list[int | None]] = field(default_factory=dict)  # id -> lowest bit sent, by coefficient
    orientation: int = 1
    images: int = 1
    scans: int = 0
    adobe_transform: int | None = None


def read_header(data: bytes) -> Header:
    """Parse one file up to its end-of-image marker."""
    frame = _Frame()
    for marker, body in _segments(data):
        _read_segment(frame, marker, body)
    if not frame.components:
        msg = "a JPEG without a frame header"
        raise damaged(msg)
    _require_supported(frame)
    _require_complete(frame)
    images = f"image 1 of {frame.images} was used: the file is a multi-picture JPEG" if frame.images > 1 else ""
    return Header(
        format="jpeg",
        width_px=frame.width_px,
        height_px=frame.height_px,
        channels=1 if len(frame.components) == 1 else 3,
        bits=8,
        orientation=frame.orientation,
        pages=frame.images,
        note=images,
    ).checked()


def decode(data: bytes, header: Header) -> NDArray[np.uint8]:
    """Decode the pixels.

    Returns:
        uint8 [H, W, C], C 1 or 3 (RGB).

    Raises:
        ImageError: libjpeg reports an error or a warning.
    """
    return decode_strictly(data, channels=header.channels)


def decode_strictly(data: bytes, *, channels: int) -> NDArray[np.uint8]:
    """Decode one JPEG stream.

    The inverse transform and the upsampling are libjpeg's defaults, as in OpenCV: the pixels are equal.
    """
    try:
        pixels: Any = simplejpeg.decode_jpeg(data, "GRAY" if channels == 1 else "RGB", strict=True)
    except ValueError as error:
        if is_out_of_memory_text(str(error)):
            raise MemoryError(str(error)) from error
        msg = f"libjpeg reports of the JPEG of {len(data)} bytes: {error}"
        raise damaged(msg) from error
    return np.asarray(pixels, np.uint8)


def without_colour_markers(segments: bytes) -> bytes:
    """Drop the markers that state a colour space.

    JFIF and Adobe, before the coded pixels.
    """
    kept, at = [], 0
    while segments[at : at + 1] == b"\xff" and segments[at + 1 : at + 2] not in (b"", b"\xda"):
        (length,) = struct.unpack_from(">H", segments, at + 2)
        if segments[at + 1] not in (0xE0, 0xEE):
            kept.append(segments[at : at + 2 + length])
        at += 2 + length
    return b"".join(kept) + segments[at:]


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and body of every segment.

    Up to the end-of-image marker, skipping coded pixels.
    """
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        marker, at = data[found.start() + 1], found.end()
        if marker == 0xD9:
            return
        if marker in (0x01, 0xD8):  # markers without a segment
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if at + length > len(data):
            raise truncated(data, f"segment FF{marker:02X}")
        yield marker, data[at + 2 : at + length]
        at += length
    raise truncated(data, "its coded pixels: the end-of-image marker is missing")


def _read_segment(frame: _Frame, marker: int, body: bytes) -> None:
    if marker in _FRAMES_UNSUPPORTED:
        raise unsupported(_FRAMES_UNSUPPORTED[marker])
    if marker in _FRAMES:
        if frame.components:
            msg = "a JPEG with two frame headers"
            raise damaged(msg)
        frame.progressive = marker == _PROGRESSIVE
        frame.bits, frame.height_px, frame.width_px, count = struct.unpack_from(">BHHB", body)
        frame.components = {body[6 + 3 * index]: [None] * 64 for index in range(count)}
        if len(frame.components) != count:
            msg = f"a JPEG of {count} components, two of them with one number"
            raise damaged(msg)
    elif marker == 0xDA:
        _read_scan(frame, body)
    elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
        frame.orientation = exif_orientation(body[6:])
    elif marker == 0xE2 and body.startswith(b"MPF\0"):
        frame.images = max(frame.images, _number_of_images(body[4:]))
    elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
        frame.adobe_transform = body[11]


def _read_scan(frame: _Frame, body: bytes) -> None:
    """Record which coefficients a scan sends, down to which bit."""
    frame.scans += 1
    if frame.scans > SCANS_MAX:
        msg = f"a JPEG of more than {SCANS_MAX} scans"
        raise unsupported(msg)
    count = body[0]
    first, last, approximation = body[1 + 2 * count : 4 + 2 * count]
    if not frame.progressive:
        first, last, approximation = 0, 63, 0
    for index in range(count):
        bits = frame.components.get(body[1 + 2 * index])
        if bits is None:
            msg = f"a JPEG whose scan {frame.scans} is of component {body[1 + 2 * index]}, which it does not have"
            raise damaged(msg)
        for coefficient in range(first, min(last, 63) + 1):
            bits[coefficient] = approximation & 15


def _require_supported(frame: _Frame) -> None:
    if frame.bits != 8:
        msg = f"a JPEG of {frame.bits} bits"
        raise unsupported(msg)
    if frame.height_px == 0:
        msg = "a JPEG that states its height after the pixels (marker DNL)"
        raise unsupported(msg)
    if len(frame.components) == 4:
        kind = {0: "CMYK", 2: "YCCK"}.get(frame.adobe_transform or 0, "four-component")
        msg = f"a {kind} JPEG"
        raise unsupported(msg)
    if len(frame.components) not in (1, 3):
        msg = f"a JPEG of {len(frame.components)} components"
        raise unsupported(msg)


def _require_complete(frame: _Frame) -> None:
    for number, bits in enumerate(frame.components.values(), 1):
        missing = [place for place, lowest in enumerate(bits) if lowest != 0]
        if missing:
            msg = f"a JPEG that lacks scans: {len(missing)} of 64 coefficients of component {number} are incomplete"
            raise damaged(msg)


def _number_of_images(index: bytes) -> int:
    """Read the number of images of a multi-picture JPEG.

    It is 1 where the index can't be read.
    """
    try:
        return next(read_pages(index)).get(_NUMBER_OF_IMAGES, 1)
    except (struct.error, IndexError, ImageError, StopIteration):
        return 1
