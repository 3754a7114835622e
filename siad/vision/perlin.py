"""Perlin's gradient noise: lumps of a chosen size with natural edges."""

import math

import numpy as np
from numpy.typing import NDArray


def perlin(size: tuple[int, int], *, cells: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw one octave of gradient noise.

    Args:
        size: height and width in pixels.
        cells: lumps down and across; a lump is about size / cells pixels large.
        rng: draws the gradients.

    Returns:
        float32 [H, W], mean about 0, within -1 and 1.

    Source:
        Perlin 2002, Improving noise: gradients at lattice points, blended by 6t^5 - 15t^4 + 10t^3.
    """
    height, width = size
    rows, columns = cells
    if rows < 1 or columns < 1:
        msg = f"noise of {rows}x{columns} cells; at least one each way is needed"
        raise ValueError(msg)
    angles = rng.uniform(0, 2 * math.pi, (rows + 1, columns + 1))
    gradients = np.stack((np.sin(angles), np.cos(angles)), 2)
    down, across = np.arange(height) * rows / height, np.arange(width) * columns / width
    row, column = down.astype(int), across.astype(int)
    y, x = (down - row)[:, None], (across - column)[None]
    corners = [
        gradients[row + dy][:, column + dx, 0] * (y - dy) + gradients[row + dy][:, column + dx, 1] * (x - dx)
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    fade_y, fade_x = _fade(y), _fade(x)
    top = corners[0] + fade_x * (corners[1] - corners[0])
    bottom = corners[2] + fade_x * (corners[3] - corners[2])
    return np.asarray(math.sqrt(2) * (top + fade_y * (bottom - top)), np.float32)


def _fade(t: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(t**3 * (t * (t * 6 - 15) + 10))
