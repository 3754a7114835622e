"""Draw a dashboard as PNG: ``python -m docs.dashboards --console http://127.0.0.1:8405``.

The picture is of the console's page Status, in Chromium. The command also lists the panels without data, each with the
event that it waits for.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx

from siad.runtime.dashboards.all import DASHBOARDS

ROOT: Final = Path(__file__).parents[2]
SCRIPT: Final = ROOT / "web" / "e2e" / "board_picture.ts"
NODE: Final = ROOT / ".venv" / "bin" / "node"
DRAW_S: Final = 60.0


def main(arguments: list[str]) -> int:
    """Draw a dashboard.

    Returns:
        Exit status: 1 where the console does not answer, or a panel that should always have data has none.
    """
    names = [board.name for board in DASHBOARDS]
    parser = argparse.ArgumentParser(prog="python -m docs.dashboards", description="Draw a dashboard as PNG.")
    parser.add_argument("--console", required=True, help="address of a console that knows a Prometheus")
    parser.add_argument("--dashboard", choices=names, default="fleet")
    parser.add_argument("--minutes", type=int, default=60, help="how far back")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures/fleet.png")
    options = parser.parse_args(arguments)
    try:
        panels = _read(options.console, options.dashboard, options.minutes)
    except (httpx.HTTPError, ValueError) as error:
        sys.stderr.write(f"no dashboard of a console at {options.console}: {error}; nothing was drawn\n")
        return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    shown = f"board={options.dashboard}&minutes={options.minutes}"
    done = subprocess.run(
        [NODE, SCRIPT, options.console, chromium, shown, str(options.out)],
        env=os.environ | {"NODE_NO_WARNINGS": "1"},
        timeout=DRAW_S,
        check=False,
    )
    status = done.returncode
    for panel in panels:
        if not panel["series"]:
            status = status if panel["empty_until"] else 1
            reason = f"empty until {panel['empty_until']}" if panel["empty_until"] else "it should always have data"
            sys.stdout.write(f"no data: {panel['title']} ({panel['problem'] or reason})\n")
    return status


def _read(console: str, board: str, minutes: int) -> list[dict[str, Any]]:
    """Read the panels of a dashboard.

    Raises:
        httpx.HTTPError: no answer.
        ValueError: a refusal, in the console's words.
    """
    response = httpx.get(f"{console}/v1/status/boards/{board}", params={"minutes": minutes}, timeout=30)
    body = response.json()
    if not response.is_success:
        raise ValueError(body.get("detail", response.status_code))
    panels: list[dict[str, Any]] = body["panels"]
    return panels


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
