"""Images as a browser shows them."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.headers import read_header
from siad.vision.images import Image, decode_image

SHOWN: Final = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}  # formats that every browser shows
DARKEST, BRIGHTEST = 0.001, 0.999  # quantiles of 16-bit samples that become black and white


def make_viewable(data: bytes) -> tuple[bytes, str]:
    """Make an image that a browser shows pixel for pixel.

    Returns its bytes and media type. What browsers show as stored stays as it is. Else (TIFF, BMP, 16 bits, an
    orientation) it becomes an 8-bit PNG, with 16 bits stretched between their 0.1% and 99.9% quantiles, so that a dark
    image of 12 bits can be seen.

    Raises:
        ImageError: the bytes are no image, or an unsupported one.
    """
    header = read_header(data)
    if header.format in SHOWN and header.bits == 8 and header.orientation == 1:
        return data, SHOWN[header.format]
    done, png = cv2.imencode(".png", _in_8_bits(decode_image(data))[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done, "no PNG of 8 bits"
    return bytes(png), "image/png"


def _in_8_bits(image_HWC: Image) -> NDArray[np.uint8]:
    if image_HWC.dtype == np.uint8:
        return np.asarray(image_HWC, np.uint8)
    low, high = np.quantile(image_HWC, (DARKEST, BRIGHTEST))
    stretched = (image_HWC.astype(np.float32) - low) * (255 / max(high - low, 1))
    return np.asarray(np.clip(np.rint(stretched), 0, 255), np.uint8)
