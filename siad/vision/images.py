"""Decoding of images.

Every stage uses it, so that all get the same pixels.

Shape suffixes: H = height, W = width, C = channels.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.headers import DAMAGED, TOO_LARGE, Header, ImageError, read_header
from siad.vision.memory_errors import is_out_of_memory, out_of_memory_named

__all__ = ["DECODER_VERSION", "PIXELS_MAX", "Image", "ImageError", "ImageInfo", "decode_image", "describe_image"]

DECODER_VERSION = 1  # incremented when the same bytes would give other pixels; manifests record it
PIXELS_MAX = 100_000_000  # a 100 MP colour image is 300 MB decoded

Image = NDArray[np.uint8] | NDArray[np.uint16]  # [H, W, C], C 1 or 3 (RGB), upright

_EXTENSIONS = {"jpeg": "jpg", "png": "png", "bmp": "bmp", "tiff": "tif", "webp": "webp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """Description of an image before it is decoded."""

    format: str  # jpeg, png, bmp, tiff, webp
    extension: str  # without a dot
    width_px: int  # after orientation, like the height
    height_px: int
    channels: int  # 1 or 3
    bits: int  # 8 or 16


def describe_image(data: bytes, *, pixels_max: int = PIXELS_MAX) -> ImageInfo:
    """Describe an image without decoding it.

    Raises:
        ImageError: reason not-an-image, truncated, damaged, unsupported, or too-large (over ``pixels_max`` pixels).
    """
    header = _checked(data, pixels_max)
    width, height = header.width_px, header.height_px
    if header.orientation >= 5:
        width, height = height, width
    return ImageInfo(
        format=header.format,
        extension=_EXTENSIONS[header.format],
        width_px=width,
        height_px=height,
        channels=header.channels,
        bits=header.bits,
    )


def decode_image(data: bytes, *, pixels_max: int = PIXELS_MAX) -> Image:
    """Decode one image, rotated upright by its Exif orientation.

    Alpha is dropped, palettes are resolved, colour profiles ignored; of several pages the first is used.

    Returns:
        uint8 or uint16 [H, W, C], C 1 (grey) or 3 (RGB).

    Raises:
        ImageError: as ``describe_image``; or damaged, where the header is sound and the pixels are not.
        OutOfMemoryError: memory ran out; the image may be good.
    """
    header = _checked(data, pixels_max)
    colour = cv2.IMREAD_GRAYSCALE if header.channels == 1 else cv2.IMREAD_COLOR_RGB
    # This function applies the orientation, except to TIFF, which OpenCV always rotates itself.
    flags = colour | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    with out_of_memory_named(f"decoding an image of {header.width_px}x{header.height_px} px"):
        image = _decode(data, header, flags)
        if header.format != "tiff":
            image = _upright(image, header.orientation)
        return np.ascontiguousarray(image.reshape(*image.shape[:2], header.channels))


def _decode(data: bytes, header: Header, flags: int) -> Any:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if is_out_of_memory(error):
            raise
        raise ImageError(DAMAGED, f"the {header.format} of {len(data)} bytes can't be decoded: {error.err}") from error
    if image is None:
        _require_memory(header)
        raise ImageError(DAMAGED, f"the {header.format} of {len(data)} bytes can't be decoded; its header is sound")
    return image


def _require_memory(header: Header) -> None:
    """Raise ``MemoryError`` if the pixels do not fit into memory.

    For BMP and WebP OpenCV reports that as it reports damage: it gives no image.
    """
    size_bytes = header.width_px * header.height_px * header.channels * max(1, header.bits // 8)
    np.empty(2 * size_bytes, np.uint8)  # it decodes to a second buffer for them


def _checked(data: bytes, pixels_max: int) -> Header:
    header = read_header(data)
    pixels = header.width_px * header.height_px
    if pixels > pixels_max:
        size = f"{header.width_px}x{header.height_px} px"
        raise ImageError(TOO_LARGE, f"{size} are {pixels:,} pixels; at most {pixels_max:,} are accepted")
    return header


def _upright(image: Image, orientation: int) -> Image:
    """Rotate and mirror by the Exif orientation (Exif 2.32, tag 0x0112)."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image
