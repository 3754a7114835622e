"""Picture of an image with its mask and regions, for operators.

Shape suffixes: H, W = size of the image, C = channels.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.contracts.events import Region
from siad.vision.headers import UNSUPPORTED, ImageError
from siad.vision.images import Image
from siad.vision.masks import DEFECT, IGNORE

_DEFECT_RGB: Final = (255, 60, 40)
_IGNORE_RGB: Final = (60, 150, 255)
_TINT: Final = 0.35  # opacity of the tint; the part must stay visible below it
_LINE_SHARE: Final = 0.003  # width of an outline, of the longer side


def draw_overlay(image_HWC: Image, mask_HW: NDArray[np.uint8] | None, regions: Sequence[Region] = ()) -> bytes:
    """Draw a mask and outlines over an image.

    Defective pixels are tinted red and outlined, ignored ones tinted blue. Regions are outlined where there is no mask.
    Images of 16 bits are stretched from their darkest to their brightest percentile, so that the part can be seen.

    Args:
        image_HWC: uint8 or uint16, C 1 or 3 (RGB).
        mask_HW: uint8, 0 good, 128 ignore, 255 defect; None where there is none.
        regions: outlines in pixels of the image.

    Returns:
        PNG, 8-bit RGB, of the size of the image.

    Raises:
        ImageError: the mask has another size than the image.
    """
    picture = _as_rgb(image_HWC)
    height, width = picture.shape[:2]
    line_px = max(1, round(_LINE_SHARE * max(height, width)))
    if mask_HW is not None:
        if mask_HW.shape != (height, width):
            size = f"{mask_HW.shape[1]}x{mask_HW.shape[0]} px"
            raise ImageError(UNSUPPORTED, f"the mask has {size}, the image {width}x{height} px")
        for value, colour in ((IGNORE, _IGNORE_RGB), (DEFECT, _DEFECT_RGB)):
            is_marked = mask_HW == value
            picture[is_marked] = np.round((1 - _TINT) * picture[is_marked] + _TINT * np.array(colour))
        outlines, _ = cv2.findContours((mask_HW == DEFECT).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, outlines, -1, _DEFECT_RGB, line_px)
    else:
        outlines = [np.array(region.points, np.int32).reshape(-1, 1, 2) for region in regions]
        cv2.polylines(picture, outlines, isClosed=True, color=_DEFECT_RGB, thickness=line_px)
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert done, f"no PNG of {picture.dtype} {picture.shape}"
    return bytes(data)


def _as_rgb(image_HWC: Image) -> NDArray[np.uint8]:
    eight = image_HWC
    if image_HWC.dtype != np.uint8:
        low, high = np.percentile(image_HWC, (0.5, 99.5))
        eight = np.clip((image_HWC - low) / max(high - low, 1.0) * 255, 0, 255)
    rgb = np.repeat(eight, 3, axis=2) if eight.shape[2] == 1 else eight
    return np.ascontiguousarray(rgb, dtype=np.uint8).copy()
