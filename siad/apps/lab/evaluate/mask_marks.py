"""Which pixels a mask of an annotation tool marks. Pure.

Tools write masks in many ways: 0 and 1, 0 and 255, a number for each class, colours on black, a palette, opaque strokes
on a transparent layer, edges softened by scaling, JPEG with its noise. Each is read where it has one meaning. A mask
with two meanings is refused, because a wrong mask makes figures that look right.

Shape suffixes: H = height, W = width, C = channels.
"""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.apps.files import counted
from siad.vision.images import Image
from siad.vision.masks import IGNORE

LEVELS_MAX: Final = 32  # of a mask with a number for each class; more are soft edges, noise or a photo
SOFT_LEVELS_MAX: Final = 8  # bright classes between black and the brightest; more are a soft edge
BRIGHT: Final = 64 / 255  # the brightest value of a softened or noisy mask is at least this share of white
IDS_MAX: Final = 32  # a number up to this is a class; 255 beside it may mean that the pixel is to be ignored
EDGE_PX: Final = 2  # width of a softened edge
NOISE_PX: Final = 8  # JPEG noise stays in a block of 8 px that holds an edge
UNCERTAIN: Final = 0.1  # a noisy pixel so near to half of the brightness may be on either side of an edge
GROUND_RATIO: Final = 0.5  # a mask that marks more, and most of its border, marks the ground in place of defects
BORDER_RATIO: Final = 0.75

Marks = NDArray[np.bool_]


class MaskError(ValueError):
    """A mask that can't be read in one way only.

    The message says what it holds and how to save it.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskLayers:
    """Decoded content of one mask file."""

    image_HWC: Image  # grey or RGB
    alpha_HW: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    index_HW: NDArray[np.uint8] | None = None  # of a palette's colours
    is_lossy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskMarks:
    """Marked pixels, and how they were told from the others."""

    marked_HW: Marks
    style: str


def marks_of(layers: MaskLayers) -> MaskMarks:
    """Read which pixels are marked.

    Raises:
        MaskError: the mask has no meaning, or more than one.
    """
    if layers.alpha_HW is not None and int(layers.alpha_HW.min()) < np.iinfo(layers.alpha_HW.dtype).max:
        found = _by_alpha(layers.image_HWC, layers.alpha_HW)
    elif layers.index_HW is not None:
        found = _by_palette(layers.image_HWC, layers.index_HW)
    else:
        found = _by_values(layers.image_HWC, is_lossy=layers.is_lossy)
    if is_ground(found.marked_HW) and not found.marked_HW.all():
        msg = (
            f"marks {found.marked_HW.mean():.1%} of the image and its border, as an inverted mask does; "
            "save it with good pixels black (0) and defects white"
        )
        raise MaskError(msg)
    return found


def is_ground(marked_HW: Marks) -> bool:
    """Whether marks cover most of the image and of its border."""
    border = np.concatenate([marked_HW[0], marked_HW[-1], marked_HW[:, 0], marked_HW[:, -1]])
    return float(marked_HW.mean()) > GROUND_RATIO and float(border.mean()) > BORDER_RATIO


def _by_alpha(image_HWC: Image, alpha_HW: NDArray[np.uint8] | NDArray[np.uint16]) -> MaskMarks:
    """Opaque strokes on a transparent layer, whatever their colour."""
    value_HW = image_HWC.max(axis=2)
    if not alpha_HW.any():
        if value_HW.min() != value_HW.max():
            msg = "is transparent everywhere, with other colours below; save it without transparency"
            raise MaskError(msg)
        return MaskMarks(marked_HW=np.zeros(alpha_HW.shape, np.bool_), style="alpha")
    opaque_HW = _by_values(alpha_HW[:, :, None], is_lossy=False).marked_HW
    strokes = value_HW[opaque_HW] > 0
    if strokes.any() and not strokes.all():
        msg = (
            f"has {np.count_nonzero(opaque_HW)} opaque pixels, {np.count_nonzero(strokes)} of them not black: "
            "transparency and colour disagree; save it without transparency"
        )
        raise MaskError(msg)
    return MaskMarks(marked_HW=opaque_HW, style="alpha")


def _by_palette(image_HWC: Image, index_HW: NDArray[np.uint8]) -> MaskMarks:
    """Number 0 of a palette is good, unless the colours say otherwise."""
    numbers, first = np.unique(index_HW, return_index=True)
    colours = image_HWC.reshape(-1, image_HWC.shape[2])[first]
    is_grey = bool((colours == colours[:, :1]).all())
    if is_grey and len(np.unique(colours[:, 0])) == len(numbers):
        return _by_values(image_HWC[:, :, :1], is_lossy=False)
    _require_no_void(numbers, 255)
    by_number_HW, by_colour_HW = index_HW > 0, np.asarray(image_HWC.max(axis=2) > 0)
    readings = {"number": by_number_HW, "colour": by_colour_HW}
    if not np.array_equal(by_number_HW, by_colour_HW):
        readings = {name: one for name, one in readings.items() if one.any() and not is_ground(one)}
    if not readings or (len(readings) == 2 and not np.array_equal(by_number_HW, by_colour_HW)):
        shown = ", ".join(
            f"{number} {_shown(colour)}" for number, colour in zip(numbers[:4].tolist(), colours[:4], strict=True)
        )
        msg = (
            f"has a palette ({shown}) whose numbers and colours disagree on what is good; "
            "save it in grey, good 0 and defects 255"
        )
        raise MaskError(msg)
    return MaskMarks(marked_HW=next(iter(readings.values())), style="palette")


def _by_values(image_HWC: Image, *, is_lossy: bool) -> MaskMarks:
    """Black is good, everything else is marked.

    Soft edges and noise are cut at half.
    """
    value_HW = np.asarray(image_HWC.max(axis=2))
    levels = np.unique(value_HW)
    lowest, highest, white = int(levels[0]), int(levels[-1]), int(np.iinfo(value_HW.dtype).max)
    if (image_HWC == image_HWC[:1, :1]).all():
        return MaskMarks(marked_HW=np.full(value_HW.shape, highest > 0), style=_named(image_HWC, "one value"))
    is_soft = highest >= BRIGHT * white and _is_softened(value_HW, highest)
    if is_lossy or (_is_noisy(levels) and not is_soft):
        return MaskMarks(marked_HW=_cut_noise(image_HWC, value_HW), style=_named(image_HWC, "with JPEG noise"))
    if lowest > 0 and len(levels) <= LEVELS_MAX:
        msg = f"has no black pixel (0): {_levels_text(image_HWC, levels)}; save good pixels as 0 and defects as 255"
        raise MaskError(msg)
    if len(levels) == 2:
        return MaskMarks(marked_HW=value_HW > 0, style=_named(image_HWC, "two values"))
    _require_no_void(levels, white)
    if is_soft:
        return MaskMarks(
            marked_HW=value_HW >= _brightness(value_HW, white) / 2, style=_named(image_HWC, "with soft edges")
        )
    is_bright = highest > IDS_MAX
    if len(levels) > LEVELS_MAX or (is_bright and (len(levels) - 2 > SOFT_LEVELS_MAX or _has_slopes(value_HW))):
        msg = f"has {len(levels)} levels of brightness, as a photo or a map of scores has; save two: 0 and 255"
        raise MaskError(msg)
    if levels.tolist() == [0, IGNORE, white]:
        raise _ignored(levels, IGNORE)
    return MaskMarks(marked_HW=value_HW > 0, style=_named(image_HWC, "several classes"))


def _is_noisy(levels: NDArray[Any]) -> bool:
    """Whether values crowd around black and around the brightest, as after JPEG."""
    values = levels.astype(np.float64)
    highest, white = float(values[-1]), float(np.iinfo(levels.dtype).max)
    low, high = values[values <= 0.15 * highest], values[values >= 0.85 * highest]
    return highest >= BRIGHT * white and len(low) > 2 and len(high) > 1


def _is_softened(value_HW: Image, highest: int) -> bool:
    """Whether all values between lie on edges between black and the brightest."""
    between_HW = (value_HW > 0) & (value_HW < highest)
    near_HW = _grown(value_HW == 0, EDGE_PX) & _grown(value_HW == highest, EDGE_PX)
    return not bool((between_HW & ~near_HW).any())


def _has_slopes(value_HW: Image) -> bool:
    """Whether values climb from black in steps, as along soft edges.

    A class borders on black or on another class; few of its pixels border on both.
    """
    around = np.ones((3, 3), np.uint8)
    lowest_HW, highest_HW = cv2.erode(value_HW, around), cv2.dilate(value_HW, around)
    between_HW = (value_HW > 0) & (value_HW < value_HW.max())
    return bool(np.mean((lowest_HW[between_HW] == 0) & (highest_HW[between_HW] > value_HW[between_HW])) > 0.25)


def _brightness(value_HW: NDArray[Any], white: float) -> float:
    """Brightness of marked pixels; white, unless the brightest is far from it."""
    highest = float(value_HW.max())
    return white if highest >= 0.75 * white else highest


def _cut_noise(image_HWC: Image, value_HW: Image) -> Marks:
    """Cut a noisy mask at half of its brightness.

    Colours are cut by luma, because JPEG halves the size of the colours.
    """
    white = float(np.iinfo(value_HW.dtype).max)
    luma_HW = value_HW.astype(np.float64)
    if image_HWC.shape[2] == 3:
        luma_HW = image_HWC.astype(np.float64) @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG
    highest, brightest = _brightness(luma_HW, white), _brightness(value_HW, white)
    if brightest < BRIGHT * white:
        msg = f"is saved with losses (JPEG), and its values up to {brightest:.0f} are lost in noise; save it as PNG"
        raise MaskError(msg)
    if highest < BRIGHT * white:
        msg = "is saved with losses (JPEG) in a dark colour, whose edges are lost in noise; save it as PNG"
        raise MaskError(msg)
    _require_two_levels(luma_HW, highest)
    uncertain = int(np.count_nonzero(np.abs(luma_HW / highest - 0.5) < UNCERTAIN))
    if uncertain:
        msg = f"is saved with heavy losses (JPEG): {counted(uncertain, 'pixel')} on edges are uncertain; save it as PNG"
        raise MaskError(msg)
    bright_HW = luma_HW >= highest / 2
    others = int(np.count_nonzero((value_HW >= brightest / 2) & ~_grown(bright_HW, EDGE_PX + 1)))
    if others:
        msg = f"is saved with losses (JPEG) in several colours, {others} pixels of them dark; save it as PNG"
        raise MaskError(msg)
    return bright_HW


def _require_two_levels(value_HW: NDArray[np.float64], highest: float) -> None:
    """Refuse values between black and the brightest far from edges."""
    low_HW, high_HW = value_HW < highest / 4, value_HW >= highest * 3 / 4
    between_HW = ~(low_HW | high_HW)
    near_HW = _grown(low_HW, NOISE_PX) & _grown(high_HW, NOISE_PX)
    dirty_HW = low_HW & (value_HW > highest / 20) & ~_grown(high_HW, 2 * NOISE_PX)
    between = int(np.count_nonzero(between_HW))
    is_soft = between > max(int(np.count_nonzero(high_HW)), 16) or between > between_HW.size / 5
    if is_soft or bool((between_HW & ~near_HW).any()) or bool(dirty_HW.any()):
        msg = "has soft levels of brightness, as a photo, a map of scores or several classes have; save two: 0 and 255"
        raise MaskError(msg)


def _require_no_void(levels: NDArray[Any], white: int) -> None:
    """Refuse white beside numbers of classes.

    Many tools mark pixels of unknown truth so.
    """
    values = [int(value) for value in levels.tolist()]
    if len(values) > 2 and values[-1] == white and values[-2] <= IDS_MAX:
        raise _ignored(levels, white)


def _ignored(levels: NDArray[Any], value: int) -> MaskError:
    return MaskError(
        f"has the values {_joined([int(one) for one in levels.tolist()])}, of which {value} may mean that the pixel "
        "is to be ignored; save good pixels as 0 and defects as 255"
    )


def _grown(area_HW: NDArray[np.bool_], by_px: int) -> Marks:
    side = 2 * by_px + 1
    return np.asarray(cv2.dilate(area_HW.astype(np.uint8), np.ones((side, side), np.uint8))) > 0


def _named(image_HWC: Image, what: str) -> str:
    is_colour = image_HWC.shape[2] == 3 and bool((image_HWC != image_HWC[:, :, :1]).any())
    return f"{'colour' if is_colour else 'grey'}, {what}"


def _levels_text(image_HWC: Image, levels: NDArray[Any]) -> str:
    if image_HWC.shape[2] == 1:
        return f"its values are {_joined([int(value) for value in levels.tolist()])}"
    colours = np.unique(image_HWC.reshape(-1, 3)[:100_000], axis=0)
    more = f" and {len(colours) - 3} more" if len(colours) > 3 else ""
    return f"its colours are {', '.join(_shown(colour) for colour in colours[:3])}{more}"


def _joined(values: list[int]) -> str:
    more = f" and {len(values) - 6} more" if len(values) > 6 else ""
    return ", ".join(str(value) for value in values[:6]) + more


def _shown(colour: NDArray[Any]) -> str:
    return f"({', '.join(str(int(value)) for value in colour)})"
