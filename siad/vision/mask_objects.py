"""Integer rules for the pixels of marks that people draw.

``web/src/mask`` draws by the same rules; ``tests/golden/marks.json`` holds both to the same pixels, bit for bit. Points
are in half pixels: the centre of pixel (x, y) is (2x+1, 2y+1), its corners are even.

Shape suffixes: H, W = size of the image, N = number of points.
"""

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]  # [H, W]
Size = tuple[int, int]  # height, width in pixels
Points = Sequence[tuple[int, int]]  # x, y in half pixels


def draw_stroke(points: Points, *, diameter_px: int, size: Size) -> Mask:
    """Mark the pixels under a round brush.

    A pixel is marked where its centre is at most half the diameter away from the line between two following points. One
    point gives a disc.
    """
    mask_HW = np.zeros(size, np.bool_)
    for start, end in zip(points, points[1:] or points[:1], strict=False):
        mask_HW |= _capsule(start, end, diameter_px, size)
    return mask_HW


def fill_polygon(points: Points, *, size: Size) -> Mask:
    """Mark the pixels inside a polygon by the even-odd rule.

    A pixel is marked where a ray from its centre to the left crosses the outline an odd number of times; a crossing at
    the centre itself counts.
    """
    height, width = size
    starts_HW = np.zeros((height, width + 1), np.int64)
    for (x1, y1), (x2, y2) in zip(points, [*points[1:], *points[:1]], strict=True):
        (low_x, low_y), (high_x, high_y) = ((x1, y1), (x2, y2)) if y1 < y2 else ((x2, y2), (x1, y1))
        for row in range(max(0, low_y // 2), min(height, (high_y + 1) // 2)):
            y = 2 * row + 1
            if low_y <= y < high_y:
                along = (y - low_y) * (high_x - low_x) + (low_x - 1) * (high_y - low_y)
                first = -(-along // (2 * (high_y - low_y)))
                starts_HW[row, min(max(first, 0), width)] += 1
    return np.asarray(np.cumsum(starts_HW, axis=1)[:, :width] % 2 == 1)


def fill_ellipse(corner: tuple[int, int], other: tuple[int, int], *, size: Size) -> Mask:
    """Mark the pixels inside an ellipse in a box.

    It touches the sides of the box. A pixel is marked where its centre is inside or on it. The corners are in half
    pixels; a box without width or height has no pixel.
    """
    (x1, y1), (x2, y2) = corner, other
    width, height = abs(x1 - x2), abs(y1 - y2)
    mask_HW = np.zeros(size, np.bool_)
    if not width or not height:
        return mask_HW
    u_W = np.abs(2 * (2 * np.arange(size[1], dtype=np.int64) + 1) - x1 - x2)
    for row in range(size[0]):
        v = abs(2 * (2 * row + 1) - y1 - y2)
        if v <= height:
            mask_HW[row] = u_W <= math.isqrt(width * width * (height * height - v * v) // (height * height))
    return mask_HW


def smooth(mask_HW: Mask) -> Mask:
    """Mark where at least five of the nine pixels around are marked.

    Beyond the border of the image its pixels count again.
    """
    around = np.pad(mask_HW.astype(np.uint8), 1, mode="edge")
    height, width = mask_HW.shape
    parts = [around[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
    return np.asarray(np.sum(parts, axis=0) >= 5)


def fill_holes(mask_HW: Mask) -> Mask:
    """Fill the holes of a mask.

    A hole is what no path of edge neighbours outside the mask leads out of.
    """
    around = np.pad(~mask_HW, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(around, connectivity=4)
    return np.asarray(labels != labels[0, 0])[1:-1, 1:-1]


def split_components(mask_HW: Mask) -> list[Mask]:
    """Split a mask into parts that touch by edge or corner.

    In the order of their first pixels, row by row.
    """
    count, labels_HW = cv2.connectedComponents(mask_HW.astype(np.uint8), connectivity=8)
    flat = labels_HW.ravel()
    firsts = {label: int(np.argmax(flat == label)) for label in range(1, count)}
    return [labels_HW == label for label in sorted(firsts, key=lambda label: firsts[label])]


def runs_of(mask_HW: Mask) -> list[int]:
    """Encode a mask as run lengths.

    As in COCO: column by column, beginning with pixels outside.
    """
    flat = mask_HW.ravel(order="F")
    if not flat.size:
        return []
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff([0, *changes.tolist(), flat.size]).tolist()
    return [0, *runs] if flat[0] else list(runs)


def mask_of(runs: Iterable[int], *, size: Size) -> Mask:
    """Decode run lengths.

    Raises:
        ValueError: a length is negative, or the lengths don't fill the size.
    """
    lengths = list(runs)
    height, width = size
    if any(length < 0 for length in lengths) or sum(lengths) != height * width:
        msg = f"runs of {sum(lengths)} px do not fill {width}x{height} px; no mask was read. Send the runs of this size"
        raise ValueError(msg)
    values = np.arange(len(lengths)) % 2 == 1
    return np.asarray(np.repeat(values, lengths).reshape((height, width), order="F"))


def _capsule(start: tuple[int, int], end: tuple[int, int], diameter: int, size: Size) -> Mask:
    rows, columns = (2 * np.arange(count, dtype=np.int64) + 1 for count in size)
    wx, wy = (columns - start[0])[None, :], (rows - start[1])[:, None]
    dx, dy = end[0] - start[0], end[1] - start[1]
    length2, reach2 = dx * dx + dy * dy, diameter * diameter
    along = wx * dx + wy * dy
    is_near = np.abs(wx * dy - wy * dx) <= math.isqrt(reach2 * length2)
    at_start = wx * wx + wy * wy <= reach2
    at_end = (wx - dx) ** 2 + (wy - dy) ** 2 <= reach2
    return np.where(along <= 0, at_start, np.where(along >= length2, at_end, is_near))
