"""`siad line`: register, change, show and end production lines."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console

from siad.apps.cli import bounds, options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.tables import TableContent, print_pairs, print_table
from siad.apps.client import IngestClient
from siad.apps.local.machine import DATA
from siad.contracts.labelling import DEFAULT_SHARE, SHARE_MIN, share_of
from siad.contracts.learning import LearningMode
from siad.contracts.marked_objects import CLASSES_MAX
from siad.contracts.methods import ASKABLE, DEFAULT, DEFAULT_SEGMENTER, SEGMENTERS
from siad.contracts.normals_profile import SizeRule
from siad.contracts.region import describe_region, parse_region
from siad.contracts.rollout import RolloutMode

T = TypeVar("T")
LISTED: Final = ("line", "product", "revision", "budget", "teacher", "deadline", "changed (UTC)")  # fits 80 characters
RETRY_FOR_S: Final = 10.0  # a person waits for it
console = Console()

line_app = typer.Typer(help="Register, change, show and end production lines.", no_args_is_help=True)

LineName = Annotated[str, typer.Argument(metavar="LINE", help="Its name: a-z, 0-9 and '-', at most 63 characters.")]
Revision = Annotated[int | None, typer.Option("--if-revision", help="Only if the line is at this revision.")]

Budget = Annotated[
    float | None,
    typer.Option(
        "--false-reject-budget",
        callback=bounds.finite,
        help="Fraction of good parts that may be rejected (new line: 0.05).",
    ),
]
Deadline = Annotated[
    float | None,
    typer.Option(
        "--deadline-s", callback=bounds.finite, help="Seconds after which a verdict is useless; 0: no deadline."
    ),
]
Tightens = Annotated[
    bool | None,
    typer.Option(
        "--tighten-budget/--keep-budget",
        help="Tighten the budget to 1 / (normals + 1) as normals grow, not under 0.01 (new line: tighten; where only a "
        "budget is given: keep).",
    ),
]
MissCost = Annotated[
    float | None,
    typer.Option(
        "--miss-cost",
        callback=bounds.finite,
        help="What a miss costs, in false rejects: with 20, one miss costs as much as 20 of them. The threshold then "
        "costs least, at the defect rate that stream and answers tell. 0: the budget chooses it.",
    ),
]
Bits = Annotated[
    int | None,
    typer.Option(
        "--bits",
        help="Significant bits of the camera's samples in 16-bit files, 8 to 16; 0: found from the normals. A change "
        "fits a new teacher.",
    ),
]
Sizes = Annotated[
    str | None,
    typer.Option(
        help="Sizes that images may have: normals (those of the normals) or any. Others get the verdict unknown."
    ),
]
Segmenter = Annotated[
    str | None,
    typer.Option(
        help=f"Method of the segmenter: {', '.join(SEGMENTERS)}; '': {DEFAULT_SEGMENTER}. Holds from the next run on."
    ),
]

Region = Annotated[
    str | None,
    typer.Option(
        help="Part of the image to inspect, in fractions of its size: left,top,right,bottom or x,y x,y x,y ...; "
        "'': all of it. A change fits a new teacher."
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        help="Kinds of defects that people tell apart on the console's page, separated by commas, at most "
        f"{CLASSES_MAX}: the first has the digit 1; '': none."
    ),
]

LabelledShare = Annotated[
    float | None,
    typer.Option(
        callback=bounds.finite,
        help="Share of captures that are labelled once a segmenter serves, beside those that it rejects, doubts or "
        f"did not judge: {SHARE_MIN:g} to 1; 0: {DEFAULT_SHARE:g}. Fewer labels leave more CPU to verdicts.",
    ),
]

Rollout = Annotated[
    str | None,
    typer.Option(
        help="How an accepted segmenter comes into service: direct (at once), shadow (after a trial beside what "
        "serves) or canary (likewise, and deciding a share of the captures in between). See siad rollout.",
    ),
]

Learning = Annotated[
    str | None,
    typer.Option(
        help="Whether the line learns: auto (until pseudo-masks leave their bounds), on (whatever they show) or off. "
        "Inspection goes on in any case."
    ),
]


@line_app.command("put")
def put(  # noqa: PLR0913, PLR0917 - Typer reads the options from here
    line: LineName,
    product: Annotated[str | None, typer.Option(help="What the line makes now; required for a new line.")] = None,
    false_reject_budget: Budget = None,
    shards: Annotated[
        int | None,
        typer.Option(help="Number of keys that captures are spread over, for parallel consumers; may only grow."),
    ] = None,
    deadline_s: Deadline = None,
    method: Annotated[
        str | None, typer.Option(help=f"Method of the teacher: {', '.join(ASKABLE)}. A change fits a new teacher.")
    ] = None,
    region: Region = None,
    input_px: Annotated[
        int | None,
        typer.Option(
            "--input-px", help="Images are scaled to the area of a square of this side; 0: set by the method."
        ),
    ] = None,
    budget_tightens: Tightens = None,
    miss_cost: MissCost = None,
    bits: Bits = None,
    sizes: Sizes = None,
    learning: Learning = None,
    segmenter: Segmenter = None,
    classes: Classes = None,
    labelled_share: LabelledShare = None,
    rollout: Rollout = None,
    if_revision: Revision = None,
    url: options.Url = None,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Register a line, or change it.

    Options that are left out keep their values.
    """
    given = {
        "product": product,
        "false_reject_budget": false_reject_budget,
        "shards": shards,
        "deadline_s": deadline_s,
        "method": method,
        "region": None if region is None else _parse_region(region),
        "input_px": input_px,
        "budget_tightens": budget_tightens,
        "miss_cost": miss_cost,
        "bits": bits,
        "sizes": sizes,
        "learning": learning,
        "segmenter": segmenter,
        "classes": None if classes is None else _class_names(classes),
        "labelled_share": labelled_share,
        "rollout": rollout,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    response = _run(url, data, lambda client: client.put_line(line, settings, if_match=if_revision))
    _print([response], as_json=response if as_json else None)


def _class_names(text: str) -> list[str]:
    """Names between commas; an empty text has none."""
    return [name.strip() for name in text.split(",")] if text.strip() else []


@line_app.command("get")
def get(line: LineName, url: options.Url = None, data: options.Data = DATA, as_json: options.Json = False) -> None:
    """Show one line."""
    response = _run(url, data, lambda client: client.get_line(line))
    _print([response], as_json=response if as_json else None)


@line_app.command("list")
def list_(url: options.Url = None, data: options.Data = DATA, as_json: options.Json = False) -> None:
    """Show every line."""
    lines = _run(url, data, lambda client: client.list_lines())
    if not lines and not as_json:
        console.print("no lines yet; register one: siad line put LINE --product PRODUCT")
        return
    _print(lines, as_json={"lines": lines} if as_json else None)


@line_app.command("delete")
def delete(line: LineName, if_revision: Revision = None, url: options.Url = None, data: options.Data = DATA) -> None:
    """End a line: ingest refuses its images from now on.

    Stored data stays.
    """
    _run(url, data, lambda client: client.delete_line(line, if_match=if_revision))
    console.print(f"line {line} ended; its stored data stays (siad forget line {line} deletes it)", highlight=False)


def _parse_region(text: str) -> list[float]:
    try:
        return list(parse_region(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--region") from error


def _run(url: str | None, data: Path, work: Callable[[IngestClient], Coroutine[Any, Any, T]]) -> T:
    """Send one request to ingest."""

    async def run(address: str) -> T:
        async with IngestClient(address, retry_for_s=RETRY_FOR_S) as client:
            return await work(client)

    with reported_failures():
        return asyncio.run(run(options.ingest_address(url, data)))


def _print(lines: list[dict[str, Any]], *, as_json: Any | None) -> None:
    """Print one line as names and values, several as a table."""
    if as_json is not None:
        print(json.dumps(as_json, indent=2))
    elif len(lines) == 1:
        print_pairs(console, [*_settings(lines[0]).items()])
    else:
        rows = [[settings[name] for name in LISTED] for settings in map(_settings, lines)]
        print_table(console, TableContent(columns=LISTED, rows=rows))


def _settings(line: dict[str, Any]) -> dict[str, str]:
    """Settings of a line in words."""
    return {
        "line": line["line"],
        "product": line["product"],
        "revision": str(line["revision"]),
        "budget": _describe_budget(line),
        "teacher": _describe_teacher(line),
        "region": describe_region(tuple(line.get("region") or ())) or "all of the image",
        "learning": line.get("learning") or LearningMode.AUTO.value,
        "segmenter": line.get("segmenter") or DEFAULT_SEGMENTER,
        "classes": ", ".join(line.get("classes") or ()) or "none",
        "labelled": f"{share_of(line.get('labelled_share') or 0.0):.1%} once a segmenter serves, and what it doubts",
        "rollout": line.get("rollout") or RolloutMode.DIRECT.value,
        "shards": str(line["shards"]),
        "deadline": f"{line['deadline_s']:g} s" if line["deadline_s"] else "none",
        "changed (UTC)": f"{datetime.fromisoformat(line['changed_at']).astimezone(UTC):%Y-%m-%d %H:%M}",
    }


def _describe_budget(line: dict[str, Any]) -> str:
    """Budget of false rejects, with the cost of a miss."""
    tightens = ", tightens" if line.get("budget_tightens") else ""
    miss_cost = f", a miss costs {line['miss_cost']:g}" if line.get("miss_cost") else ""
    return f"{line['false_reject_budget']:.2%}{tightens}{miss_cost}"


def _describe_teacher(line: dict[str, Any]) -> str:
    """Method of the teacher, with input size and region if set."""
    parts = [line.get("method") or DEFAULT]
    if line.get("input_px"):
        parts.append(f"at {line['input_px']} px")
    if line.get("bits"):
        parts.append(f"{line['bits']} bits")
    if line.get("sizes") == SizeRule.ANY:
        parts.append("images of any size")
    if line.get("region"):
        parts.append(f"on a region of {len(line['region']) // 2} points")
    return ", ".join(parts)
