"""WebP, read by libwebp, which refuses a bit stream that ends early.

Source: RFC 9649.
"""

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
from imagecodecs import WebpError, webp_decode
from numpy.typing import NDArray

from siad.vision.formats.errors import damaged, several, truncated
from siad.vision.formats.header import Header
from siad.vision.formats.tags import exif_orientation
from siad.vision.memory_errors import is_out_of_memory

_ANIMATION: Final = 0x02  # flag of the extended header


def read_header(data: bytes) -> Header:
    """Parse one file, all its chunks."""
    (declared,) = struct.unpack_from("<I", data, 4)
    if 8 + declared > len(data):
        raise truncated(data, "its RIFF container")
    size, canvas, orientation = None, None, 1
    for kind, body in _chunks(data, 8 + declared):
        if kind in (b"ANIM", b"ANMF") or (kind == b"VP8X" and body[0] & _ANIMATION):
            msg = "an animated WebP"
            raise several(msg)
        if kind == b"VP8X":
            canvas = tuple(1 + int.from_bytes(body[place : place + 3], "little") for place in (4, 7))
        elif kind == b"VP8 ":
            width, height = struct.unpack_from("<HH", body, 6)
            size = (width & 0x3FFF, height & 0x3FFF)
        elif kind == b"VP8L":
            (packed,) = struct.unpack_from("<I", body, 1)
            size = ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
        elif kind == b"EXIF":
            orientation = exif_orientation(body.removeprefix(b"Exif\0\0"))
    if size is None:
        msg = "a WebP without a picture"
        raise damaged(msg)
    if canvas is not None and canvas != size:
        msg = f"a WebP of {size[0]}x{size[1]} px whose header says {canvas[0]}x{canvas[1]} px"
        raise damaged(msg)
    return Header(
        format="webp", width_px=size[0], height_px=size[1], channels=3, bits=8, orientation=orientation
    ).checked()


def _chunks(data: bytes, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of every chunk."""
    at = 12
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > end:
            raise truncated(data, f"chunk {kind.decode('latin-1')}")
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def decode(data: bytes, header: Header) -> NDArray[np.uint8]:
    """Decode the pixels.

    Returns:
        uint8 [H, W, C], C 3 (RGB) or 4 (with alpha).

    Raises:
        ImageError: libwebp reports an error.
    """
    try:
        pixels = webp_decode(data)
    except WebpError as error:
        if is_out_of_memory(error):
            raise
        np.empty(2 * header.width_px * header.height_px * 4, np.uint8)  # libwebp reports exhausted memory as damage
        msg = f"libwebp reports of the WebP of {len(data)} bytes: {error}"
        raise damaged(msg) from error
    return np.asarray(pixels, np.uint8)
