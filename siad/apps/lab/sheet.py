"""Contact sheet of a model's results, worst errors first. Pure.

A row of cells: the image | its score map, one colour scale for all | outlines of the mask and of the true defect, and
a tint over ignored pixels | score, threshold and label.

Shape suffixes: H, W = size of an image, C = channels; the sheet is [H, W, 3] RGB.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.images import Image

ROWS_MAX: Final = 16
CELL_PX: Final = 300  # side of a cell
TEXT_PX: Final = 500  # width of the last column
GAP_PX: Final = 12
_PAPER, _INK, _DIM = (250, 250, 248), (30, 32, 36), (120, 124, 130)
_MASK, _TRUTH = (255, 80, 60), (40, 200, 90)  # outlines: marked pixels, defective pixels
_IGNORED: Final = (60, 150, 255)  # a tint unlike both outlines and unlike grey or brown parts
_TINT: Final = 0.6  # its opacity; below one half it is invisible on dark parts
_RIGHT, _WRONG = (30, 140, 70), (200, 50, 40)
_FONT: Final = cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """One image with score map, mask and label."""

    name: str
    image_HWC: Image
    map_HW: NDArray[np.float32]  # smoothed raw scores
    mask_HW: NDArray[np.uint8]  # marked pixels: 0 good, 255 defect
    truth_HW: NDArray[np.uint8] | None  # defective pixels; None without a mask
    is_defect: bool  # label of the image
    score: float
    threshold: float  # of the image; a score at or over it is a reject
    ignored_HW: NDArray[np.bool_] | None = None  # pixels where views differ, excluded from training; None with one view

    @property
    def has_ignored(self) -> bool:
        """Whether there are pixels to tint."""
        return self.ignored_HW is not None and bool(self.ignored_HW.any())

    @property
    def verdict(self) -> str:
        """Verdict and label in one word."""
        return verdict_of(self)


class SheetEntry(Protocol):
    """Score and label of one image, for the choice of rows."""

    @property
    def is_defect(self) -> bool:
        """Label of the image."""
        ...

    @property
    def score(self) -> float:
        """Raw score; the same unit for all entries."""
        ...

    @property
    def threshold(self) -> float:
        """An image with a score at or over it is rejected."""
        ...


S = TypeVar("S", bound=SheetEntry)


def verdict_of(entry: SheetEntry) -> str:
    """Verdict and label in one word."""
    is_marked = entry.score >= entry.threshold
    if entry.is_defect:
        return "found" if is_marked else "MISSED"
    return "FALSE REJECT" if is_marked else "passed"


def worst_first(rows: Sequence[S], *, count: int = ROWS_MAX, seed: int = 0) -> list[S]:
    """Choose rows: errors in turn, clearest first, then others by seed.

    Errors take at most three quarters of the sheet if there are other images.
    """
    by_verdict: dict[str, list[S]] = {"MISSED": [], "FALSE REJECT": [], "found": [], "passed": []}
    for row in rows:
        by_verdict[verdict_of(row)].append(row)
    misses = sorted(by_verdict["MISSED"], key=lambda row: row.score - row.threshold)
    false = sorted(by_verdict["FALSE REJECT"], key=lambda row: row.threshold - row.score)
    rest = [*by_verdict["found"], *by_verdict["passed"]]
    order = np.random.default_rng(seed).permutation(len(rest))
    others = [rest[index] for index in order]
    room = count - min(len(others), count // 4)
    errors = [row for pair in _in_turn(misses, false) for row in pair][:room]
    return [*errors, *others[: count - len(errors)]]


def draw_sheet(rows: Sequence[SheetRow], *, title: str = "") -> NDArray[np.uint8]:
    """Draw rows in their order.

    Args:
        rows: at least one.
        title: above the rows.

    Returns:
        uint8 [H, W, 3] RGB, 1,448 px wide.

    Raises:
        ValueError: no row.
    """
    if not rows:
        msg = "a contact sheet needs at least one image; nothing was drawn"
        raise ValueError(msg)
    scale = _scale(rows)
    drawn = [_row(row, scale) for row in rows]
    width = drawn[0].shape[1]
    has_ignored = any(row.has_ignored for row in rows)
    return np.concatenate([_head(title, width, scale, has_ignored=has_ignored), *drawn])


def draw_cells(row: SheetRow, *, side_px: int = CELL_PX) -> list[NDArray[np.uint8]]:
    """Draw one row without text: image, map, outlines over the tint.

    Returns:
        uint8 [h, w, 3] RGB each, with the image's aspect ratio; the longer side is ``side_px``.
    """
    pixels = _as_rgb(row.image_HWC)
    return [_fitted(pixels, side_px), _fitted(_coloured(row.map_HW, _scale([row])), side_px), _outlined(row, side_px)]


def encode_sheet(sheet_HWC: NDArray[np.uint8]) -> bytes:
    """Encode a sheet as PNG."""
    done, data = cv2.imencode(".png", cv2.cvtColor(sheet_HWC, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 6])
    assert done, f"no PNG of {sheet_HWC.shape}"
    return bytes(data)


def _in_turn(misses: Sequence[S], false: Sequence[S]) -> list[list[S]]:
    longest = max(len(misses), len(false))
    return [[*misses[index : index + 1], *false[index : index + 1]] for index in range(longest)]


def _scale(rows: Sequence[SheetRow]) -> tuple[float, float]:
    """Score range of the colour scale.

    It reaches from good images to defects over the threshold.
    """
    low = min(float(np.quantile(row.map_HW, 0.02)) for row in rows)
    threshold = float(np.median([row.threshold for row in rows]))
    high = max(threshold, float(np.quantile([row.score for row in rows], 0.75)))
    return low, high if high > low else low + 1.0


def _row(row: SheetRow, scale: tuple[float, float]) -> NDArray[np.uint8]:
    pictures = [_fitted(_as_rgb(row.image_HWC)), _fitted(_coloured(row.map_HW, scale)), _outlined(row)]
    cells = [*(_framed(picture_HWC) for picture_HWC in pictures), _text(row)]
    gap = np.full((CELL_PX, GAP_PX, 3), _PAPER, np.uint8)
    line = np.concatenate([part for cell in cells for part in (gap, cell)], axis=1)
    return np.concatenate([line, np.full((GAP_PX, line.shape[1], 3), _PAPER, np.uint8)])


def _as_rgb(image_HWC: Image) -> NDArray[np.uint8]:
    eight = (image_HWC >> 8).astype(np.uint8) if image_HWC.dtype == np.uint16 else image_HWC.astype(np.uint8)
    return np.repeat(eight, 3, axis=2) if eight.shape[2] == 1 else eight


def _coloured(map_HW: NDArray[np.float32], scale: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = scale
    grey = np.clip((map_HW - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), np.uint8)


def _fitted(picture_HWC: NDArray[np.uint8], side_px: int = CELL_PX) -> NDArray[np.uint8]:
    """Resize a picture to a longer side of ``side_px``.

    The aspect ratio stays.
    """
    height, width = picture_HWC.shape[:2]
    ratio = side_px / max(height, width)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    kernel = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture_HWC, size, interpolation=kernel), np.uint8)


def _framed(picture_hwC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Centre a fitted picture in a cell."""
    height, width = picture_hwC.shape[:2]
    cell = np.full((CELL_PX, CELL_PX, 3), _PAPER, np.uint8)
    top, left = (CELL_PX - height) // 2, (CELL_PX - width) // 2
    cell[top : top + height, left : left + width] = picture_hwC
    return cell


def _outlined(row: SheetRow, side_px: int = CELL_PX) -> NDArray[np.uint8]:
    """Outline the masks at display size.

    Lines are equally wide on small and large images.
    """
    picture = np.ascontiguousarray(_fitted(_as_rgb(row.image_HWC), side_px))
    if row.ignored_HW is not None and row.has_ignored:
        share_hw = _shares(row.ignored_HW, picture)
        tint_hw1 = _TINT * share_hw[:, :, None]
        picture = np.asarray(picture * (1 - tint_hw1) + np.array(_IGNORED) * tint_hw1, np.uint8)
        _outline(picture, share_hw, _IGNORED, width_px=1)
    for mask_HW, colour in ((row.truth_HW, _TRUTH), (row.mask_HW, _MASK)):
        if mask_HW is not None and mask_HW.any():
            _outline(picture, _shares(mask_HW > 0, picture), colour, width_px=2)
    return picture


def _shares(mask_HW: NDArray[np.bool_], picture_hwC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Marked fraction of each pixel of a picture, 0 to 1."""
    height, width = picture_hwC.shape[:2]
    small = cv2.resize(mask_HW.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _outline(
    picture_hwC: NDArray[np.uint8], share_hw: NDArray[np.float32], colour: tuple[int, int, int], *, width_px: int
) -> None:
    marked = (share_hw >= min(0.5, float(share_hw.max()))).astype(np.uint8)
    outlines, _ = cv2.findContours(marked, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture_hwC, outlines, -1, colour, width_px, cv2.LINE_AA)


def _text(row: SheetRow) -> NDArray[np.uint8]:
    cell = np.full((CELL_PX, TEXT_PX, 3), _PAPER, np.uint8)
    is_right = row.verdict in ("found", "passed")
    _write(cell, row.verdict, (10, 60), size=1.1, colour=_RIGHT if is_right else _WRONG)
    _write(cell, _short(row.name), (10, 110), size=0.65)
    _write(cell, f"score {_format(row.score)}", (10, 155), size=0.65)
    _write(cell, f"threshold {_format(row.threshold)}", (10, 185), size=0.65)
    _write(cell, f"label: {'defective' if row.is_defect else 'good'}", (10, 230), size=0.65)
    ratio = np.count_nonzero(row.mask_HW) / row.mask_HW.size
    truth = "" if row.truth_HW is None else f", {np.count_nonzero(row.truth_HW) / row.truth_HW.size:.2%} defective"
    _write(cell, f"marked {ratio:.2%} of the image{truth}", (10, 260), size=0.55, colour=_DIM)
    if row.has_ignored and row.ignored_HW is not None:
        _write(cell, f"ignored {np.mean(row.ignored_HW):.2%}: views differ", (10, 285), size=0.55, colour=_DIM)
    return cell


def _head(title: str, width: int, scale: tuple[float, float], *, has_ignored: bool) -> NDArray[np.uint8]:
    head = np.full((110, width, 3), _PAPER, np.uint8)
    _write(head, title, (GAP_PX, 40), size=0.9)
    names = ("image", f"score {_format(scale[0])} to {_format(scale[1])}", "")
    for index, name in enumerate(names):
        _write(head, name, (GAP_PX + index * (CELL_PX + GAP_PX), 92), size=0.55, colour=_DIM)
    left = GAP_PX + 2 * (CELL_PX + GAP_PX)
    _write(head, "marked", (left, 92), size=0.55, colour=_MASK)
    _write(head, "defective", (left + 90, 92), size=0.55, colour=_TRUTH)
    if has_ignored:
        _write(head, "ignored: views differ", (left + 200, 92), size=0.55, colour=_IGNORED)
    return head


def _write(
    canvas: NDArray[np.uint8],
    text: str,
    at: tuple[int, int],
    *,
    size: float,
    colour: tuple[int, int, int] = _INK,
) -> None:
    plain = text.encode("ascii", "replace").decode()  # OpenCV draws ASCII only
    cv2.putText(canvas, plain, at, _FONT, size, colour, 1, cv2.LINE_AA)


def _short(name: str, most: int = 40) -> str:
    return name if len(name) <= most else f"{name[: most // 2 - 2]}...{name[-(most // 2 - 1) :]}"


def _format(score: float) -> str:
    return f"{score:.3g}" if math.isfinite(score) else "-"
