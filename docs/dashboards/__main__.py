"""Draw a dashboard as PNG: ``python -m docs.dashboards --prometheus http://127.0.0.1:9090``.

It also lists the panels without data, each with the event that it waits for.
"""

import argparse
import sys
import time
from pathlib import Path

import httpx

from docs.dashboards.drawing import draw
from siad.runtime.dashboards.all import DASHBOARDS
from siad.runtime.dashboards.prometheus import PrometheusError, Span, read_panel

POINTS = 240


def main(arguments: list[str]) -> int:
    """Draw a dashboard.

    Returns:
        Exit status: 1 where Prometheus does not answer, or a panel that should always have data has none.
    """
    names = {board.name: board for board in DASHBOARDS}
    parser = argparse.ArgumentParser(prog="python -m docs.dashboards", description="Draw a dashboard as PNG.")
    parser.add_argument("--prometheus", required=True, help="address of a Prometheus that scrapes SIAD")
    parser.add_argument("--dashboard", choices=names, default="fleet")
    parser.add_argument("--minutes", type=float, default=60, help="how far back")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "pictures/fleet.png")
    options = parser.parse_args(arguments)
    end_s = time.time()
    span = Span(end_s - 60 * options.minutes, end_s, max(1.0, 60 * options.minutes / POINTS))
    board = names[options.dashboard]
    try:
        with httpx.Client(base_url=options.prometheus, timeout=30) as http:
            series = [read_panel(http, panel, span) for panel in board.panels]
    except PrometheusError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draw(board, series, span).save(options.out, optimize=True)
    status = 0
    for panel, found in zip(board.panels, series, strict=True):
        if not found:
            status = status if panel.empty_until else 1
            reason = f"empty until {panel.empty_until}" if panel.empty_until else "it should always have data"
            sys.stdout.write(f"no data: {panel.title} ({reason})\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
