"""Refinement of a coarse map along the edges of its image.

A detector's position is 8 px of its input or more, and a defect's border seldom follows that grid; the image shows
where the border runs. In a window of about one position the map is fitted as a linear function of the image's colours,
g = a I + b, by least squares with a ridge: where the image has an edge g may have one, where it is plain g stays
smooth. A pixel's g averages all windows that contain it: the guided filter (He, Sun and Tang 2013, IEEE TPAMI 35(6),
eq. 14 to 18), with Gaussian windows, and coefficients found on a grid of half a position (He and Sun 2015,
arXiv:1505.00996).

The result is the geometric mean of the map and of g: high where the detector and the image's edges agree. Measurements:
docs/models/feature-memory.md.

Shape suffixes: H, W = size of the input; h, w = size of the grid of coefficients; C = colours.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_RIDGE: Final = 0.03  # of the image's own variance of grey; 0.01 and 0.1 measured the same
_PLAIN: Final = 1 / 128  # deviation of grey in the input's units, one level of 256; below it an image is plain
_GRID: Final = 2  # cells of the coefficients' grid in one position of the map, each way


def follow_edges(map_HW: Floats, input_CHW: Floats, *, position_px: float) -> Floats:
    """Move a map's borders to the image's edges.

    Args:
        map_HW: float32 [H, W], a detector's scores resized to its input.
        input_CHW: float32 [3, H, W], the detector's input, as ``siad.vision.preprocess`` makes it.
        position_px: side of one of the detector's positions, px of the input.

    Returns:
        float32 [H, W], at least 0, in the map's unit: how far a pixel is over the map's lowest score.
    """
    over_HW = map_HW - map_HW.min()
    colours_CHW = input_CHW / max(float(input_CHW.mean(0).std()), _PLAIN)
    slope_Chw, offset_hw = _fit(over_HW, colours_CHW, position_px=position_px)
    guided_HW = _enlarged(offset_hw, map_HW.shape)
    for slope_hw, colour_HW in zip(slope_Chw, colours_CHW, strict=True):
        guided_HW += _enlarged(slope_hw, map_HW.shape) * colour_HW
    return np.asarray(np.sqrt(over_HW * guided_HW.clip(0)), np.float32)


def _fit(map_HW: Floats, colours_CHW: Floats, *, position_px: float) -> tuple[Floats, Floats]:
    """Fit the map as a linear function of the colours.

    Slope [C, h, w] and offset [h, w], each averaged over its neighbours.
    """
    height, width = (max(1, round(_GRID * side / position_px)) for side in map_HW.shape)
    map_hw, *colours = (
        cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA) for one in (map_HW, *colours_CHW)
    )
    colours_Chw = np.stack(colours)
    mean_Chw, mean_hw = _windows(colours_Chw), _window(map_hw)
    covariance_Chw = _windows(colours_Chw * map_hw) - mean_Chw * mean_hw
    spread_CChw = np.stack(
        [_windows(colours_Chw * one) - mean_Chw * mean for one, mean in zip(colours_Chw, mean_Chw, strict=True)]
    )
    spread_hwCC = spread_CChw.transpose(2, 3, 0, 1) + _RIDGE * np.eye(len(colours), dtype=np.float32)
    slope_hwC = np.linalg.solve(spread_hwCC, covariance_Chw.transpose(1, 2, 0)[..., None])[..., 0]
    slope_Chw = np.ascontiguousarray(slope_hwC.transpose(2, 0, 1), np.float32)
    return _windows(slope_Chw), _window(mean_hw - (slope_Chw * mean_Chw).sum(0))


def _windows(values_Chw: Floats) -> Floats:
    return np.stack([_window(values_hw) for values_hw in values_Chw])


def _enlarged(values_hw: Floats, shape: tuple[int, ...]) -> Floats:
    return np.asarray(cv2.resize(values_hw, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _window(values_hw: Floats) -> Floats:
    """Mean over a Gaussian window, one position of the map wide."""
    return np.asarray(cv2.GaussianBlur(values_hw, (0, 0), _GRID, borderType=cv2.BORDER_REPLICATE), np.float32)
