"""Memory and lag over time as one SVG.

Written without a library: no installation, and readable diffs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.soak_judge import SETTLED_S, Sample, stayed

WIDE, HIGH, LEFT, RIGHT, GAP = 900, 260, 60, 230, 46
COLOURS: Final = ("#1b6ca8", "#c1440e", "#2e7d32", "#7b3fa0", "#b8860b", "#00838f", "#ad1457", "#5d4037", "#455a64")

Series = Mapping[str, Sequence[float]]


def write_chart(path: Path, samples: Sequence[Sample], names: Mapping[int, str], *, title: str) -> None:
    """Draw memory above and lag below.

    Before the third minute lines are grey.
    """
    pids = stayed([sample for sample in samples if sample.at_s >= SETTLED_S])
    memory = {
        f"{names[pid]} ({pid})": [sample.rss_mb.get(pid, 0.0) for sample in samples]
        for pid in sorted(pids, key=lambda pid: -samples[-1].rss_mb[pid])
    }
    lag = {stage: [float(sample.lag[stage]) for sample in samples] for stage in sorted(samples[0].lag)}
    times = [sample.at_s / 60 for sample in samples]
    panels = _panel(times, memory, top=GAP, what="resident memory, MB") + _panel(
        times, lag, top=2 * GAP + HIGH, what="records that wait"
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + RIGHT}" height="{3 * GAP + 2 * HIGH}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>'
    )
    path.write_text("\n".join([head, *panels, "</svg>\n"]))


def _panel(times: Sequence[float], series: Series, *, top: int, what: str) -> list[str]:
    most = max([1.0, *(value for values in series.values() for value in values)]) * 1.05
    end = max(times[-1], 1e-9)

    def x(minute: float) -> float:
        return LEFT + WIDE * minute / end

    def y(value: float) -> float:
        return top + HIGH * (1 - value / most)

    settled = max(0.0, min(x(SETTLED_S / 60) - LEFT, WIDE))
    parts = [
        f'<rect x="{LEFT}" y="{top}" width="{settled:.1f}" height="{HIGH}" fill="#eee"/>',
        f'<rect x="{LEFT}" y="{top}" width="{WIDE}" height="{HIGH}" fill="none" stroke="#888"/>',
        f'<text x="{LEFT}" y="{top - 6}">{escape(what)}</text>',
        *(f'<text x="{x(m):.0f}" y="{top + HIGH + 14}">{m} min</text>' for m in range(int(end) + 1)),
        *(f'<text x="6" y="{y(most * part) + 4:.0f}">{most * part:.0f}</text>' for part in (0.0, 0.25, 0.5, 0.75, 1.0)),
    ]
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in zip(times, values, strict=True))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.4" points="{points}"/>')
        parts.append(f'<text x="{LEFT + WIDE + 8}" y="{top + 10 + 14 * number}" fill="{colour}">{escape(name)}</text>')
    return parts
