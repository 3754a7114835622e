"""Scores of labelled images, without their maps.

A map is needed once, to count its pixels by score. A thousand large ones do not fit in memory, so none is kept. Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.apps.lab.evaluate.folder_names import GOOD
from siad.vision.pixel_tally import PixelTally


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedImage:
    """Score map of one image, and its label."""

    name: str
    kind: str
    map_HW: NDArray[np.float32]  # smoothed raw scores
    mask_HW: NDArray[np.uint8] | None  # 0 good, 255 defect; None if it has no mask


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImage:
    """Score of one image, and its label."""

    name: str
    kind: str
    score: float  # the maximum of its map
    marked_and_defective: int = 0  # pixels; 0 without a mask
    marked_or_defective: int = 0

    @property
    def is_defect(self) -> bool:
        """Whether its label says that it has a defect."""
        return self.kind != GOOD


@dataclass(slots=True)
class ScoredSet:
    """Scores of some images, and the counts of their pixels by class."""

    images: list[ScoredImage] = field(default_factory=list)
    tallies: dict[str, PixelTally] = field(default_factory=dict)  # of images with a mask, by class

    def add(self, image: MappedImage, marked_HW: NDArray[np.bool_]) -> None:
        """Add one image with the detector's own marks: bool, like its map."""
        both = either = 0
        if image.mask_HW is not None:
            self.tallies.setdefault(image.kind, PixelTally()).add(image.map_HW, image.mask_HW)
            truth_HW = image.mask_HW > 0
            both = int(np.count_nonzero(marked_HW & truth_HW))
            either = int(np.count_nonzero(marked_HW | truth_HW))
        self.images.append(
            ScoredImage(
                name=image.name,
                kind=image.kind,
                score=float(image.map_HW.max()),
                marked_and_defective=both,
                marked_or_defective=either,
            )
        )

    def scores(self, *, defects: bool) -> list[float]:
        """Scores of the defective images, or of the good ones."""
        return [image.score for image in self.images if image.is_defect == defects]

    def kinds(self) -> list[str]:
        """Classes of defective images, sorted."""
        return sorted({image.kind for image in self.images if image.is_defect})

    def of_kind(self, kind: str) -> "ScoredSet":
        """The defective images of one class, and all good ones."""
        return ScoredSet(
            images=[image for image in self.images if image.kind in (GOOD, kind)],
            tallies={name: tally for name, tally in self.tallies.items() if name in (GOOD, kind)},
        )


def shrink(image: MappedImage, *, side_px: int) -> MappedImage:
    """Resize map and mask to an area of ``side_px`` squared.

    A pixel is defective if half of it is. A defect that covers half of no pixel keeps the pixel that it covers most, so
    that no defect is lost.
    """
    height, width = image.map_HW.shape
    ratio = side_px / math.sqrt(height * width)
    if ratio >= 1:
        return image
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    map_hw = np.asarray(cv2.resize(image.map_HW, size, interpolation=cv2.INTER_AREA), np.float32)
    mask_hw = image.mask_HW
    if mask_hw is not None:
        cover = cv2.resize((mask_hw > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        mask_hw = np.where((cover >= 0.5) | ((cover > 0) & (cover >= cover.max())), 255, 0).astype(np.uint8)
    return replace(image, map_HW=map_hw, mask_HW=mask_hw)


def iou_of(images: Sequence[ScoredImage]) -> float:
    """IoU of all marks together over all defective pixels together."""
    either = sum(image.marked_or_defective for image in images)
    return sum(image.marked_and_defective for image in images) / max(1, either)
