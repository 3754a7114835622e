"""Headers of image files, read without decoding a pixel.

Each format is parsed from its first byte to its declared end, so that a file that was cut is refused before it is
decoded, and by what it lacks.
"""

import struct
from typing import Final

from siad.vision.formats import bmp, jpeg, png, tags, tiff, webp
from siad.vision.formats.errors import DAMAGED, NOT_AN_IMAGE, TOO_LARGE, TRUNCATED, UNSUPPORTED, ImageError, truncated
from siad.vision.formats.foreign import refuse_foreign
from siad.vision.formats.header import Header

__all__ = [
    "DAMAGED",
    "EXTENSIONS",
    "NOT_AN_IMAGE",
    "TOO_LARGE",
    "TRUNCATED",
    "UNSUPPORTED",
    "Header",
    "ImageError",
    "read_header",
]

EXTENSIONS: Final = {"jpeg": "jpg", "png": "png", "bmp": "bmp", "tiff": "tif", "webp": "webp"}


def read_header(data: bytes) -> Header:
    """Parse one file of JPEG, PNG, BMP, TIFF or WebP.

    Raises:
        ImageError: not-an-image, truncated, unsupported or damaged.
    """
    try:
        if data.startswith(jpeg.START):
            return jpeg.read_header(data)
        if data.startswith(png.START):
            return png.read_header(data)
        if data.startswith(b"BM"):
            return bmp.read_header(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return webp.read_header(data)
        if data[:4] in tags.MAGIC and data[8:10] != b"CR":
            return tiff.read_header(data)
    except (struct.error, IndexError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise truncated(data, "its header") from error
    raise refuse_foreign(data)
