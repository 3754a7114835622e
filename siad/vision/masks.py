"""Masks at image size, as PNG and as outlines.

A mask is uint8 [H, W], 0 good, 255 defect. A pseudo-mask and a correction by a person may also have 128, ignore: the
truth is unknown there, so such pixels are neither trained on nor measured.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.contracts.events import POINTS_MAX, REGIONS_MAX, Region
from siad.vision.headers import UNSUPPORTED, ImageError
from siad.vision.images import decode_image, describe_image

DEFECT = 255
IGNORE = 128
_COLOURS = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGB with alpha"}  # by number of channels


def encode_mask(mask_HW: NDArray[np.uint8]) -> bytes:
    """Encode a mask as grey 8-bit PNG; equal masks give equal bytes."""
    done, data = cv2.imencode(".png", mask_HW, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    assert done, f"no PNG of {mask_HW.dtype} {mask_HW.shape}"
    return bytes(data)


def decode_mask(data: bytes, *, may_ignore: bool = False) -> NDArray[np.uint8]:
    """Decode a mask.

    Args:
        data: PNG.
        may_ignore: accept pixels that are ``IGNORE``, as a pseudo-mask has them.

    Raises:
        ImageError: the bytes are no image, or an image in colour, of 16 bits, or with other values than 0 and 255 (and
            128).
    """
    info = describe_image(data)
    if (info.format, info.channels, info.bits) != ("png", 1, 8):
        colours = _COLOURS.get(info.channels, f"{info.channels} channels")
        found = f"{info.format.upper()} ({colours}, {info.bits} bits)"
        raise ImageError(UNSUPPORTED, f"a mask is a grey 8-bit PNG, not a {found}")
    mask_HW = decode_image(data)[:, :, 0].astype(np.uint8, copy=False)
    known = (0, IGNORE, DEFECT) if may_ignore else (0, DEFECT)
    others = np.setdiff1d(mask_HW, known)
    if others.size:
        allowed = ", ".join(str(value) for value in known)
        raise ImageError(UNSUPPORTED, f"a mask may have the values {allowed}; this one also has {others[:5].tolist()}")
    return mask_HW


def regions_of(mask_HW: NDArray[np.uint8], map_HW: NDArray[np.float32]) -> tuple[Region, ...]:
    """Outline the connected defects of a mask, largest first, at most 64.

    Points are corners of pixels, 0 to W and 0 to H, so a single pixel is a square with an area. Holes are not outlined;
    ``area_px`` counts the mask's own pixels.

    Args:
        mask_HW: uint8 [H, W], 0 good, 255 defect.
        map_HW: float32 [H, W], raw scores; the peak of each region is read from it.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask_HW, connectivity=8)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    largest = np.argsort(-areas, kind="stable")[:REGIONS_MAX] + 1
    regions = []
    for label in largest:
        left, top, width, height, area = (int(value) for value in stats[label])
        box = (slice(top, top + height), slice(left, left + width))
        inside = labels[box] == label
        points = _outline(inside) + np.array([left, top])
        regions.append(
            Region(
                points=tuple(int(value) for value in points.ravel()),
                area_px=area,
                peak_score=float(map_HW[box][inside].max()),
            )
        )
    return tuple(regions)


def _outline(inside_hw: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Outline one component in pixel corners.

    int32 [N, 2], x and y, 4 <= N <= 128.
    """
    height, width = inside_hw.shape
    corners = np.zeros((height + 1, width + 1), np.uint8)
    for down in (0, 1):
        for right in (0, 1):
            corners[down : down + height, right : right + width] |= inside_hw
    contours, _ = cv2.findContours(corners, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    contour = contours[0]
    tolerance_px = 0.5
    points = contour
    while len(points) > POINTS_MAX:
        points = cv2.approxPolyDP(contour, tolerance_px, closed=True)
        tolerance_px *= 1.5
    if len(points) < 3:  # so thin that it was simplified to a line
        return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.int32)
    return np.asarray(points, np.int32).reshape(-1, 2)
