"""Perceptual hash of an image: near-duplicates differ in few of its bits.

256 signs of the low frequencies of the image, shrunk to 64 x 64 (Zauner, "Implementation and Benchmarking of Perceptual
Image Hash Functions", 2010). Compression, noise and brightness hardly change it; a shift by one pixel changes up to a
tenth, which is as much as between two parts of one kind.
"""

from typing import Final

import cv2
import numpy as np

from siad.vision.images import Image

HEX_DIGITS: Final = 64
_SIDE_PX, _FREQUENCIES = 64, 16


def image_hash(image_HWC: Image) -> str:
    """Hash a decoded image.

    Returns:
        256 bits as hex, in the order of the frequencies' rows; the same for equal pixels.
    """
    grey_HW = image_HWC.mean(axis=2, dtype=np.float32)
    small = cv2.resize(grey_HW, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.packbits(cv2.dct(small)[:_FREQUENCIES, :_FREQUENCIES] > 0).tobytes().hex()
