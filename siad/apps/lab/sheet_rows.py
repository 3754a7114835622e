"""Choice of a contact sheet's rows, and of what each shows. Pure.

A small defect on a large board, or in a view sixteen times as wide as high, is a few pixels wide where the whole image
is shown. Such a row shows the finding and what surrounds it, and the whole image small, with the place of the finding.

Shape suffixes: H, W = size of an image, C = channels, h, w = size of a part of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.images import Image

ROWS_MAX: Final = 16
SHOWN_PX: Final = 300  # longer side at which the whole image is shown
READABLE_PX: Final = 40  # a finding that is smaller there is shown enlarged
SURROUNDINGS: Final = 4  # sides of a part, in sides of its finding
PART_MIN_PX: Final = 160  # px of the image; smaller parts are nothing but pixels
KEPT_PX: Final = 1024  # longer side of what a row keeps; larger pictures are never shown


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeImage:
    """What a row that shows a part keeps of its whole image."""

    picture_hwC: Image  # at most ``SHOWN_PX``
    box: tuple[float, float, float, float]  # the part: top, left, bottom, right as shares of the image; all of it too
    lowest: float  # score that a fiftieth of the pixels are under
    marked_ratio: float  # 0..1 of the pixels
    defective_ratio: float
    ignored_ratio: float

    @property
    def is_cut(self) -> bool:
        """Whether the row shows less than the image."""
        return self.box != (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """One image or a part of it, with map, mask and label."""

    name: str
    image_HWC: Image
    map_HW: NDArray[np.float32]  # smoothed raw scores
    mask_HW: NDArray[np.uint8]  # marked pixels: 0 good, 255 defect
    truth_HW: NDArray[np.uint8] | None  # defective pixels; None without a mask
    is_defect: bool  # label of the image
    score: float
    threshold: float  # of the image; a score at or over it is a reject
    ignored_HW: NDArray[np.bool_] | None = None  # pixels where views differ, excluded from training; None with one view
    whole: WholeImage | None = None  # set by ``focus``

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


def focus(row: SheetRow) -> SheetRow:
    """Enlarge the finding of a row if it is too small.

    The finding is the marked region with the highest score; without marks the true defect with it, and else the place
    of the highest score. What the row keeps of large images is reduced to ``KEPT_PX``.
    """
    if row.whole is not None:
        return row
    box = _box_of(row)
    whole = WholeImage(
        picture_hwC=_reduced(row.image_HWC, SHOWN_PX),
        box=box,
        lowest=float(np.quantile(row.map_HW, 0.02)),
        marked_ratio=_ratio(row.mask_HW),
        defective_ratio=0.0 if row.truth_HW is None else _ratio(row.truth_HW),
        ignored_ratio=0.0 if row.ignored_HW is None else _ratio(row.ignored_HW),
    )
    return replace(
        row,
        image_HWC=_reduced(_cut(row.image_HWC, box), KEPT_PX),
        map_HW=_reduced(_cut(row.map_HW, box), KEPT_PX),
        mask_HW=_reduced(_cut(row.mask_HW, box), KEPT_PX),
        truth_HW=None if row.truth_HW is None else _reduced(_cut(row.truth_HW, box), KEPT_PX),
        ignored_HW=None if row.ignored_HW is None else _reduced(_cut(row.ignored_HW, box), KEPT_PX),
        whole=whole,
    )


def _box_of(row: SheetRow) -> tuple[float, float, float, float]:
    """Choose the part to show.

    Top, left, bottom and right as shares of the image.
    """
    size = row.image_HWC.shape[:2]
    longest = max(size)
    top, left, bottom, right = _finding(row)
    side = max((bottom - top) * size[0], (right - left) * size[1])
    if longest <= SHOWN_PX or side * SHOWN_PX / longest >= READABLE_PX:
        return 0.0, 0.0, 1.0, 1.0
    part = max(SURROUNDINGS * side, PART_MIN_PX)
    down, across = (_window(*ends, part / px) for ends, px in (((top, bottom), size[0]), ((left, right), size[1])))
    return down[0], across[0], down[1], across[1]


def _finding(row: SheetRow) -> tuple[float, float, float, float]:
    """Box of what the row is about, as shares of the map."""
    marked_HW = next(
        (mask_HW > 0 for mask_HW in (row.mask_HW, row.truth_HW) if mask_HW is not None and mask_HW.any()),
        row.map_HW >= row.map_HW.max(),
    )
    peak = int(np.argmax(np.where(marked_HW, row.map_HW, -np.inf)))
    _, labels_HW, stats, _ = cv2.connectedComponentsWithStats(marked_HW.astype(np.uint8), connectivity=8)
    left, top, width, height, _ = stats[labels_HW.ravel()[peak]].tolist()
    rows, columns = row.map_HW.shape
    return top / rows, left / columns, (top + height) / rows, (left + width) / columns


def _window(low: float, high: float, length: float) -> tuple[float, float]:
    """Place a window about an interval, within 0 to 1."""
    length = min(1.0, length)
    start = min(max(0.0, (low + high - length) / 2), 1.0 - length)
    return start, start + length


def _cut(picture: NDArray[Any], box: tuple[float, float, float, float]) -> NDArray[Any]:
    height, width = picture.shape[:2]
    top, left, bottom, right = (
        round(share * px) for share, px in zip(box, (height, width, height, width), strict=True)
    )
    return picture[top : max(bottom, top + 1), left : max(right, left + 1)]


def _reduced(picture: NDArray[Any], side_px: int) -> NDArray[Any]:
    """Reduce to a longer side of ``side_px``, as an own copy.

    Masks keep their values.
    """
    height, width = picture.shape[:2]
    ratio = side_px / max(height, width)
    if ratio >= 1:
        return picture.copy()
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    is_mask = picture.ndim == 2 and picture.dtype != np.float32
    values = picture.astype(np.uint8) if picture.dtype == np.bool_ else picture
    small = cv2.resize(values, size, interpolation=cv2.INTER_NEAREST if is_mask else cv2.INTER_AREA)
    return np.asarray(small.astype(picture.dtype).reshape(size[1], size[0], *picture.shape[2:]))


def _ratio(mask_HW: NDArray[np.uint8] | NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(mask_HW) / mask_HW.size)


def _in_turn(misses: Sequence[S], false: Sequence[S]) -> list[list[S]]:
    longest = max(len(misses), len(false))
    return [[*misses[index : index + 1], *false[index : index + 1]] for index in range(longest)]
