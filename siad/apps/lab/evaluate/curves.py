"""Curves, histograms and strip plots as SVG text. Pure.

Written by hand, without a plotting library: a report must open in any browser, for years, without a network. Colours
are in ``siad.apps.lab.evaluate.style``; each shape has a CSS class, ``k0`` for all images and ``k1``, ``k2``, ... for
each class of defects.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

WIDTH: Final = 360
HEIGHT: Final = 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 12, 44  # margins; the axes are named in them
_SHARES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_BINS: Final = 30

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line of a plot."""

    name: str
    ink: str  # its CSS class
    points: Points  # in the order of x
    figure: float | None = None  # shown in the legend; 0..1
    mark: tuple[float, float] | None = None  # position of the detector's own threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreGroup:
    """Scores of one group of images."""

    name: str
    ink: str  # its CSS class
    scores: Sequence[float]  # raw, at least one


def draw_curves(
    title: str, axes: tuple[str, str], curves: Sequence[Curve], *, ticks: Sequence[float] = _SHARES, caption: str = ""
) -> str:
    """Draw lines in a frame, with a legend.

    The frame spans 0 to the last tick by 0 to 1.

    Args:
        title: above it.
        axes: labels of x and y.
        curves: at least one; the first is drawn thickest, below the others.
        ticks: of the x axis, from 0; points beyond the last are cut off.
        caption: meaning of the curves' figures.
    """
    end = ticks[-1]
    drawn = []
    for index, curve in enumerate(curves):
        path = " ".join(f"{_x(x / end):.1f},{_y(y):.1f}" for x, y in curve.points if x <= end * 1.0001)
        thick = " thick" if index == 0 else ""
        drawn.append(
            f'<polyline class="line {curve.ink}{thick}" points="{path}"><title>{escape(curve.name)}</title></polyline>'
        )
    for curve in curves:
        if curve.mark is not None and curve.mark[0] <= end:
            x, y = curve.mark
            drawn.append(f'<circle class="dot {curve.ink}" cx="{_x(x / end):.1f}" cy="{_y(y):.1f}" r="3.5"/>')
    across = [(_x(tick / end), f"{tick:g}") for tick in ticks]
    up = [(_y(share), f"{share:g}") for share in _SHARES]
    entries = [_entry(curve.ink, curve.name, "" if curve.figure is None else f"{curve.figure:.3f}") for curve in curves]
    if any(curve.mark is not None for curve in curves):
        entries.append("<li><b class=round></b>at its own threshold</li>")
    return _plot(title, caption, _frame(title, axes, across, up, "".join(drawn)), entries)


def draw_histogram(title: str, groups: Sequence[ScoreGroup], *, threshold: float) -> str:
    """Draw overlaid histograms of scores, with a line at the threshold.

    Args:
        title: above it.
        groups: at least one.
        threshold: raw score.
    """
    low, high = _range(groups, threshold)
    counts = [np.histogram(group.scores, bins=_BINS, range=(low, high))[0] for group in groups]
    most = max(int(count.max()) for count in counts)
    wide = (WIDTH - _LEFT - _RIGHT) / _BINS
    drawn = [
        f'<rect class="bar {group.ink}" x="{_x(index / _BINS):.1f}" y="{_y(number / most):.1f}" width="{wide:.1f}" '
        f'height="{_y(0) - _y(number / most):.1f}"/>'
        for group, count in zip(groups, counts, strict=True)
        for index, number in enumerate(count.tolist())
        if number
    ]
    up = [(_y(number / most), f"{number:g}") for number in _round_steps(0, most) if number.is_integer()]
    inside = "".join(drawn) + _threshold(threshold, low, high)
    axes = ("image score", "images")
    return _plot(title, "", _frame(title, axes, _score_ticks(low, high), up, inside), _counted(groups))


def draw_strips(title: str, groups: Sequence[ScoreGroup], *, threshold: float) -> str:
    """Draw each image as a dot, in one row for each group.

    A line marks the threshold.

    Args:
        title: above it.
        groups: at least one, from top to bottom.
        threshold: raw score.
    """
    low, high = _range(groups, threshold)
    rows = len(groups)
    rng = np.random.default_rng(0)  # jitter: equal scores would hide each other
    drawn = []
    for row, group in enumerate(groups):
        middle = 1 - (row + 0.5) / rows
        for score, shake in zip(group.scores, rng.uniform(-0.32, 0.32, len(group.scores)).tolist(), strict=True):
            x, y = _x((score - low) / (high - low)), _y(middle + shake / rows)
            drawn.append(f'<circle class="speck {group.ink}" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>')
    inside = "".join(drawn) + _threshold(threshold, low, high)
    up = [(_y(1 - row / rows), "") for row in range(1, rows)]  # between the rows
    axes = ("image score", "one dot per image")
    return _plot(title, "", _frame(title, axes, _score_ticks(low, high), up, inside), _counted(groups))


def swatch(ink: str) -> str:
    """Sample of a colour, for a legend."""
    return f'<i class="{ink}"></i>'


def _counted(groups: Sequence[ScoreGroup]) -> list[str]:
    return [_entry(group.ink, group.name, str(len(group.scores))) for group in groups]


def _entry(ink: str, name: str, note: str) -> str:
    return f'<li class="{ink}">{swatch(ink)}{escape(name)} <small>{note}</small></li>'


def _plot(title: str, caption: str, drawn: str, entries: Sequence[str]) -> str:
    note = f" <small>{escape(caption)}</small>" if caption else ""
    return f'<section class="plot"><h3>{escape(title)}{note}</h3>{drawn}<ul>{"".join(entries)}</ul></section>'


def _frame(
    title: str,
    axes: tuple[str, str],
    across: Sequence[tuple[float, str]],
    up: Sequence[tuple[float, str]],
    inside: str,
) -> str:
    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM
    grid = "".join(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>' for x, _ in across)
    grid += "".join(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>' for y, _ in up)
    labels = "".join(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{name}</text>' for x, name in across)
    labels += "".join(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{name}</text>' for y, name in up)
    middle = (top + bottom) / 2
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" class="frame"/>{grid}{inside}'
        f"{labels}"
        f'<text x="{(left + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle" class="axis">{escape(axes[0])}</text>'
        f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle" class="axis">{escape(axes[1])}'
        "</text></svg>"
    )


def _range(groups: Sequence[ScoreGroup], threshold: float) -> tuple[float, float]:
    every = [score for group in groups for score in group.scores] + [threshold]
    low, high = min(every), max(every)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _score_ticks(low: float, high: float) -> list[tuple[float, str]]:
    return [(_x((score - low) / (high - low)), f"{score:.6g}") for score in _round_steps(low, high)]


def _round_steps(low: float, high: float) -> list[float]:
    """Three to nine round numbers within a range."""
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = size * max(factor for factor in (1, 2, 5) if factor * size <= rough)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _threshold(threshold: float, low: float, high: float) -> str:
    share = (threshold - low) / (high - low)
    at = _x(share)
    side, anchor = (-5, "end") if share > 0.5 else (5, "start")
    return (
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_y(1):.1f}" y2="{_y(0):.1f}" class="mark"/>'
        f'<text x="{at + side:.1f}" y="{_y(1) + 12:.1f}" text-anchor="{anchor}" class="mark">threshold '
        f"{threshold:.3g}</text>"
    )


def _x(share: float) -> float:
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)
