"""Maps of scores for people, in 8 bits.

They are small enough to be stored for every capture. The console's page shows them as a heat map, and grows and shrinks
marks along them.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_MAX_PX: Final = 1024  # of the longest side
AT_THRESHOLD: Final = 64  # value of the pixel threshold; 255 is four times as much
FLOOR: Final = 16  # lower values become 0: a quarter of the threshold is noise, which would fill the store


def make_score_map(map_HW: NDArray[np.float32], *, pixel_threshold: float) -> NDArray[np.uint8]:
    """Scale a map to 8 bits, the pixel threshold to 64.

    Args:
        map_HW: float32 [H, W], raw scores.
        pixel_threshold: raw score. Where it is not over 0 nothing can be scaled by it, and the map is 0 everywhere.

    Returns:
        uint8 [h, w] of the image's aspect, at most 1,024 px a side.
    """
    height, width = map_HW.shape
    scale = min(1.0, SIDE_MAX_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if pixel_threshold <= 0:
        return np.zeros(size[::-1], np.uint8)
    small_hw = map_HW if scale == 1 else cv2.resize(map_HW, size, interpolation=cv2.INTER_AREA)
    scaled_hw = np.clip(np.rint(small_hw * (AT_THRESHOLD / pixel_threshold)), 0, 255).astype(np.uint8)
    return np.where(scaled_hw < FLOOR, 0, scaled_hw).astype(np.uint8)
