"""Region of interest: a polygon in shares of the view.

``siad.vision.region`` turns it into pixels. Reading and checking it needs no image library, so that decoding an event
needs none either.
"""

import math
from typing import Final

POLYGON_POINTS_MIN: Final = 3
POLYGON_POINTS_MAX: Final = 64
_AREA_MIN: Final = 1e-4  # share of the view; a smaller polygon is taken for a line


def parse_region(text: str) -> tuple[float, ...]:
    """Read a region from the text of a setting.

    Args:
        text: ``left,top,right,bottom`` for a box, or ``x,y x,y x,y ...``; empty for the whole view.

    Returns:
        x0, y0, x1, y1, ... in shares of the view, 0 to 1; empty for the whole view.

    Raises:
        ValueError: the text is neither, a box without area, or not a polygon within the view.
    """
    try:
        numbers = tuple(float(number) for number in text.replace(",", " ").split())
    except ValueError as error:
        msg = (
            f"region of interest {text!r} is not a list of numbers; "
            "write left,top,right,bottom or x,y x,y x,y in shares of the view"
        )
        raise ValueError(msg) from error
    if len(numbers) == 4:
        left, top, right, bottom = numbers
        _require_box(left, top, right, bottom)
        numbers = _corners_of(left, top, right, bottom)
    require_region(numbers)
    return numbers


def describe_region(points: tuple[float, ...]) -> str:
    """Write a region as ``parse_region`` reads it; empty for the whole view."""
    if len(points) == 8 and points == _corners_of(*points[:2], *points[4:6]):
        return ",".join(f"{value:g}" for value in (*points[:2], *points[4:6]))
    return " ".join(f"{x:g},{y:g}" for x, y in zip(points[::2], points[1::2], strict=True))


def require_region(points: tuple[float, ...]) -> None:
    """Raise ValueError for points that are no polygon within the view.

    Args:
        points: x0, y0, x1, y1, ... in shares of the view's width and height, each 0 to 1; 3 to 64 points.
    """
    if not points:
        return
    count = len(points) / 2
    if count not in range(POLYGON_POINTS_MIN, POLYGON_POINTS_MAX + 1):
        msg = (
            f"region of interest {_described(points)} has {count:g} points; {POLYGON_POINTS_MIN} to "
            f"{POLYGON_POINTS_MAX} points x, y are needed, or left,top,right,bottom"
        )
        raise ValueError(msg)
    if outside := [value for value in points if not 0 <= value <= 1]:
        msg = (
            f"region of interest {_described(points)} leaves the view: {_described(tuple(outside))} not within 0 to 1; "
            "give shares of the view's width and height, each 0 to 1"
        )
        raise ValueError(msg)
    if abs(_signed_area(points)) < _AREA_MIN:
        msg = f"region of interest {_described(points)} has no area: its points are on a line"
        raise ValueError(msg)


def _corners_of(left: float, top: float, right: float, bottom: float) -> tuple[float, ...]:
    """Polygon of a box, from its upper left corner, clockwise."""
    return left, top, right, top, right, bottom, left, bottom


def _require_box(left: float, top: float, right: float, bottom: float) -> None:
    sides = (("left", left, "right", right), ("top", top, "bottom", bottom))
    if wrong := [
        f"{low} {least:g} is not less than {high} {most:g}" for low, least, high, most in sides if least >= most
    ]:
        msg = (
            f"region of interest {left:g},{top:g},{right:g},{bottom:g} is no box: {' and '.join(wrong)}; "
            "write left,top,right,bottom in shares of the view, from its upper left corner"
        )
        raise ValueError(msg)


def _signed_area(points: tuple[float, ...]) -> float:
    """Signed area of a polygon as a share of the view (shoelace)."""
    corners = list(zip(points[0::2], points[1::2], strict=True))
    following = [*corners[1:], corners[0]]
    return math.fsum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(corners, following, strict=True)) / 2


def _described(points: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in points[:12]) + (" ..." if len(points) > 12 else "")
