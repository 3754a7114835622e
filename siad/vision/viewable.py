"""Images as a browser shows them."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.headers import read_header
from siad.vision.images import Image, decode_image

SHOWN: Final = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}  # formats that every browser shows
SAMPLE_MAX: Final = 65_535
THUMBNAIL_PX: Final = 256
THUMBNAIL_QUALITY: Final = 80  # of JPEG; a part of 256 px takes about 8 kB
DARKEST, BRIGHTEST = 0.001, 0.999  # quantiles of 16-bit samples that become black and white


@dataclass(frozen=True, slots=True)
class SampleWindow:
    """Samples that are shown black and white; those between get greys."""

    low: int  # in the samples of the image, from 0
    high: int

    def __post_init__(self) -> None:
        """Refuse a window without samples."""
        if not 0 <= self.low < self.high <= SAMPLE_MAX:
            msg = f"window {self.low} to {self.high} holds no samples; low must be below high, within 0 to {SAMPLE_MAX}"
            raise ValueError(msg)


def make_viewable(data: bytes, window: SampleWindow | None = None) -> tuple[bytes, str]:
    """Make an image that a browser shows pixel for pixel.

    Returns its bytes and media type. What browsers show as stored stays as it is. Else (TIFF, BMP, 16 bits, an
    orientation) it becomes an 8-bit PNG, with 16 bits stretched between their 0.1% and 99.9% quantiles, so that a dark
    image of 12 bits can be seen. With a window every image becomes an 8-bit PNG, stretched between its ends.

    Raises:
        ImageError: the bytes are no image, or an unsupported one.
    """
    header = read_header(data)
    if window is None and header.format in SHOWN and header.bits == 8 and header.orientation == 1:
        return data, SHOWN[header.format]
    done, png = cv2.imencode(
        ".png", _in_8_bits(decode_image(data), window)[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    assert done, "no PNG of 8 bits"
    return bytes(png), "image/png"


def make_thumbnail(data: bytes, side_px: int = THUMBNAIL_PX) -> bytes:
    """Make a small JPEG of an image, never larger than the image.

    Args:
        data: the image as it was sent.
        side_px: longest side of the result.

    Raises:
        ImageError: the bytes are no image, or an unsupported one.
    """
    shown_HWC = np.ascontiguousarray(_in_8_bits(decode_image(data), None)[:, :, ::-1])  # as OpenCV writes it
    height, width = shown_HWC.shape[:2]
    scale = min(1.0, side_px / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(shown_HWC, size, interpolation=cv2.INTER_AREA)
    done, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY])
    assert done, "no JPEG of 8 bits"
    return bytes(jpeg)


def _in_8_bits(image_HWC: Image, window: SampleWindow | None) -> NDArray[np.uint8]:
    if window is None and image_HWC.dtype == np.uint8:
        return np.asarray(image_HWC, np.uint8)
    low, high = np.quantile(image_HWC, (DARKEST, BRIGHTEST)) if window is None else (window.low, window.high)
    stretched = (image_HWC.astype(np.float32) - low) * (255 / max(high - low, 1))
    return np.asarray(np.clip(np.rint(stretched), 0, 255), np.uint8)
