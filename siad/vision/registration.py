"""Registration of two images of a part, and matching of their illumination.

Sources: Kuglin and Hines 1975 (phase correlation); Evangelidis and Psarakis 2008 (ECC, the enhanced correlation
coefficient).

Shape suffixes: H, W = size of both images, C = channels.
"""

import math
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Motion = Literal["euclidean", "affine"]  # shift and rotation; or shear and scale too

_MOTIONS: Final = {"euclidean": cv2.MOTION_EUCLIDEAN, "affine": cv2.MOTION_AFFINE}
_STEPS: Final = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-6)
_SMOOTHED_PX: Final = 5
_CORRELATION_MIN: Final = 0.3  # under it two images show different things
_SHIFT: Final = 0.15  # of the side; a larger shift is taken for a failed registration
_TURN: Final = 0.2  # radians, or as much of shear
IDENTITY: Final = np.eye(2, 3, dtype=np.float32)


def register(
    fixed_HW: NDArray[np.float32], moving_HW: NDArray[np.float32], *, motion: Motion = "euclidean"
) -> NDArray[np.float32]:
    """Find the motion between two images.

    Phase correlation, then ECC from there and from no motion.

    Args:
        fixed_HW: float32 grey values of any range.
        moving_HW: of the same size.
        motion: kind of motion to find.

    Returns:
        float32 [2, 3], M with ``moving(M (x, y, 1)) = fixed(x, y)``. The identity where the two show different things,
        or where the motion found is not small: then the comparison should show that they differ.

    Raises:
        ValueError: they are of different sizes.
    """
    if fixed_HW.shape != moving_HW.shape:
        sizes = " and ".join(f"{one.shape[1]}x{one.shape[0]}" for one in (fixed_HW, moving_HW))
        msg = f"images of {sizes} px can't be registered; resize them to one size first"
        raise ValueError(msg)
    best, best_correlation = IDENTITY, max(_CORRELATION_MIN, _correlation(fixed_HW, moving_HW))
    for start in (IDENTITY, _shift(fixed_HW, moving_HW)):
        try:
            correlation, found = cv2.findTransformECC(
                fixed_HW, moving_HW, start.copy(), _MOTIONS[motion], _STEPS, None, _SMOOTHED_PX
            )
        except cv2.error:  # no correlation to maximise: a flat image, or a start too far off
            continue
        if correlation > best_correlation and _is_small(found, fixed_HW.shape):
            best, best_correlation = found, correlation
    return np.asarray(best, np.float32)


def warp(moving: NDArray[np.float32], motion_23: NDArray[np.float32]) -> NDArray[np.float32]:
    """Warp an image by a motion of ``register``, repeating the border.

    The image is [H, W] or [H, W, C].
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (moving.shape[1], moving.shape[0])
    warped = cv2.warpAffine(moving, motion_23, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32).reshape(moving.shape)  # OpenCV drops a single channel


def match_illumination(image_HWC: NDArray[np.float32], like_HWC: NDArray[np.float32]) -> NDArray[np.float32]:
    """Match brightness and contrast of an image to another.

    Slow is what is wider than a quarter of the view.

    Args:
        image_HWC: float32.
        like_HWC: of the same shape.
    """
    reach = min(image_HWC.shape[:2]) / 4
    slow_HWC, wanted_HWC = (_slow(one, reach) for one in (image_HWC, like_HWC))
    detail_HWC, wanted_detail_HWC = image_HWC - slow_HWC, like_HWC - wanted_HWC
    gain = float(np.clip(_width(wanted_detail_HWC) / max(_width(detail_HWC), 1e-6), 0.5, 2.0))
    return wanted_HWC + gain * detail_HWC


def _width(detail_HWC: NDArray[np.float32]) -> float:
    """Mean deviation: a small defect hardly changes it."""
    return float(np.abs(detail_HWC).mean())


def _slow(image_HWC: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """Blur widely; a quarter of the pixels is enough for it."""
    height, width = image_HWC.shape[:2]
    small = cv2.resize(image_HWC, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), max(1.0, reach / 4), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(blurred, (width, height)), np.float32).reshape(image_HWC.shape)


def _shift(fixed_HW: NDArray[np.float32], moving_HW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find a shift by phase correlation, in a window.

    Borders of a shifted image have no counterpart.
    """
    window_HW = cv2.createHanningWindow(fixed_HW.shape[::-1], cv2.CV_32F)
    # copies, because OpenCV multiplies its arguments by the window in place
    (across, down), _ = cv2.phaseCorrelate(fixed_HW.copy(), moving_HW.copy(), window_HW)
    return np.array([[1, 0, across], [0, 1, down]], np.float32)


def _correlation(fixed_HW: NDArray[np.float32], moving_HW: NDArray[np.float32]) -> float:
    one, other = (cv2.GaussianBlur(x, (_SMOOTHED_PX, _SMOOTHED_PX), 0) for x in (fixed_HW, moving_HW))
    return correlation_of(np.asarray(one, np.float32), np.asarray(other, np.float32))


def correlation_of(one_HW: NDArray[np.float32], other_HW: NDArray[np.float32]) -> float:
    """Correlate two images of one size; 0 where one is flat."""
    one, other = one_HW - one_HW.mean(), other_HW - other_HW.mean()
    below = math.sqrt(float((one * one).sum()) * float((other * other).sum()))
    return float((one * other).sum()) / below if below > 0 else 0.0


def _is_small(motion_23: NDArray[np.float32], size: tuple[int, ...]) -> bool:
    """Measure a motion at the centre, about which a part rotates."""
    centre = np.array((size[1] / 2, size[0] / 2, 1.0))
    shift = np.abs(motion_23 @ centre - centre[:2]).max()
    return bool(shift <= _SHIFT * min(size[:2]) and np.abs(motion_23[:, :2] - np.eye(2)).max() <= _TURN)
