"""Panels drawn with Pillow: numbers, and lines over time."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from siad.runtime.dashboards.panel import Dashboard, Kind, Panel, Unit
from siad.runtime.dashboards.prometheus import Series, Span

SCALE: Final = 2  # drawn larger and reduced, so that lines are smooth
WIDE, HIGH, NUMBER_HIGH, GAP = 560, 240, 110, 12  # px of a panel
LEGEND_ROWS, LEGEND_COLUMNS = 3, 2
COLOURS: Final = ("#1b6ca8", "#c1440e", "#2e7d32", "#7b3fa0", "#b8860b", "#00838f", "#ad1457", "#5d4037", "#455a64")
INK, FAINT, FRAME = "#222222", "#777777", "#dddddd"


def draw(board: Dashboard, series: Sequence[Sequence[Series]], span: Span) -> Image.Image:
    """Draw a dashboard, numbers above graphs."""
    numbers = [(panel, found) for panel, found in zip(board.panels, series, strict=True) if panel.kind is Kind.NUMBER]
    graphs = [(panel, found) for panel, found in zip(board.panels, series, strict=True) if panel.kind is Kind.GRAPH]
    head, wide = 40, 2 * WIDE + 3 * GAP
    number_rows, graph_rows = -(-len(numbers) // 4), -(-len(graphs) // 2)
    high = head + number_rows * (NUMBER_HIGH + GAP) + graph_rows * (HIGH + GAP)
    sheet = Image.new("RGB", (wide * SCALE, high * SCALE), "white")
    pen = _Pen(ImageDraw.Draw(sheet))
    ends = [datetime.fromtimestamp(at_s, UTC) for at_s in (span.start_s, span.end_s)]
    pen.text(GAP, 12, f"{board.title}, {ends[0]:%Y-%m-%d %H:%M:%S} to {ends[1]:%H:%M:%S} UTC", size=15)
    small = (2 * WIDE + GAP - 3 * GAP) / 4
    for place, (panel, found) in enumerate(numbers):
        row, column = divmod(place, 4)
        _number(pen, panel, found, (GAP + column * (small + GAP), head + row * (NUMBER_HIGH + GAP), small))
    below = head + number_rows * (NUMBER_HIGH + GAP)
    for place, (panel, found) in enumerate(graphs):
        row, column = divmod(place, 2)
        _graph(pen, panel, found, span, (GAP + column * (WIDE + GAP), below + row * (HIGH + GAP)))
    return sheet.resize((wide, high), Image.Resampling.LANCZOS)


class _Pen:
    """Draws in pixels of the finished picture."""

    def __init__(self, pen: ImageDraw.ImageDraw) -> None:
        self._pen = pen

    def text(self, x: float, y: float, text: str, *, size: int = 11, fill: str = INK) -> None:
        self._pen.text((x * SCALE, y * SCALE), text, font=ImageFont.load_default(size * SCALE), fill=fill)

    def frame(self, x: float, y: float, wide: float, high: float) -> None:
        self._pen.rectangle((x * SCALE, y * SCALE, (x + wide) * SCALE, (y + high) * SCALE), outline=FRAME, width=SCALE)

    def line(self, points: Sequence[tuple[float, float]], fill: str, *, width: int = 3) -> None:
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._pen.line(scaled if len(scaled) > 1 else scaled * 2, fill=fill, width=width)


def _number(pen: _Pen, panel: Panel, found: Sequence[Series], place: tuple[float, float, float]) -> None:
    x, y, wide = place
    pen.frame(x, y, wide, NUMBER_HIGH)
    pen.text(x + 8, y + 6, panel.title, size=12)
    pen.text(x + 8, y + 40, _value(found[0].values[-1], panel.unit) if found else "no data", size=34)


def _graph(pen: _Pen, panel: Panel, found: Sequence[Series], span: Span, place: tuple[float, float]) -> None:
    x, y = place
    left, top, right, bottom = x + 62, y + 32, x + WIDE - 12, y + HIGH - 64
    pen.frame(x, y, WIDE, HIGH)
    pen.text(x + 8, y + 6, panel.title, size=13)
    if not found:
        reason = f"no data until {panel.empty_until}" if panel.empty_until else "no data"
        pen.text(left, (top + bottom) / 2, reason, size=12, fill=FAINT)
        return
    most = max((value for one in found for value in one.values), default=0.0) or 1.0
    least = min(0.0, *(value for one in found for value in one.values))
    for part in (0.0, 0.5, 1.0):
        at = bottom - part * (bottom - top)
        pen.line([(left, at), (right, at)], FRAME, width=1)
        pen.text(x + 6, at - 7, _value(least + part * (most - least), panel.unit), fill=FAINT)
    for at_s, across in ((span.start_s, left), (span.end_s, right - 48)):
        pen.text(across, bottom + 3, f"{datetime.fromtimestamp(at_s, UTC):%H:%M:%S}", size=10, fill=FAINT)
    for number, one in enumerate(found):
        colour = COLOURS[number % len(COLOURS)]
        points = [
            (
                left + (right - left) * (at_s - span.start_s) / (span.end_s - span.start_s),
                bottom - (bottom - top) * (value - least) / (most - least),
            )
            for at_s, value in zip(one.times_s, one.values, strict=True)
        ]
        pen.line(points, colour)
        _legend(pen, number, len(found), one.name, (left, bottom + 17))


def _legend(pen: _Pen, number: int, count: int, name: str, place: tuple[float, float]) -> None:
    row, column = divmod(number, LEGEND_COLUMNS)
    if row >= LEGEND_ROWS:
        return
    last = number == LEGEND_ROWS * LEGEND_COLUMNS - 1 and count > number + 1
    text = f"and {count - number} more" if last else name
    colour = FAINT if last else COLOURS[number % len(COLOURS)]
    pen.text(place[0] + column * 240, place[1] + 14 * row, text[:44], size=11, fill=colour)


def _value(value: float, unit: Unit) -> str:
    """A value with its unit, in at most eight characters."""
    if unit is Unit.RATIO:
        return f"{100 * value:.3g}%"
    if unit is Unit.SECONDS:
        return f"{1000 * value:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit is Unit.BYTES:
        return f"{value / 2**20:.4g} MB"
    text = f"{value:.4g}"
    return f"{text}/s" if unit is Unit.PER_SECOND else text
