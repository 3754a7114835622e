"""Curves and bars as SVG, drawn by hand: a report must open anywhere, for years, without a network. Pure text."""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT, MARGIN = 340, 250, 38
COLOURS = ("#1f6feb", "#d1495b", "#2e8b57", "#b8860b", "#6f42c1", "#444")

Points = Sequence[tuple[float, float]]


def curve_svg(title: str, axes: tuple[str, str], curves: Sequence[tuple[str, Points]], *, x_max: float = 1.0) -> str:
    """Lines in a square of 0 to ``x_max`` by 0 to 1; the first is drawn thickest.

    Args:
        title: above it.
        axes: what runs along x and y.
        curves: a name and points each, in the order of x.
        x_max: where the x axis ends; points behind it are cut.
    """
    drawn = []
    for index, (name, points) in enumerate(curves):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{_x(x / x_max):.1f},{_y(y):.1f}" for x, y in points if x <= x_max * 1.0001)
        drawn.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{2 if index == 0 else 1}">'
            f"<title>{escape(name)}</title></polyline>"
        )
    return _frame(title, axes, (f"{x_max:g}", "1"), "".join(drawn))


def histogram_svg(title: str, groups: Sequence[tuple[str, Sequence[float]]], *, mark: float) -> str:
    """How often scores occur, group over group, with a line at ``mark``.

    Args:
        title: above it.
        groups: a name and raw scores each.
        mark: the threshold.
    """
    every = [score for _, scores in groups for score in scores] + [mark]
    low, high = min(every), max(every)
    span = (high - low) or 1.0
    bins = 30
    counts = [[0] * bins for _ in groups]
    for group, (_, scores) in enumerate(groups):
        for score in scores:
            counts[group][min(bins - 1, int((score - low) / span * bins))] += 1
    most = max(max(row) for row in counts) or 1
    drawn = []
    for group, row in enumerate(counts):
        for index, count in enumerate(row):
            if count:
                left, top = _x(index / bins), _y(count / most)
                wide = (WIDTH - 2 * MARGIN) / bins
                drawn.append(
                    f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{_y(0) - top:.1f}" '
                    f'fill="{COLOURS[group % len(COLOURS)]}" fill-opacity="0.55"/>'
                )
    at = _x((mark - low) / span)
    drawn.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_y(1):.1f}" y2="{_y(0):.1f}" class="mark"/>')
    drawn.append(f'<text x="{at + 4:.1f}" y="{_y(1) + 10:.1f}">threshold {mark:.3g}</text>')
    return _frame(title, (f"score, from {low:.3g}", "images"), (f"{high:.3g}", str(most)), "".join(drawn))


def _frame(title: str, axes: tuple[str, str], ends: tuple[str, str], inside: str) -> str:
    left, right, top, bottom = MARGIN, WIDTH - MARGIN, MARGIN, HEIGHT - MARGIN
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<text x="{left}" y="20" class="title">{escape(title)}</text>'
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" class="frame"/>{inside}'
        f'<text x="{left}" y="{bottom + 16}">{escape(axes[0])}</text>'
        f'<text x="{right}" y="{bottom + 16}" text-anchor="end">{escape(ends[0])}</text>'
        f'<text x="{left - 6}" y="{top + 4}" text-anchor="end">{escape(ends[1])}</text>'
        f'<text transform="translate({left - 10} {bottom}) rotate(-90)">{escape(axes[1])}</text></svg>'
    )


def _x(share: float) -> float:
    return MARGIN + share * (WIDTH - 2 * MARGIN)


def _y(share: float) -> float:
    return HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)
