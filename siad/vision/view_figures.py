"""Figures of how a camera sees a part.

Focus, light, position, likeness, and what differs where. They are cheap, computed where the image is decoded already,
and say nothing about defects.

Source of the shift: Kuglin and Hines 1975 (phase correlation). Sharpness is the variance of the Laplacian (Pech-Pacheco
et al. 2000) over the variance of the values, so that light does not change it.

Shape suffixes: H, W = size of an image, C = channels, h, w = size of the small view.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.contracts.view_baseline import CELLS, VIEW_PX, UsualValue, ViewBaseline, ViewStatistic
from siad.vision.images import Image
from siad.vision.registration import correlation_of

LONG_SIDE_PX: Final = 512  # detail is measured at this size, whatever the camera's
FEW: Final = 4  # normals; fewer have no spread
MEASURED_MAX: Final = 60  # normals that are measured
_LEVELS: Final = 32.0  # of the stored mean view, a deviation
_CELL_LEVELS: Final = 64.0
_CLIP: Final = 3.9  # deviations that a stored level can hold
_TINY: Final = 1e-6
_WINDOW: Final = cv2.createHanningWindow((VIEW_PX, VIEW_PX), cv2.CV_32F)
# Deviations are at least these: what no person would call a change.
FLOORS: Final = {
    ViewStatistic.SHARPNESS: 0.08,
    ViewStatistic.BRIGHTNESS: 0.01,
    ViewStatistic.CONTRAST: 0.05,
    ViewStatistic.ACROSS: 0.005,
    ViewStatistic.DOWN: 0.005,
    ViewStatistic.LIKENESS: 0.03,
}
_CELL_FLOOR: Final = 0.15  # deviations of the view


@dataclass(frozen=True, slots=True)
class ViewFigures:
    """One image, measured against a baseline."""

    values: dict[ViewStatistic, float]
    deviations: dict[ViewStatistic, float]  # from the usual value, in deviations of the normals
    cells_hw: NDArray[np.float32]  # float32 [24, 24], likewise for each cell of the view


def make_baseline(images: Sequence[Image]) -> ViewBaseline | None:
    """Measure normals.

    Args:
        images: uint8 or uint16 [H, W, C] of the full range, whole views. The first sixty are measured.

    Returns:
        None where there are too few normals to know their spread.
    """
    if len(images) < FEW:
        return None
    measured = [_measure(image_HWC) for image_HWC in images[:MEASURED_MAX]]
    views_Nhw = np.stack([view_hw for _, view_hw in measured])
    mean_hw = views_Nhw.mean(axis=0)
    places = []
    rests = []
    for number, view_hw in enumerate(views_Nhw):
        others_hw = (mean_hw * len(views_Nhw) - view_hw) / (len(views_Nhw) - 1)  # a mean with it is too like it
        places.append(_place(view_hw, others_hw))
        rests.append(_cells(view_hw - others_hw))
        measured[number][0].update(places[-1])
    usual = {
        name: _usual([values[name] for values, _ in measured], FLOORS[name], len(measured)) for name in ViewStatistic
    }
    spread_hw = np.sqrt(np.square(np.stack(rests)).mean(axis=0)) * _caution(len(measured))
    floor = max(_CELL_FLOOR, float(np.median(spread_hw)))
    return ViewBaseline(
        images=len(measured),
        **{name.value: value for name, value in usual.items()},
        view=_packed(mean_hw * _LEVELS + 128),
        cells=_packed(np.maximum(spread_hw, floor) * _CELL_LEVELS),
    )


def measure_view(image_HWC: Image, baseline: ViewBaseline) -> ViewFigures:
    """Measure one image of the full range against the normals."""
    values, view_hw = _measure(image_HWC)
    mean_hw = (_unpacked(baseline.view, VIEW_PX) - 128) / _LEVELS
    values.update(_place(view_hw, mean_hw))
    deviations = {
        name: (values[name] - baseline.usual(name).mean) / baseline.usual(name).deviation for name in ViewStatistic
    }
    spread_hw = np.maximum(_unpacked(baseline.cells, CELLS) / _CELL_LEVELS, _CELL_FLOOR)
    return ViewFigures(values, deviations, _cells(view_hw - mean_hw) / spread_hw)


def _measure(image_HWC: Image) -> tuple[dict[ViewStatistic, float], NDArray[np.float32]]:
    """Measure what needs no baseline, and make the small view.

    float32 [48, 48], of mean 0 and deviation 1.
    """
    scale = LONG_SIDE_PX / max(image_HWC.shape[:2])
    step = max(1, int(0.5 / scale))  # every pixel of a large image adds time and no detail at this size
    some_HWC = np.ascontiguousarray(image_HWC[::step, ::step])
    scale *= step
    white = float(np.iinfo(image_HWC.dtype).max)
    grey_HW = some_HWC[:, :, 0] if some_HWC.shape[2] == 1 else cv2.cvtColor(some_HWC[:, :, :3], cv2.COLOR_RGB2GRAY)
    if scale < 1:
        grey_HW = cv2.resize(grey_HW, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    values_HW = np.asarray(grey_HW, np.float32) / white
    deviation = float(values_HW.std())
    detail = float(cv2.Laplacian(values_HW, cv2.CV_32F).std())
    small_hw = np.asarray(cv2.resize(values_HW, (VIEW_PX, VIEW_PX), interpolation=cv2.INTER_AREA), np.float32)
    figures = {
        ViewStatistic.SHARPNESS: math.log(max(detail, _TINY) / max(deviation, 1e-4)),
        ViewStatistic.BRIGHTNESS: float(values_HW.mean()),
        ViewStatistic.CONTRAST: math.log(max(deviation, 1e-4)),
    }
    return figures, (small_hw - float(small_hw.mean())) / max(float(small_hw.std()), 1e-4)


def _place(view_hw: NDArray[np.float32], mean_hw: NDArray[np.float32]) -> dict[ViewStatistic, float]:
    """Find the shift against the mean view, and the likeness after it."""
    # copies, because OpenCV multiplies its arguments by the window in place
    (across, down), _ = cv2.phaseCorrelate(np.float32(mean_hw).copy(), view_hw.copy(), _WINDOW)
    moved_hw = cv2.warpAffine(
        view_hw,
        np.array([[1, 0, -across], [0, 1, -down]], np.float32),
        (VIEW_PX, VIEW_PX),
        borderMode=cv2.BORDER_REPLICATE,
    )
    likeness = max(correlation_of(view_hw, mean_hw), correlation_of(moved_hw, mean_hw))
    return {
        ViewStatistic.ACROSS: across / VIEW_PX,
        ViewStatistic.DOWN: down / VIEW_PX,
        ViewStatistic.LIKENESS: likeness,
    }


def _cells(view_hw: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(np.float32(view_hw), (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.float32)


def _usual(values: Sequence[float], floor: float, count: int) -> UsualValue:
    """Summarise normals; few of them may show less spread than there is."""
    deviation = float(np.std(values, ddof=1)) * _caution(count)
    return UsualValue(mean=round(float(np.mean(values)), 5), deviation=round(max(deviation, floor), 5))


def _caution(count: int) -> float:
    """Factor by which a deviation of few values may be too small.

    With 95% certainty, by Wilson and Hilferty's approximation of the quantile of chi squared.
    """
    freedom = count - 1
    quantile = freedom * (1 - 2 / (9 * freedom) - 1.645 * math.sqrt(2 / (9 * freedom))) ** 3
    return math.sqrt(freedom / max(quantile, _TINY))


def _packed(levels_hw: NDArray[np.float32]) -> str:
    return base64.b64encode(np.clip(np.rint(levels_hw), 0, 255).astype(np.uint8).tobytes()).decode("ascii")


def _unpacked(text: str, side: int) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(side, side).astype(np.float32)
