"""`siad runs`: list, show, start, cancel and hold training runs, and why."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx
import typer
from rich.console import Console

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.rollback import Product
from siad.apps.cli.tables import TableContent, print_pairs, print_table
from siad.apps.credentials import credentials
from siad.apps.local.connection import connect
from siad.apps.local.machine import DATA, read_state
from siad.apps.local.run_records import RunRow, cancel_run, find_run, move_hold, read_runs, request_run
from siad.apps.local.sign_in import user
from siad.audit.captures import require_line
from siad.audit.rollback import find_place
from siad.contracts.audit_log import AuditAction
from siad.contracts.ids import require_slug
from siad.contracts.json_codec import to_plain
from siad.contracts.place import Place
from siad.runtime.access.audit_log import record
from siad.runtime.blobs.port import Blobs

T = TypeVar("T")
console = Console()
WEIGHTS_CHARS = 12

runs_app = typer.Typer(
    help="List, show, start, cancel and hold training runs, and say why none starts.", no_args_is_help=True
)

Line = Annotated[str, typer.Argument(metavar="LINE", help="Name of the line.")]


@runs_app.command("list")
def list_runs(line: Line, product: Product = None, data: options.Data = DATA, as_json: options.Json = False) -> None:
    """List the training runs of a line, oldest first."""

    async def work(blobs: Blobs) -> list[RunRow]:
        return [RunRow.of(state) for state in await read_runs(blobs, find_place(blobs, line, product))]

    rows = _run(line, data, work)
    if as_json:
        print(json.dumps(to_plain(rows), indent=2))
    elif not rows:
        console.print(f"no run yet; siad runs why {line} says what the first one waits for", highlight=False)
    else:
        columns = ("run", "frozen (UTC)", "outcome", "starts", "weights", "reason")
        table = [
            (one.run, f"{one.frozen_at:%Y-%m-%d %H:%M:%S}", one.outcome, str(one.attempts),
             one.weights[:WEIGHTS_CHARS], one.reason)
            for one in rows
        ]  # fmt: skip
        print_table(console, TableContent(columns=columns, rows=table, is_last_text=True))


@runs_app.command("show")
def show_run(
    line: Line,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Its name or number; left out: the last one.")
    ] = None,
    product: Product = None,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Show one training run: its training set, attempts, figures and judgement."""
    state = _run(line, data, lambda blobs: find_run(blobs, find_place(blobs, line, product), run))
    if as_json:
        print(json.dumps(to_plain(state), indent=2))
        return
    row, spec, report = RunRow.of(state), state.spec, state.report
    pairs = [
        ("run", row.run),
        ("outcome", row.outcome),
        ("reason", row.reason or "-"),
        ("training set", spec.training_set),
        ("teacher", spec.teacher),
        ("compared with", spec.serving or f"teacher {spec.teacher[:WEIGHTS_CHARS]}"),
        ("frozen", f"{row.frozen_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("starts of its job", str(row.attempts)),
        ("candidate", row.weights or "none"),
    ]
    if report is not None:
        figures = report.candidate
        pairs.append(("training", f"{report.epochs} epochs, {report.seconds:.0f} s on {report.device}"))
        pairs.append(
            ("image AUROC, pixel AP", f"{figures.image_auroc:.3f}, {figures.pixel_ap:.3f} on held-out captures")
        )
    print_pairs(console, pairs)


@runs_app.command("start")
def start_run(line: Line, product: Product = None, data: options.Data = DATA) -> None:
    """Request a training run now, without waiting for new captures.

    The trainer still needs enough normals and marked captures; `siad runs why LINE` says what is missing.
    """

    async def work(blobs: Blobs) -> tuple[Place, int]:
        place, number = await request_run(blobs, line, product)
        _enter(blobs, AuditAction.RUN_REQUESTED, str(place), f"request {number}")
        return place, number

    place, number = _run(line, data, work)
    console.print(f"{place}: run requested (request {number}); siad runs why {line} follows it", highlight=False)


@runs_app.command("cancel")
def cancel_open_run(line: Line, product: Product = None, data: options.Data = DATA) -> None:
    """Cancel the open training run of a line; what serves stays.

    Its captures count as used: the next run waits for new ones, or for `siad runs start`.
    """

    async def work(blobs: Blobs) -> str:
        run = await cancel_run(blobs, line, product)
        _enter(blobs, AuditAction.RUN_CANCELLED, f"run {run}")
        return run

    run = _run(line, data, work)
    console.print(f"run {run} is cancelled; the trainer ends its job within seconds", highlight=False)


@runs_app.command("hold")
def hold(
    line: Line,
    because: Annotated[str, typer.Option("--because", help="Why, for the audit log.")] = "",
    product: Product = None,
    data: options.Data = DATA,
) -> None:
    """Hold the learning of a product until it is resumed.

    No refit on more captures, no training run and no release in between; inspection goes on. It goes before the line's
    setting of learning. The console's page does the same.
    """
    _move_hold(line, product, data, because)


@runs_app.command("resume")
def resume(line: Line, product: Product = None, data: options.Data = DATA) -> None:
    """Resume the learning of a product that a person holds."""
    _move_hold(line, product, data, None)


@runs_app.command("why")
def why(line: Line, data: options.Data = DATA, as_json: options.Json = False) -> None:
    """Say what a line trains on, or waits for.

    Asks the trainer of the `siad up` on --data.
    """
    with reported_failures():
        require_slug("LINE", line)
        rows = _ask(f"{read_state(data)['trainer']}/v1/lines/{line}/runs")
        if not rows:
            require_line(connect(data).blobs, line)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        for reason in row["reasons"]:
            console.print(f"{row['line']}/{row['product']}: {reason}", highlight=False, soft_wrap=True, markup=False)
    if not rows:
        console.print(
            f"{line}: no run before it has a teacher; siad status says how many normals it lacks",
            highlight=False,
            soft_wrap=True,
        )


def _move_hold(line: str, product: str | None, data: Path, because: str | None) -> None:
    """Hold with a reason, or resume without."""

    async def work(blobs: Blobs) -> tuple[Place, str]:
        place, detail = await move_hold(blobs, line, product, by=user(), because=because)
        action = AuditAction.LEARNING_RESUMED if because is None else AuditAction.LEARNING_HELD
        _enter(blobs, action, str(place), because or "")
        return place, detail

    place, detail = _run(line, data, work)
    console.print(f"{place}: {detail}", highlight=False, soft_wrap=True)


def _enter(blobs: Blobs, action: AuditAction, subject: str, detail: str = "") -> None:
    """Enter in the audit log what was done."""
    record(blobs, action, user(), subject, now=datetime.now(UTC), detail=detail)


def _ask(url: str) -> list[dict[str, Any]]:
    response = httpx.get(url, timeout=5.0, headers=credentials())
    if not response.is_success:
        msg = f"the trainer responded with HTTP status {response.status_code}; siad status shows whether it is ready"
        raise RuntimeError(msg)
    return list(response.json()["runs"])


def _run(line: str, data: Path, work: Callable[[Blobs], Coroutine[Any, Any, T]]) -> T:
    with reported_failures():
        require_slug("LINE", line)
        return asyncio.run(work(connect(data).blobs))
