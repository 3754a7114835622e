"""Augmentation of training examples: mirroring and synthetic defects.

Shape suffixes: C = channels, H, W = size of the network's input.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.masks import DEFECT


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingExample:
    """One image with its mask and its weight in the loss."""

    image_CHW: NDArray[np.uint8]
    mask_HW: NDArray[np.uint8]  # 0 good, 128 ignore, 255 defect, at the same size
    weight: float  # 0..1, from the confidence of the pseudo-mask


def mirror(example: TrainingExample, rng: np.random.Generator) -> TrainingExample:
    """Mirror an example at random.

    Shifts and changes of light brought no gain on solar cells.
    """
    image_CHW, mask_HW = example.image_CHW, example.mask_HW
    for axis in (1, 2):
        if rng.random() < 0.5:
            image_CHW, mask_HW = np.flip(image_CHW, axis), np.flip(mask_HW, axis - 1)
    return replace(example, image_CHW=np.ascontiguousarray(image_CHW), mask_HW=np.ascontiguousarray(mask_HW))


def add_defect(example: TrainingExample, rng: np.random.Generator) -> TrainingExample:
    """Add a synthetic defect with an exact mask to a good image.

    A scratch, a stain or a displaced piece.
    """
    height, width = example.mask_HW.shape
    kind = rng.choice(("scratch", "stain", "piece"))
    shape_HW = _scratch((height, width), rng) if kind == "scratch" else _blob((height, width), rng)
    soft_HW = cv2.GaussianBlur(shape_HW.astype(np.float32), (0, 0), rng.uniform(0.5, 1.5)) * rng.uniform(0.5, 1.0)
    image_CHW = example.image_CHW.astype(np.float32)
    if kind == "piece":
        over_CHW = _displaced(image_CHW, rng)
    else:
        deviation = max(float(image_CHW.std()), 8.0)
        over_CHW = image_CHW + rng.choice((-1.0, -1.0, 1.0)) * rng.uniform(1.0, 3.0) * deviation
    mixed_CHW = image_CHW + (over_CHW - image_CHW) * soft_HW
    return replace(
        example,
        image_CHW=np.clip(mixed_CHW, 0, 255).astype(np.uint8),
        mask_HW=np.where(shape_HW, DEFECT, example.mask_HW).astype(np.uint8),
    )


def _scratch(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a line with several bends."""
    height, width = size
    canvas = np.zeros(size, np.uint8)
    at = rng.uniform((0, 0), (width, height))
    angle = rng.uniform(0, 2 * np.pi)
    points = [at]
    for _ in range(int(rng.integers(2, 7))):
        angle += rng.normal(0, 0.5)
        at = at + rng.uniform(0.03, 0.15) * min(size) * np.array((np.cos(angle), np.sin(angle)))
        points.append(at)
    cv2.polylines(
        canvas, [np.rint(points).astype(np.int32)], isClosed=False, color=1, thickness=int(rng.integers(1, 5))
    )
    return canvas > 0


def _blob(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a blob: a stretched circle with a varying radius."""
    height, width = size
    radius = rng.uniform(0.02, 0.12) * min(size)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    edge = 1 + 0.3 * np.sin(angles * rng.integers(1, 4) + rng.uniform(0, 6)) + rng.normal(0, 0.1, angles.size)
    stretch = rng.uniform(0.5, 2.0)
    outline = np.stack((np.cos(angles) * stretch, np.sin(angles)), 1) * (radius * edge)[:, None]
    canvas = np.zeros(size, np.uint8)
    centre = rng.uniform((0.05 * width, 0.05 * height), (0.95 * width, 0.95 * height))
    cv2.fillPoly(canvas, [np.rint(outline + centre).astype(np.int32)], 1)
    return canvas > 0


def _displaced(image_CHW: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Move and rotate the image, so that its pieces fit nowhere."""
    height, width = image_CHW.shape[1:]
    moved = np.roll(image_CHW, (int(rng.integers(height // 5, height)), int(rng.integers(width // 5, width))), (1, 2))
    rotated = np.rot90(moved, int(rng.integers(1, 4)), (1, 2)) if height == width else moved[:, ::-1, ::-1]
    return np.asarray(rotated * rng.uniform(0.7, 1.3))
