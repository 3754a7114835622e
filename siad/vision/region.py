"""Region of interest: the part of the view that is inspected.

It is the same in every image of a line.

Fitting and serving cut images to it, so what is outside it (a conveyor, a lamp, a neighbouring part) is neither learned
nor reported, and the network's resolution is spent on the part.

Shape suffixes: H, W = size of the image, h, w = size of the cut.
"""

import math
from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.contracts.region import parse_region, require_region
from siad.vision.images import Image

_SUBPIXEL_BITS: Final = 4


@dataclass(frozen=True, slots=True)
class RegionOfInterest:
    """Polygon in shares of the view's width and height.

    Without points it is the whole view.
    """

    points: tuple[float, ...] = ()  # x0, y0, x1, y1, ...; each 0..1; 3 to 64 of them

    def __post_init__(self) -> None:
        """Raise ValueError unless the points are a polygon within the view."""
        require_region(self.points)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a region that a person wrote; see ``siad.contracts.region.parse_region``.

        Raises:
            ValueError: the text is not a region.
        """
        return cls(parse_region(text))

    @property
    def area_ratio(self) -> float:
        """Area of the polygon's box as a share of the view's, 0..1."""
        across, down = self.points[0::2], self.points[1::2]
        return (max(across) - min(across)) * (max(down) - min(down)) if self.points else 1.0

    def cut(self, image_HWC: Image) -> Image:
        """Cut an image to the polygon's box.

        Pixels outside the polygon become mid grey.
        """
        if not self.points:
            return image_HWC
        height, width = image_HWC.shape[:2]
        box = self._box(height, width)
        grey = (int(np.iinfo(image_HWC.dtype).max) + 1) // 2
        cut_hwC: Image = image_HWC[box].copy()
        cut_hwC[~self._inside(height, width)[box]] = grey
        return cut_hwC

    def cut_mask(self, mask_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut a mask as ``cut`` cuts its image.

        Pixels outside the polygon become 0, good.
        """
        if not self.points:
            return mask_HW
        box = self._box(*mask_HW.shape)
        return np.where(self._inside(*mask_HW.shape)[box], mask_HW[box], 0).astype(np.uint8)

    def inside(self, size_px: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Mark the pixels of a cut that count: bool [h, w].

        None where all do.

        Args:
            size_px: height and width of the whole image.
        """
        return self._inside(*size_px)[self._box(*size_px)] if self.points else None

    def put_back(self, map_hw: NDArray[np.float32], size_px: tuple[int, int]) -> NDArray[np.float32]:
        """Place a map of the cut in the whole image.

        Outside the polygon is the lowest score inside it.

        Args:
            map_hw: float32 [h, w], of an image that ``cut`` gave.
            size_px: height and width of the whole image.

        Returns:
            float32 [H, W].
        """
        if not self.points:
            return map_hw
        box, inside_HW = self._box(*size_px), self._inside(*size_px)
        inside_hw = inside_HW[box]
        map_HW = np.full(size_px, map_hw[inside_hw].min(), np.float32)
        map_HW[box] = np.where(inside_hw, map_hw, map_HW[box])
        return map_HW

    def _box(self, height: int, width: int) -> tuple[slice, slice]:
        """Compute the smallest box of whole pixels around the polygon.

        It has at least one pixel.
        """
        xs, ys = self.points[0::2], self.points[1::2]
        left, top = min(math.floor(min(xs) * width), width - 1), min(math.floor(min(ys) * height), height - 1)
        right, bottom = max(math.ceil(max(xs) * width), left + 1), max(math.ceil(max(ys) * height), top + 1)
        return slice(top, bottom), slice(left, right)

    def _inside(self, height: int, width: int) -> NDArray[np.bool_]:
        """Mark the pixels that the polygon touches: bool [H, W]."""
        canvas = np.zeros((height, width), np.uint8)
        corners = np.array(
            [(x * width - 0.5, y * height - 0.5) for x, y in zip(self.points[0::2], self.points[1::2], strict=True)]
        )
        fixed = np.rint(corners * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(canvas, [fixed], 1, shift=_SUBPIXEL_BITS)
        if not canvas.any():  # the polygon is between the pixels of a very small image
            canvas[self._box(height, width)] = 1
        return canvas > 0


EVERYTHING: Final = RegionOfInterest()
