"""Decoding of images.

Every stage uses it, so that all get the same pixels. A file gives right pixels, or is refused with what it holds.

Rules for all formats: palettes are resolved; gamma and colour profiles are ignored; white is 255 or 65535. Alpha that
is opaque everywhere is dropped. An image with a transparent pixel is refused, because the file does not say what is
behind it.

Shape suffixes: H = height, W = width, C = channels.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from siad.vision.formats import bmp, jpeg, png, tiff, webp
from siad.vision.formats.errors import damaged
from siad.vision.formats.header import Header
from siad.vision.headers import DAMAGED, EXTENSIONS, TOO_LARGE, UNSUPPORTED, ImageError, read_header
from siad.vision.memory_errors import out_of_memory_named

__all__ = [
    "DECODER_VERSION",
    "PIXELS_MAX",
    "Image",
    "ImageError",
    "ImageInfo",
    "decode_image",
    "decode_with_alpha",
    "describe_image",
]

DECODER_VERSION = 2  # incremented when the same bytes would give other pixels; manifests record it
PIXELS_MAX = 100_000_000  # a 100 MP colour image is 300 MB decoded

Image = NDArray[np.uint8] | NDArray[np.uint16]  # [H, W, C], C 1 or 3 (RGB), upright

_DECODERS: Final[dict[str, Callable[[bytes, Header], NDArray[Any]]]] = {
    "jpeg": jpeg.decode,
    "png": png.decode,
    "bmp": bmp.decode,
    "tiff": tiff.decode,
    "webp": webp.decode,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """Description of an image before it is decoded."""

    format: str  # jpeg, png, bmp, tiff, webp
    extension: str  # without a dot
    width_px: int  # after orientation, like the height
    height_px: int
    channels: int  # 1 or 3
    bits: int  # 8 or 16
    significant_bits: int = 0  # 1 to 15, where a file of 16 bits declares fewer, by which it is scaled; 0: it does not
    pages: int = 1  # images in the file
    note: str = ""  # what the sender should know: which of several images was used


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
        extension=EXTENSIONS[header.format],
        width_px=width,
        height_px=height,
        channels=header.channels,
        bits=header.bits,
        significant_bits=header.significant_bits,
        pages=header.pages,
        note=header.note,
    )


def decode_image(data: bytes, *, pixels_max: int = PIXELS_MAX) -> Image:
    """Decode one image, rotated upright by its Exif orientation.

    Samples of a file that declares its depth (10 bits in 16, say) are scaled to all bits.

    Returns:
        uint8 or uint16 [H, W, C], C 1 (grey) or 3 (RGB). White is 255 or 65535.

    Raises:
        ImageError: as ``describe_image``; damaged, where the header is sound and the pixels are not; unsupported, where
            pixels are transparent.
        OutOfMemoryError: memory ran out; the image may be good.
    """
    header = _checked(data, pixels_max)
    with out_of_memory_named(f"decoding an image of {header.width_px}x{header.height_px} px"):
        samples = _decoded(data, header)
        _require_opaque(samples[:, :, header.channels :])
        image = samples[:, :, : header.channels]
        return np.ascontiguousarray(_upright(image, header.orientation))


def decode_with_alpha(data: bytes, *, pixels_max: int = PIXELS_MAX) -> tuple[Image, Image | None]:
    """Decode one image and its alpha.

    For files where transparency has a meaning: masks of annotation tools.

    Returns:
        The image as of ``decode_image``, and its alpha [H, W] of the same type, None where the file has none.

    Raises:
        ImageError: as ``decode_image``, but transparent pixels are returned as they are.
        OutOfMemoryError: memory ran out; the image may be good.
    """
    header = _checked(data, pixels_max)
    with out_of_memory_named(f"decoding an image of {header.width_px}x{header.height_px} px"):
        samples = np.ascontiguousarray(_upright(_decoded(data, header), header.orientation))
    has_alpha = samples.shape[2] > header.channels
    return samples[:, :, : header.channels], samples[:, :, -1] if has_alpha else None


def _decoded(data: bytes, header: Header) -> NDArray[Any]:
    """Decode the samples, and compare them with the header.

    [H, W, C], C one more where there is alpha.
    """
    try:
        samples = _DECODERS[header.format](data, header)
    except ImageError:
        raise
    except (struct.error, IndexError, ValueError) as error:  # within a segment; libpng's messages may be no text
        msg = f"the {header.format} of {len(data)} bytes can't be decoded: {error}"
        raise damaged(msg) from error
    height, width, channels = samples.shape
    found = (width, height, 8 * samples.dtype.itemsize)
    if found != (header.width_px, header.height_px, header.bits) or channels - header.channels not in (0, 1):
        said = f"{header.width_px}x{header.height_px} px, {header.channels}x{header.bits} bits"
        msg = f"a {header.format} of {width}x{height} px, {channels}x{found[2]} bits, whose header says {said}"
        raise ImageError(DAMAGED, msg)
    return samples


def _require_opaque(alpha: NDArray[Any]) -> None:
    """Refuse transparent pixels.

    Args:
        alpha: [H, W, 1], or [H, W, 0] where there is none.
    """
    if alpha.size and int(alpha.min()) < np.iinfo(alpha.dtype).max:
        count = int(np.count_nonzero(alpha < np.iinfo(alpha.dtype).max))
        share = f"{count} of {alpha.size} pixels, {count / alpha.size:.1%}"
        msg = f"an image with transparent pixels ({share}) is not supported; save it without transparency"
        raise ImageError(UNSUPPORTED, msg)


def _checked(data: bytes, pixels_max: int) -> Header:
    header = read_header(data)
    pixels = header.width_px * header.height_px
    if pixels > pixels_max:
        size = f"{header.width_px}x{header.height_px} px"
        raise ImageError(TOO_LARGE, f"{size} are {pixels:,} pixels; at most {pixels_max:,} are accepted")
    return header


def _upright(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Rotate and mirror by the Exif orientation (Exif 2.32, tag 0x0112)."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image
