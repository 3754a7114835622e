"""Contact sheet of a model's results, worst errors first. Pure.

A row of cells: the image | its score map, one colour scale for all | outlines of the mask and of the true defect, and
a tint over ignored pixels | score, threshold and label, and of an image that is shown in part the whole.

Shape suffixes: H, W = size of an image, C = channels; the sheet is [H, W, 3] RGB.
"""

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.apps.lab.sheet_rows import SheetRow, WholeImage, focus
from siad.vision.images import Image

CELL_PX: Final = 300  # side of a cell
TEXT_PX: Final = 500  # width of the last column
GAP_PX: Final = 12
WHOLE_PX: Final = (250, 110)  # width and height that the whole image may take in the last column
_PAPER, _INK, _DIM = (250, 250, 248), (30, 32, 36), (120, 124, 130)
_MASK, _TRUTH = (255, 80, 60), (40, 200, 90)  # outlines: marked pixels, defective pixels
_IGNORED: Final = (60, 150, 255)  # a tint unlike both outlines and unlike grey or brown parts
_TINT: Final = 0.6  # its opacity; below one half it is invisible on dark parts
_BOX: Final = (255, 190, 0)  # around the part of an image that is shown
_RIGHT, _WRONG = (30, 140, 70), (200, 50, 40)
_FONT: Final = cv2.FONT_HERSHEY_DUPLEX


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
    rows = [focus(row) for row in rows]
    scale = _scale(rows)
    drawn = [_row(row, scale) for row in rows]
    width = drawn[0].shape[1]
    return np.concatenate([_head(title, width, scale, [row.whole for row in rows if row.whole is not None]), *drawn])


def draw_cells(row: SheetRow, *, side_px: int = CELL_PX) -> list[NDArray[np.uint8]]:
    """Draw one row without text: image, map, outlines over the tint.

    Returns:
        uint8 [h, w, 3] RGB each, with the aspect ratio of what is shown; the longer side is ``side_px``. Of an image
        that is shown in part also the whole, with a box around the part.
    """
    row = focus(row)
    pictures = [_as_rgb(row.image_HWC), _coloured(row.map_HW, _scale([row]))]
    cells = [*(_fitted(picture_HWC, side_px) for picture_HWC in pictures), _outlined(row, side_px)]
    if row.whole is not None and row.whole.is_cut:
        cells.append(_located(row.whole, (side_px, side_px)))
    return cells


def encode_sheet(sheet_HWC: NDArray[np.uint8]) -> bytes:
    """Encode a sheet as PNG."""
    done, data = cv2.imencode(".png", cv2.cvtColor(sheet_HWC, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 6])
    assert done, f"no PNG of {sheet_HWC.shape}"
    return bytes(data)


def _scale(rows: Sequence[SheetRow]) -> tuple[float, float]:
    """Score range of the colour scale.

    It reaches from good images to defects over the threshold.
    """
    low = min(row.whole.lowest for row in rows if row.whole is not None)
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
    return _scaled(picture_HWC, side_px / max(height, width))


def _scaled(picture_HWC: NDArray[np.uint8], ratio: float) -> NDArray[np.uint8]:
    height, width = picture_HWC.shape[:2]
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    kernel = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture_HWC, size, interpolation=kernel), np.uint8)


def _located(whole: WholeImage, most_px: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw a whole image with a box around the part shown.

    ``most_px`` is the width and the height that it may take.
    """
    picture_HWC = _as_rgb(whole.picture_hwC)
    height, width = picture_HWC.shape[:2]
    picture = np.ascontiguousarray(_scaled(picture_HWC, min(most_px[0] / width, most_px[1] / height)))
    rows, columns = picture.shape[:2]
    top, left, bottom, right = whole.box
    corners = (
        (round(left * (columns - 1)), round(top * (rows - 1))),
        (
            round(right * (columns - 1)),
            round(bottom * (rows - 1)),
        ),
    )
    cv2.rectangle(picture, *corners, _BOX, 2)
    return picture


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
    whole = row.whole
    assert whole is not None, "rows are drawn as ``focus`` gives them"
    truth = "" if row.truth_HW is None else f", {whole.defective_ratio:.2%} defective"
    _write(cell, f"marked {whole.marked_ratio:.2%} of the image{truth}", (10, 260), size=0.55, colour=_DIM)
    if whole.ignored_ratio:
        _write(cell, f"ignored {whole.ignored_ratio:.2%}: views differ", (10, 285), size=0.55, colour=_DIM)
    if whole.is_cut:
        picture = _located(whole, WHOLE_PX)
        height, width = picture.shape[:2]
        cell[130 : 130 + height, TEXT_PX - width :] = picture
    return cell


def _head(title: str, width: int, scale: tuple[float, float], wholes: Sequence[WholeImage]) -> NDArray[np.uint8]:
    head = np.full((110, width, 3), _PAPER, np.uint8)
    _write(head, title, (GAP_PX, 40), size=0.9)
    names = ("image", f"score {_format(scale[0])} to {_format(scale[1])}", "")
    for index, name in enumerate(names):
        _write(head, name, (GAP_PX + index * (CELL_PX + GAP_PX), 92), size=0.55, colour=_DIM)
    left = GAP_PX + 2 * (CELL_PX + GAP_PX)
    _write(head, "marked", (left, 92), size=0.55, colour=_MASK)
    _write(head, "defective", (left + 90, 92), size=0.55, colour=_TRUTH)
    if any(whole.is_cut for whole in wholes):
        shown = "small findings are enlarged; the whole image beside"
        _write(head, shown, (left + CELL_PX + GAP_PX, 92), size=0.55, colour=_DIM)
    if any(whole.ignored_ratio for whole in wholes):
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
