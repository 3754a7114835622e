"""Bring a coarse map to the edges of the image that it is of. Pure.

A detector's place is 8 px of its input or more, and a defect's border seldom follows it; the image shows where the
border runs. In a window of about one place the map is taken for a linear function of the image's colours, g = a I + b,
found by least squares with a ridge: where the image has an edge g may have one, where it is plain g stays smooth. A
pixel's g is that of all windows it lies in: the guided filter (He, Sun and Tang 2013, IEEE TPAMI 35(6), eq. 14 to 18),
with Gaussian windows, and coefficients found on a grid of half a place (He and Sun 2015, arXiv:1505.00996).

What is told is the geometric mean of the map and of g: high where the detector and the image's edges both say so.
Why, and what it brings: docs/adr/0022-marks-follow-edges.md.

Shape suffixes: H, W = size of the input; h, w = size of the grid of coefficients; C = colours.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_RIDGE: Final = 0.03  # of the image's own variance of grey; 0.01 and 0.1 measured the same
_FLAT: Final = 1 / 128  # deviation of grey in the input's units, one level of 256; below it an image is plain
_PLACES: Final = 2  # of the grid that coefficients are found on, in one place of the map


def follow_edges(map_HW: Floats, input_CHW: Floats, *, place_px: float) -> Floats:
    """Have a map's borders follow the image's edges.

    Args:
        map_HW: float32 [H, W], a detector's scores brought to the size of its input.
        input_CHW: float32 [3, H, W], what the detector was shown, as ``siad.vision.preprocess`` makes it.
        place_px: side of one of the detector's places, px of the input.

    Returns:
        float32 [H, W], 0 at least, in the map's unit: how far over the map's lowest score a pixel is.
    """
    over_HW = map_HW - map_HW.min()
    colours_CHW = input_CHW / max(float(input_CHW.mean(0).std()), _FLAT)
    slope_Chw, offset_hw = _fit(over_HW, colours_CHW, place_px=place_px)
    guided_HW = _enlarged(offset_hw, map_HW.shape)
    for slope_hw, colour_HW in zip(slope_Chw, colours_CHW, strict=True):
        guided_HW += _enlarged(slope_hw, map_HW.shape) * colour_HW
    return np.asarray(np.sqrt(over_HW * guided_HW.clip(0)), np.float32)


def _fit(map_HW: Floats, colours_CHW: Floats, *, place_px: float) -> tuple[Floats, Floats]:
    """Slope [C, h, w] and offset [h, w] of the map over the image's colours, each the mean of its neighbours'."""
    height, width = (max(1, round(_PLACES * side / place_px)) for side in map_HW.shape)
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
    """Mean over a Gaussian window whose deviation is one place of the map."""
    return np.asarray(cv2.GaussianBlur(values_hw, (0, 0), _PLACES, borderType=cv2.BORDER_REPLICATE), np.float32)
