"""Depth of images: bits of a 16-bit file that a camera uses.

A camera of 10 or 12 bits writes its values into files of 16 bits, mostly unscaled: white is 1023 or 4095 of 65535. The
decoder scales files that say their depth. Of the others the line says it, or the normals show it: the highest value
among all of them fits the depth. It is stored with the weights, and every image is scaled to the full range by it
before it is scored. A network that was trained on images of ordinary brightness sees little in one that is nearly
black: 12 bits in 16 cost up to .34 of image AUROC.

Shape suffixes: H, W = size of the image, C = channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from siad.contracts.depth import FULL_BITS, white_of
from siad.vision.formats.samples import scale_samples

Samples = NDArray[np.uint8] | NDArray[np.uint16]  # ``siad.vision.images.Image``, which is decoded with this module

DEPTHS: Final = (8, 10, 12, 14)  # of the samples in 16-bit files, as cameras have them


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedDepth:
    """Depth by which a line's images are scaled, and its reason."""

    bits: int  # 8 to 16; 8 where all files have 8 bits
    why: str  # for the log


def scale_to_full_range(image_HWC: Samples, bits: int) -> Samples:
    """Scale a 16-bit image so that its white becomes 65535.

    Args:
        image_HWC: uint8 or uint16, of any shape; 8-bit images are returned as they are.
        bits: significant bits of its samples, 8 to 16; 0 and 16: all of them, so that nothing is scaled.

    Returns:
        An image of the same type and shape; values beyond ``bits`` become white.
    """
    if image_HWC.dtype != np.uint16 or bits in (0, FULL_BITS):
        return image_HWC
    scaled: Samples = scale_samples(np.minimum(image_HWC, np.uint16(white_of(bits))), bits)
    return scaled


def find_depth(images: Sequence[Samples], declared: Sequence[int] = ()) -> FittedDepth:
    """Find the depth that the highest value among a line's normals fits.

    Args:
        images: decoded normals, at least one.
        declared: for each, the depth that its file declares, 0 for none; the decoder has scaled files that declare one.
            Empty where no file does.
    """
    deep = [index for index, image_HWC in enumerate(images) if image_HWC.dtype == np.uint16]
    if not deep:
        return FittedDepth(bits=8, why=f"all {len(images)} normals are 8-bit files")
    scaled = sum(declared[index] > 0 for index in deep) if declared else 0
    if scaled:
        why = f"{scaled} of {len(deep)} 16-bit normals declare their depth, by which the decoder scales them"
        return FittedDepth(bits=FULL_BITS, why=why)
    highest = max(int(images[index].max()) for index in deep)
    bits = _least_depth(highest)
    usual = _least_depth(sorted(int(images[index].max()) for index in deep)[len(deep) // 2])
    odd = f", though most fit {usual} bits: check the brightest" if usual < bits else ""
    return FittedDepth(bits=bits, why=f"the highest value of {len(deep)} 16-bit normals is {highest}{odd}")


def require_depth(images: Sequence[Samples], bits: int, declared: Sequence[int] = ()) -> FittedDepth:
    """Take the depth that a line states, if its normals agree.

    Args:
        images: decoded normals.
        bits: as the line states it, 8 to 16.
        declared: as in ``find_depth``.

    Raises:
        ValueError: a normal has 8 bits where more are stated, or a value beyond them.
    """
    if declared and any(declared):
        return find_depth(images, declared)
    shallow = sum(image_HWC.dtype == np.uint8 for image_HWC in images)
    if shallow and bits > 8:
        msg = (
            f"the line states {bits} bits, and {shallow} of {len(images)} normals are 8-bit files; "
            "set --bits 8 or 0, or send 16-bit files"
        )
        raise ValueError(msg)
    highest = max((int(image_HWC.max()) for image_HWC in images), default=0)
    if highest > white_of(bits):
        over = sum(int(image_HWC.max()) > white_of(bits) for image_HWC in images)
        found = find_depth(images).bits
        msg = (
            f"the line states {bits} bits, and {over} of {len(images)} normals have values beyond {white_of(bits)}, up "
            f"to {highest}; set --bits {found}, or 0 to have it found"
        )
        raise ValueError(msg)
    return FittedDepth(bits=bits, why=f"the line states {bits} bits")


def _least_depth(highest: int) -> int:
    return next((depth for depth in DEPTHS if highest <= white_of(depth)), FULL_BITS)
