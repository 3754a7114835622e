"""Figures of a line's normals, with which drift is detected.

Part of a teacher's profile. ``siad.vision.view_figures`` makes it and compares images with it.
"""

import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

VIEW_PX: Final = 48  # sides of the mean view
CELLS: Final = 24  # sides of the grid in which dirt is looked for


class ViewStatistic(StrEnum):
    """Statistics of one image, by which drift is named."""

    SHARPNESS = "sharpness"
    BRIGHTNESS = "brightness"
    CONTRAST = "contrast"
    ACROSS = "across"
    DOWN = "down"
    LIKENESS = "likeness"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualValue:
    """Mean and standard deviation of one statistic among the normals."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewBaseline:
    """What images of the normals look like, in figures."""

    images: int  # that were measured
    sharpness: UsualValue  # log of the energy of fine detail, as a share of all contrast
    brightness: UsualValue  # mean, as a share of white
    contrast: UsualValue  # log of the standard deviation of the values
    across: UsualValue  # shift to the right against the mean view, as a share of the width
    down: UsualValue  # shift downwards, as a share of the height
    likeness: UsualValue  # correlation with the mean view after the shift, -1..1
    view: str  # base64 of uint8 [48, 48]: the mean view, 1/32 of a deviation a level, 128: the mean
    cells: str  # base64 of uint8 [24, 24]: standard deviation in each cell of the view, 1/64 of a deviation a level

    def __post_init__(self) -> None:
        """Refuse maps of another size."""
        for name, side in (("view", VIEW_PX), ("cells", CELLS)):
            try:
                size = len(base64.b64decode(getattr(self, name), validate=True))
            except binascii.Error as error:
                msg = f"{name} of a view's baseline is not base64: {error}"
                raise ValueError(msg) from error
            if size != side * side:
                msg = f"{name} of a view's baseline has {size} bytes, not {side * side}"
                raise ValueError(msg)

    def usual(self, statistic: ViewStatistic) -> UsualValue:
        """Return the usual value of a statistic."""
        found: UsualValue = getattr(self, statistic.value)
        return found
