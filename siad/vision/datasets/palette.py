"""PNG with a palette: samples are indices, viewers show colours.

Neither OpenCV nor libpng's readers keep the indices. They differ from a grey PNG in two chunks alone, so a grey one is
written or read and the chunks are exchanged.

Source: W3C PNG 3rd edition.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.headers import UNSUPPORTED, ImageError
from siad.vision.images import decode_image

_START: Final = b"\x89PNG\r\n\x1a\n"
_GREY, _INDEXED, _COLOUR_TYPE = 0, 3, 9  # colour types, and where one stands in IHDR


def write_indexed(indices_HW: NDArray[np.uint8], colours: Sequence[tuple[int, int, int]]) -> bytes:
    """Write an image of indices with their colours, at most 256."""
    done, data = cv2.imencode(".png", indices_HW, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    assert done, f"no PNG of {indices_HW.dtype} {indices_HW.shape}"
    palette = _chunk(b"PLTE", bytes(value for colour in colours for value in colour))
    out = bytearray(_START)
    for kind, body in _chunks(bytes(data)):
        if kind == b"IHDR":
            out += _chunk(kind, _typed(body, _INDEXED)) + palette
        else:
            out += _chunk(kind, body)
    return bytes(out)


def read_indexed(data: bytes) -> NDArray[np.uint8]:
    """Read the indices of a PNG with a palette.

    Of a grey one, the samples.

    Returns:
        uint8 [H, W].

    Raises:
        ImageError: it is no PNG, has colours without a palette, or not 8 bits.
    """
    out = bytearray(_START)
    for kind, body in _chunks(data):
        if kind == b"IHDR":
            bits, colour_type = body[8:10] if len(body) == 13 else (0, 0)
            if bits != 8 or colour_type not in (_GREY, _INDEXED):
                found = f"colour type {colour_type} and {bits} bits"
                raise ImageError(
                    UNSUPPORTED, f"a mask of classes is a PNG of 8 bits with a palette or grey, not {found}"
                )
            out += _chunk(kind, _typed(body, _GREY))
        elif kind not in (b"PLTE", b"tRNS"):
            out += _chunk(kind, body)
    return decode_image(bytes(out))[:, :, 0].astype(np.uint8, copy=False)


def _typed(header: bytes, colour_type: int) -> bytes:
    return header[:_COLOUR_TYPE] + bytes([colour_type]) + header[_COLOUR_TYPE + 1 :]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_START)
    if data[:at] != _START:
        raise ImageError(UNSUPPORTED, "a mask of classes is a PNG; these bytes are none")
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length
