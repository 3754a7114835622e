"""`siad verdicts`: list the newest verdicts of a plant, and follow new ones."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console
from rich.text import Text

from siad.apps.cli import options
from siad.apps.cli.failures import print_failure, reported_failures
from siad.apps.credentials import credentials
from siad.apps.local.connection import connect_bus
from siad.apps.local.machine import DATA, read_state
from siad.audit.verdicts import VerdictLog
from siad.contracts.events import Decision, Region, VerdictGiven
from siad.contracts.ids import require_slug

REGIONS_SHOWN: Final = 3  # of one verdict on a terminal; --json and a pipe have all
WEIGHTS_CHARS: Final = 12
NAMES: Final = ("judged (UTC)", "decision", "line", "serial", "score", "threshold")
WIDE, NARROW = (19, 8, 16, 20, 9, 9), (19, 8, 12, 13, 9, 9)  # 91 and 80 characters; a longer value shifts the rest
COLOURS: Final = {Decision.PASS: "green", Decision.REJECT: "red", Decision.UNKNOWN: "yellow"}

console, errors = Console(), Console(stderr=True)


def verdicts(
    line: Annotated[str | None, typer.Option("--line", help="Only verdicts of this line.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Then print each new verdict, until Ctrl-C.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="How many past verdicts to print, the newest.")] = 20,
    data: options.Data = DATA,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line, with all fields.")] = False,
) -> None:
    """Print the newest verdicts, newest last.

    Reads the broker of the `siad up` on --data, or the one that SIAD_BUS_BOOTSTRAP names.

    In a pipe, each verdict is one line of tab-separated fields: time, decision, line, product, serial, capture, score,
    threshold, kind of weights, weights, regions (left,top,right,bottom in pixels; several by ;), mask, reason, detail,
    runner.
    """
    show = _print_json if as_json else _print_text if console.is_terminal else _print_fields
    with reported_failures():
        if line is not None:
            require_slug("--line", line)
        log = VerdictLog(connect_bus(data))
        if console.is_terminal and not as_json:
            console.print(_aligned(NAMES), style="bold", highlight=False, overflow="fold")
        try:
            count = asyncio.run(_print_all(log, show, line=line, follow=follow, limit=limit))
        except KeyboardInterrupt:  # how --follow ends
            return
        except BrokenPipeError:  # the reader of the pipe ended, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
    if not count and line is not None and _is_unknown(line, data):
        print_failure(f"line {line!r} does not exist, so it has no verdicts. siad line list shows all lines")
        raise typer.Exit(1)
    if not count:
        of_line = f" of line {line}" if line else ""
        errors.print(f"no verdicts{of_line} in the topic; they are kept for SIAD_BUS_WORK_RETENTION_H", highlight=False)


def _is_unknown(line: str, data: Path) -> bool:
    """Whether ingest does not know a line.

    False where ingest can't be asked.
    """
    try:
        url = read_state(data)["ingest"]
        response = httpx.get(f"{url}/v1/lines/{line}", timeout=2.0, headers=credentials())
    except (OSError, ValueError, httpx.HTTPError):
        return False
    return response.status_code == HTTPStatus.NOT_FOUND


async def _print_all(
    log: VerdictLog, show: Callable[[VerdictGiven], None], *, line: str | None, follow: bool, limit: int
) -> int:
    count = 0
    async with aclosing(log.read(limit=limit, line=line, follow=follow)) as found:
        async for verdict in found:
            show(verdict)
            count += 1
    return count


def _print_json(verdict: VerdictGiven) -> None:
    print(json.dumps(asdict(verdict), default=_plain), flush=True)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _print_fields(verdict: VerdictGiven) -> None:
    fields = (
        verdict.judged_at.isoformat(timespec="milliseconds"),
        verdict.decision.value,
        verdict.line,
        verdict.product,
        verdict.serial,
        verdict.capture_id,
        f"{verdict.score:g}",
        f"{verdict.threshold:g}",
        verdict.weights_kind.value,
        verdict.weights[:WEIGHTS_CHARS],
        ";".join(",".join(map(str, box_of(region))) for region in verdict.regions),
        verdict.mask_uri,
        verdict.reason,
        verdict.detail,
        verdict.runner,
    )
    print("\t".join(field.replace("\t", " ").replace("\n", " ") for field in fields), flush=True)


def _print_text(verdict: VerdictGiven) -> None:
    values = (
        f"{verdict.judged_at:%Y-%m-%d %H:%M:%S}",
        verdict.decision.value,
        verdict.line,
        verdict.serial or "-",
        f"{verdict.score:.4g}" if verdict.weights else "-",
        f"{verdict.threshold:.4g}" if verdict.weights else "-",
    )
    row = Text(_aligned(values))
    if colour := COLOURS.get(verdict.decision):
        start = row.plain.index("  ") + 2  # after the time
        row.stylize(colour, start, start + len(verdict.decision.value))
    console.print(row, highlight=False, overflow="fold")
    details = [f"capture {verdict.capture_id}"]
    if verdict.weights:
        runner = f" on {verdict.runner}" if verdict.runner else ""
        details.append(f"by {verdict.weights_kind.value} {verdict.weights[:WEIGHTS_CHARS]}{runner}")
    if verdict.reason:
        details.append(f"{verdict.reason}: {verdict.detail}" if verdict.detail else verdict.reason)
    if verdict.regions:
        details.append(describe_regions(verdict.regions))
    if verdict.mask_uri:
        details.append(f"mask {verdict.mask_uri}")
    for detail in details:
        console.print(Text(f"  {detail}", style="dim"), highlight=False, overflow="fold")


def _aligned(values: Sequence[str]) -> str:
    """Values in columns; on a narrow terminal, in a line that wraps."""
    if console.width < sum(NARROW) + 2 * len(NARROW) - 2:
        return "  ".join(values)
    widths = WIDE if console.width >= sum(WIDE) + 2 * len(WIDE) - 2 else NARROW
    return "  ".join(f"{value:{width}}" for value, width in zip(values, widths, strict=True))


def describe_regions(regions: tuple[Region, ...]) -> str:
    """Number of regions, and the bounding boxes of the first few."""
    boxes = []
    for region in regions[:REGIONS_SHOWN]:
        left, top, right, bottom = box_of(region)
        boxes.append(f"x {left}..{right} y {top}..{bottom}")
    more = f", and {len(regions) - REGIONS_SHOWN} more" if len(regions) > REGIONS_SHOWN else ""
    return f"{len(regions)} region{'s' if len(regions) > 1 else ''}: {', '.join(boxes)}{more}"


def box_of(region: Region) -> tuple[int, int, int, int]:
    """Bounding box of a region in image pixels: left, top, right, bottom."""
    xs, ys = region.points[::2], region.points[1::2]
    return min(xs), min(ys), max(xs), max(ys)
