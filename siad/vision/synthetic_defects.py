"""Synthetic defects on normals, with exact masks.

They estimate what a detector would find.

On the first day a line has no labels. Synthetic defects show how a method does on defects like them, and their kinds
are those that inspection meets: foreign texture, a piece in the wrong place, a scratch, a stain, something missing, an
area out of focus. They prove nothing about real defects; agreement of many kinds is evidence.

Sources: Zavrtanik et al. 2021 (DRAEM), arXiv:2108.07610, section 3.3 (Perlin-shaped foreign texture); Li et al. 2021
(CutPaste), arXiv:2104.04015, section 2.2; Schlueter et al. 2022 (NSA), arXiv:2109.15222, section 3.1 (that a
defect must be visible to count).

Shape suffixes: H, W = size of the image, C = channels, h, w = size of the box around a defect.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.images import Image
from siad.vision.perlin import perlin

AREA_RATIOS: Final = (0.0005, 0.03)  # of the view; uniform on a logarithmic scale
CLEAR_AREA_RATIO: Final = 0.002  # of the view; from it and from the next on, a defect is clear
CLEAR_CHANGE: Final = 0.04  # of the range of values, mean over the defect's pixels
OPACITIES: Final = (0.1, 1.0)  # uniform on a logarithmic scale: methods differ most on faint defects
_VISIBLE_MIN: Final = 0.01  # of the range of values; a defect with a lower mean change in its mask is invisible
_TRIES: Final = 8
_EDGE_PX: Final = 0.7  # deviation of the softened edge, as sharp as cameras resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticDefect:
    """A normal with one synthetic defect."""

    kind: str  # of KINDS
    image_HWC: Image
    mask_HW: NDArray[np.uint8]  # 0 good, 255 defect
    change: float  # 0..1 of the range of values: by how much the defect's pixels differ from the normal's, on average

    @property
    def is_clear(self) -> bool:
        """Whether it is neither small nor faint."""
        area_ratio = np.count_nonzero(self.mask_HW) / self.mask_HW.size
        return bool(area_ratio >= CLEAR_AREA_RATIO and self.change >= CLEAR_CHANGE)


def make_synthetic_defect(
    image_HWC: Image, kind: str, rng: np.random.Generator, *, area_ratio: float | None = None
) -> SyntheticDefect:
    """Make one visible defect of a kind on a normal.

    It is placed where the image has contrast rather than on a plain background. A defect that is invisible where it was
    placed (a blur on a plain area, a piece on an equal one) is drawn again elsewhere, and finally replaced by a stain.

    Args:
        image_HWC: uint8 or uint16 [H, W, C], at least 16 px a side.
        kind: one of ``KINDS``.
        rng: draws everything; the same state gives the same defect.
        area_ratio: of the view; None draws one from ``AREA_RATIOS``.

    Raises:
        ValueError: an unknown kind, or an image under 16 px a side.
    """
    if kind not in KINDS:
        msg = f"no kind of synthetic defect {kind!r}; choose {', '.join(KINDS)}"
        raise ValueError(msg)
    if min(image_HWC.shape[:2]) < 16:
        msg = f"an image of {image_HWC.shape[1]}x{image_HWC.shape[0]} px; a synthetic defect needs 16 px a side"
        raise ValueError(msg)
    largest = float(np.iinfo(image_HWC.dtype).max)
    whole_HWC = image_HWC.astype(np.float32) / largest
    density_HW = _centre_density(whole_HWC)
    low, high = np.log(AREA_RATIOS)
    for attempt in range(_TRIES + 1):
        ratio = area_ratio or float(np.exp(rng.uniform(low, high)))
        tried = kind if attempt < _TRIES else "stain"
        shape_HW = _shape(tried, image_HWC.shape[:2], ratio, density_HW, rng)
        over_HWC = KINDS[tried](whole_HWC, shape_HW, rng)
        opacity = float(np.exp(rng.uniform(*np.log(OPACITIES)))) if attempt < _TRIES else 1.0
        alpha_HW = opacity * cv2.GaussianBlur(shape_HW.astype(np.float32), (0, 0), _EDGE_PX)
        mixed_HWC = np.clip(whole_HWC + alpha_HW[..., None] * (over_HWC - whole_HWC), 0, 1)
        change = float(np.abs(mixed_HWC - whole_HWC)[shape_HW].mean()) if shape_HW.any() else 0.0
        if change >= _VISIBLE_MIN:
            break
    return SyntheticDefect(
        kind=kind,
        image_HWC=np.rint(mixed_HWC * largest).astype(image_HWC.dtype),
        mask_HW=np.where(shape_HW, 255, 0).astype(np.uint8),
        change=change,
    )


def _centre_density(whole_HWC: NDArray[np.float32]) -> NDArray[np.float64]:
    """Density of a defect's centre, which sums to 1.

    By local contrast, and a tenth anywhere.
    """
    grey_HW = whole_HWC.mean(2)
    reach = max(1.0, 0.02 * min(grey_HW.shape))
    contrast_HW = np.abs(grey_HW - cv2.GaussianBlur(grey_HW, (0, 0), reach))
    contrast_HW = cv2.GaussianBlur(contrast_HW, (0, 0), 2 * reach).astype(np.float64)
    contrast_HW = np.minimum(contrast_HW, np.quantile(contrast_HW, 0.75))  # one bright edge must not attract all
    spread = contrast_HW + 0.1 * contrast_HW.mean() + 1e-9
    return np.asarray(spread / spread.sum())


def _shape(
    kind: str, size: tuple[int, ...], ratio: float, density_HW: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw the shape of a defect: bool [H, W]."""
    height, width = size
    pixel = int(rng.choice(density_HW.size, p=density_HW.ravel()))
    centre = (pixel // width, pixel % width)
    area_px = max(9.0, ratio * height * width)
    if kind == "scratch":
        return _scratch((height, width), centre, area_px, rng)
    return _lump((height, width), centre, area_px, rng)


def _lump(
    size: tuple[int, int], centre: tuple[int, int], area_px: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw a stretched disc with an edge bent by noise."""
    stretch = float(np.exp(rng.uniform(-0.7, 0.7)))
    angle = rng.uniform(0, np.pi)
    y, x = np.ogrid[: size[0], : size[1]]
    dy, dx = y - centre[0], x - centre[1]
    along = (np.cos(angle) * dx + np.sin(angle) * dy) / stretch
    beside = (np.cos(angle) * dy - np.sin(angle) * dx) * stretch
    radius = np.sqrt(area_px / np.pi)
    lump = max(2.0, radius)  # lumps of noise as large as the defect: they bend its edge and leave it in one piece
    cells = (max(1, round(size[0] / lump)), max(1, round(size[1] / lump)))
    edge_HW = 1 + 0.8 * perlin(size, cells=cells, rng=rng)
    return np.asarray(np.sqrt(along**2 + beside**2) <= radius * edge_HW)


def _scratch(
    size: tuple[int, int], centre: tuple[int, int], area_px: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw a bent line, 10 to 60 times as long as wide."""
    slender = np.exp(rng.uniform(np.log(10), np.log(60)))
    thick = max(1, round(float(np.sqrt(area_px / slender))))
    length = min(area_px / thick, 0.8 * float(np.hypot(*size)))
    angle, steps = rng.uniform(0, 2 * np.pi), 12
    angles = angle + np.cumsum(rng.normal(0, 0.12, steps))
    points = np.cumsum(np.stack((np.cos(angles), np.sin(angles)), 1) * length / steps, axis=0)
    points += np.array(centre[::-1]) - points[steps // 2]
    canvas = np.zeros(size, np.uint8)
    cv2.polylines(canvas, [np.rint(points).astype(np.int32)], isClosed=False, color=1, thickness=thick)
    return canvas > 0


def _foreign(
    whole_HWC: NDArray[np.float32], _shape_HW: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Foreign texture: noise of two sizes in a random colour."""
    height, width, channels = whole_HWC.shape
    fine = max(1, min(height, width) // int(rng.integers(3, 9)))
    noise_HW = perlin((height, width), cells=(fine, fine), rng=rng)
    noise_HW = noise_HW + 0.7 * perlin((height, width), cells=(max(1, fine // 3), max(1, fine // 3)), rng=rng)
    colour_C = _colour_or_grey(whole_HWC, rng.random((channels,)))
    return np.asarray(colour_C + rng.uniform(0.2, 0.5) * noise_HW[..., None], np.float32)


def _piece(
    whole_HWC: NDArray[np.float32], _shape_HW: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Piece of the same part in the wrong place.

    The image is moved far and mirrored.
    """
    height, width = whole_HWC.shape[:2]
    shift = (int(rng.integers(height // 5, height - height // 5)), int(rng.integers(width // 5, width - width // 5)))
    moved_HWC = np.roll(whole_HWC, shift, (0, 1))
    flips = (slice(None, None, int(rng.choice((-1, 1)))), slice(None, None, -1))
    return np.asarray(moved_HWC[flips] * rng.uniform(0.85, 1.15), np.float32)


def _line(
    whole_HWC: NDArray[np.float32], _shape_HW: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Scratch, brighter or darker than the surface."""
    return whole_HWC + float(rng.choice((-1, 1))) * rng.uniform(0.1, 0.35)


def _stain(
    whole_HWC: NDArray[np.float32], shape_HW: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Translucent stain.

    Its colour is away from the middle of the range, so that it is visible.
    """
    level_C = whole_HWC[shape_HW].mean(0) if shape_HW.any() else whole_HWC.mean((0, 1))
    goal_C = np.where(level_C > 0.5, level_C * rng.uniform(0.2, 0.7), level_C + (1 - level_C) * rng.uniform(0.2, 0.7))
    goal_C = _colour_or_grey(whole_HWC, np.clip(goal_C + rng.normal(0, 0.05, goal_C.shape), 0, 1))
    return np.asarray(0.4 * whole_HWC + 0.6 * goal_C, np.float32)


def _missing(
    whole_HWC: NDArray[np.float32], shape_HW: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Missing piece.

    Filled from its surroundings, or as a hole with the darkest value.
    """
    if rng.random() < 0.5:
        return np.broadcast_to(np.quantile(whole_HWC, 0.02, axis=(0, 1)), whole_HWC.shape).astype(np.float32)
    reach = max(1.0, float(np.sqrt(shape_HW.sum())))
    around_HW1 = (~shape_HW).astype(np.float32)[..., None]
    share_HW = cv2.GaussianBlur(around_HW1, (0, 0), reach)[..., None]
    filled_HWC = cv2.GaussianBlur(whole_HWC * around_HW1, (0, 0), reach).reshape(whole_HWC.shape)
    return np.asarray(filled_HWC / np.maximum(share_HW, 1e-3), np.float32)


def _blurred(
    whole_HWC: NDArray[np.float32], shape_HW: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Area out of focus: a smear, a drop of oil, wear."""
    sigma_px = max(2.0, float(rng.uniform(0.1, 0.4) * np.sqrt(shape_HW.sum())))
    return np.asarray(cv2.GaussianBlur(whole_HWC, (0, 0), sigma_px).reshape(whole_HWC.shape), np.float32)


def _colour_or_grey(whole_HWC: NDArray[np.float32], colour_C: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the colour, or a grey for a grey image."""
    is_grey = float(np.ptp(whole_HWC, axis=2).max()) < 0.02
    return np.broadcast_to(colour_C[:1] if is_grey else colour_C, colour_C.shape).astype(np.float32)


_Draw = Callable[[NDArray[np.float32], NDArray[np.bool_], np.random.Generator], NDArray[np.float32]]

KINDS: Final[Mapping[str, _Draw]] = {
    "foreign": _foreign,
    "piece": _piece,
    "scratch": _line,
    "stain": _stain,
    "missing": _missing,
    "blur": _blurred,
}
