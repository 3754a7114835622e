"""Counts of good and defective pixels by score, in bounded memory.

A test set of a few hundred large images has a billion pixels. Figures over all of them need no map at hand, only how
many good and how many defective pixels there are at each score. Those counts are added image by image.

While the distinct scores are at most ``LEVELS_MAX``, counts are exact. Beyond, the last bits of every score are dropped
until half as many are left: neighbouring scores count as equal. With two million levels such scores differ by less than
a ten-thousandth, and figures by less (``tests/unit/vision/test_pixel_tally.py``).

Shape suffixes: H, W = size of an image, P = its pixels, T = distinct scores, ascending.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

LEVELS_MAX: Final = 2**21
_SIGN: Final = np.uint32(0x80000000)

Keys = NDArray[np.uint32]  # in the order of the scores


@dataclass(frozen=True, slots=True)
class PixelCounts:
    """Pixels at each of some keys, ascending."""

    keys_T: Keys
    pixels_T: NDArray[np.int64]
    shares_T: NDArray[np.float64]  # of the regions of those pixels; zeros for good ones

    @classmethod
    def sum(cls, parts: Iterable[Self], *, dropped_bits: int = 0) -> Self:
        """Add parts, and drop the last bits of their keys."""
        every = [cls(np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0)), *parts]
        keys = np.concatenate([part.keys_T for part in every]) >> np.uint32(dropped_bits)
        keys_T, at = np.unique(keys, return_inverse=True)
        pixels = np.concatenate([part.pixels_T for part in every])
        shares = np.concatenate([part.shares_T for part in every])
        count = len(keys_T)
        return cls(
            keys_T,
            np.bincount(at, weights=pixels, minlength=count).astype(np.int64),  # exact to 2 to the power of 53
            np.bincount(at, weights=shares, minlength=count).astype(np.float64),
        )


@dataclass(frozen=True, slots=True)
class PixelLevels:
    """Pixels at each distinct score, ascending."""

    good_T: NDArray[np.int64]
    bad_T: NDArray[np.int64]
    shares_T: NDArray[np.float64]  # sum over defective pixels of one over the area of their region


@dataclass(slots=True, kw_only=True)
class PixelTally:
    """Pixels of some images by score."""

    levels_max: int = LEVELS_MAX  # distinct scores of good pixels to keep at most, and of defective ones
    images: int = 0
    dropped_bits: int = 0  # of each key
    good: list[PixelCounts] = field(default_factory=list)  # parts to add up
    bad: list[PixelCounts] = field(default_factory=list)

    def add(self, map_HW: NDArray[np.float32], mask_HW: NDArray[np.uint8]) -> None:
        """Add one image.

        Args:
            map_HW: float32 [H, W] raw scores, finite.
            mask_HW: uint8 [H, W], 0 good, else defect.

        Raises:
            ValueError: map and mask differ in size, or a score is not finite.
        """
        if map_HW.shape != mask_HW.shape or not np.isfinite(map_HW).all():
            what = "scores that are not finite" if map_HW.shape == mask_HW.shape else f"mask is {list(mask_HW.shape)}"
            msg = f"map {self.images} is {list(map_HW.shape)}, its {what}; a finite score for every pixel is needed"
            raise ValueError(msg)
        self.images += 1
        keys_P, is_bad_P = _keys(map_HW) >> np.uint32(self.dropped_bits), mask_HW.ravel() > 0
        keys_T, pixels_T = _count(keys_P[~is_bad_P])
        self.good.append(PixelCounts(keys_T, pixels_T, np.zeros(len(keys_T))))
        if is_bad_P.any():
            ones = np.ones(int(is_bad_P.sum()), np.int64)
            self.bad.append(PixelCounts(keys_P[is_bad_P], ones, region_shares(mask_HW)[is_bad_P]))
        if max(_size(self.good), _size(self.bad)) > 2 * self.levels_max:
            self._compact()

    @property
    def has_defects(self) -> bool:
        """Whether a pixel is defective."""
        return _size(self.bad) > 0

    def levels(self) -> PixelLevels:
        """Counts at each distinct score."""
        self._compact()
        [good], [bad] = self.good, self.bad
        keys_T = np.union1d(good.keys_T, bad.keys_T)
        good_T, bad_T = np.zeros(len(keys_T), np.int64), np.zeros(len(keys_T), np.int64)
        shares_T = np.zeros(len(keys_T))
        good_T[np.searchsorted(keys_T, good.keys_T)] = good.pixels_T
        at = np.searchsorted(keys_T, bad.keys_T)
        bad_T[at], shares_T[at] = bad.pixels_T, bad.shares_T
        return PixelLevels(good_T, bad_T, shares_T)

    @classmethod
    def sum(cls, tallies: Iterable["PixelTally"]) -> "PixelTally":
        """Add the images of several tallies."""
        every = list(tallies)
        dropped_bits = max((one.dropped_bits for one in every), default=0)
        total = cls(
            levels_max=max((one.levels_max for one in every), default=LEVELS_MAX),
            images=sum(one.images for one in every),
            dropped_bits=dropped_bits,
            good=[_shorten(part, dropped_bits - one.dropped_bits) for one in every for part in one.good],
            bad=[_shorten(part, dropped_bits - one.dropped_bits) for one in every for part in one.bad],
        )
        total._compact()
        return total

    def _compact(self) -> None:
        """Add all parts; drop bits where the distinct scores are too many."""
        good, bad = PixelCounts.sum(self.good), PixelCounts.sum(self.bad)
        while max(len(good.keys_T), len(bad.keys_T)) > self.levels_max:
            self.dropped_bits += 1
            good, bad = (PixelCounts.sum([counts], dropped_bits=1) for counts in (good, bad))
        self.good, self.bad = [good], [bad]


def region_shares(mask_HW: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute what share of its region each pixel is.

    float64 [P], 0 where it is good. Pixels that touch at a corner are connected.
    """
    _, labels_HW = cv2.connectedComponents((mask_HW > 0).astype(np.uint8), connectivity=8)
    shares = 1.0 / np.maximum(np.bincount(labels_HW.ravel()), 1)
    shares[0] = 0.0
    return np.asarray(shares[labels_HW.ravel()])


def _keys(map_HW: NDArray[np.float32]) -> Keys:
    """Integers in the order of the scores.

    They are the bits of the floats, turned over where a float is negative.
    """
    bits_P = (map_HW.ravel() + np.float32(0)).view(np.uint32)  # -0 becomes 0
    return np.where(bits_P & _SIGN, ~bits_P, bits_P | _SIGN)


def _count(keys_P: Keys) -> tuple[Keys, NDArray[np.int64]]:
    """Count equal keys: without a sort where they lie close together."""
    if len(keys_P) and (low := int(keys_P.min())) + 8 * len(keys_P) > int(keys_P.max()):
        pixels_T = np.bincount(keys_P - np.uint32(low))
        found = np.flatnonzero(pixels_T)
        return (found + low).astype(np.uint32), pixels_T[found]
    keys_T, pixels_T = np.unique(keys_P, return_counts=True)
    return keys_T, pixels_T.astype(np.int64)


def _shorten(counts: PixelCounts, bits: int) -> PixelCounts:
    return replace(counts, keys_T=counts.keys_T >> np.uint32(bits))


def _size(parts: list[PixelCounts]) -> int:
    return sum(len(part.keys_T) for part in parts)
