"""Image preprocessing, shared by fitting, training and serving.

Shape suffixes: H, W = size of the image, h, w = size of the network's input, C = channels.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.images import Image

PREPROCESS_VERSION = 1  # incremented when the same pixels would give other numbers; manifests record it
STRIDE_PX = 32  # sides are multiples of it, so that every stage of the backbone divides evenly
CENTRE = 127.0  # EfficientNet-Lite was trained on (x - 127) / 128, not on ImageNet's mean and deviation
SCALE = 128.0


def input_size(height_px: int, width_px: int, *, input_px: int) -> tuple[int, int]:
    """Height and width of an image's network input.

    The area is about ``input_px`` squared, the aspect ratio is kept, and both are multiples of 32.
    """
    ratio = input_px / math.sqrt(height_px * width_px)
    height = max(STRIDE_PX, round(height_px * ratio / STRIDE_PX) * STRIDE_PX)
    width = max(STRIDE_PX, round(width_px * ratio / STRIDE_PX) * STRIDE_PX)
    return height, width


def preprocess(image_HWC: Image, *, input_px: int) -> NDArray[np.float32]:
    """Resize and scale one decoded image for a network.

    Args:
        image_HWC: uint8 or uint16 [H, W, C], C 1 or 3 (RGB).
        input_px: side of the square with the area that the image is resized to.

    Returns:
        float32 [3, h, w], ``(x - 127) / 128`` of x in 0..255; h and w are multiples of 32.

    Raises:
        ValueError: another type or number of channels.
    """
    if image_HWC.dtype not in (np.uint8, np.uint16) or image_HWC.ndim != 3 or image_HWC.shape[2] not in (1, 3):
        msg = f"an image of {image_HWC.dtype} {list(image_HWC.shape)}; uint8 or uint16 [H, W, 1 or 3] is needed"
        raise ValueError(msg)
    height, width = input_size(*image_HWC.shape[:2], input_px=input_px)
    shrinks = height * width < image_HWC.shape[0] * image_HWC.shape[1]
    kernel = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    small = cv2.resize(image_HWC, (width, height), interpolation=kernel).astype(np.float32)
    if image_HWC.dtype == np.uint16:
        small *= 255.0 / 65535.0
    small = (small - CENTRE) / SCALE
    # OpenCV drops a single channel.
    planes = np.repeat(small[None], 3, axis=0) if small.ndim == 2 else small.transpose(2, 0, 1)
    return np.ascontiguousarray(planes)
