"""Comparison of an image with a template of its own.

For parts that come with a reference image, such as printed boards.

The oldest method of inspection (Moganti et al. 1996, Automatic PCB inspection algorithms: a survey, section 3.1). It
needs no fit; no stage uses it yet.

Shape suffixes: H, W = size of both images, C = channels.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.images import Image
from siad.vision.registration import match_illumination, register, warp

_REACH_PX: Final = 3  # that an edge may be off after registration
Pixels = NDArray[np.float32]


def compare_pair(template_HWC: Image, image_HWC: Image) -> Pixels:
    """Compare an image with the template that belongs to it.

    A pixel counts where the image differs by more than a shift of 3 px explains, and around such a pixel as far as the
    two differ at all, before registration or after.

    Args:
        template_HWC: uint8 or uint16, free of defects.
        image_HWC: uint8 or uint16, of the same number of pixels each way.

    Returns:
        float32 [H, W] on the image: 0 where both are equal, 1 where they differ as much as black and white.

    Raises:
        ValueError: they are of different sizes, or not of 1 or 3 channels.
    """
    template, image = _unit(template_HWC), _unit(image_HWC)
    motion_23 = register(_grey(image), _grey(template), motion="affine")
    aligned = match_illumination(warp(template, motion_23), image)
    seed_HW = differing(image, aligned, reach_px=_REACH_PX)
    around_HW = _largest(seed_HW, _REACH_PX + 1)
    extent_HW = np.maximum(np.abs(image - aligned), np.abs(image - template)).max(2)
    return np.asarray(np.minimum(extent_HW, around_HW))


def differing(image_HWC: Pixels, template_HWC: Pixels, *, reach_px: int) -> Pixels:
    """Measure how far pixels are outside the template's values within ``reach_px``.

    Returns:
        float32 [H, W], the largest of the channels.
    """
    high_HWC, low_HWC = (fold(template_HWC, reach_px) for fold in (_largest, _smallest))
    return np.asarray(np.maximum(np.maximum(image_HWC - high_HWC, low_HWC - image_HWC), 0).max(2))


def _unit(image_HWC: Image) -> Pixels:
    """Convert to float32 0..1."""
    return image_HWC.astype(np.float32) / float(np.iinfo(image_HWC.dtype).max)


def _grey(image_HWC: Pixels) -> Pixels:
    return np.ascontiguousarray(image_HWC.mean(2))


def _largest(image: Pixels, reach_px: int) -> Pixels:
    return np.asarray(cv2.dilate(image, np.ones((2 * reach_px + 1,) * 2, np.uint8))).reshape(image.shape)


def _smallest(image: Pixels, reach_px: int) -> Pixels:
    return np.asarray(cv2.erode(image, np.ones((2 * reach_px + 1,) * 2, np.uint8))).reshape(image.shape)
