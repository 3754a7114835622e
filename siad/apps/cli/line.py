"""`siad line`: register lines, change them, look at them."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from siad.apps.client import IngestClient, ProblemError
from siad.apps.local.machine import DATA, read_state
from siad.contracts.errors import TransientError
from siad.contracts.methods import ASKABLE, DEFAULT
from siad.contracts.region import parse_region

T = TypeVar("T")
console, errors = Console(), Console(stderr=True)

line_app = typer.Typer(help="Register production lines, change them, look at them.", no_args_is_help=True)

LineName = Annotated[str, typer.Argument(metavar="LINE", help="Its name: a-z, 0-9 and '-', at most 63 characters.")]
Url = Annotated[str | None, typer.Option("--url", help="Where ingest listens; else that of the `siad up` on --data.")]
Data = Annotated[Path, typer.Option("--data", help="The folder that `siad up` was started with.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Revision = Annotated[int | None, typer.Option("--if-revision", help="Do it only if the line is at this revision.")]


@line_app.command("put")
def put(  # noqa: PLR0913, PLR0917 - Typer reads the options from here
    line: LineName,
    product: Annotated[str | None, typer.Option(help="What it makes now; needed for a new line.")] = None,
    false_reject_budget: Annotated[
        float | None, typer.Option(help="Share of good parts that may be rejected (new line: 0.01).")
    ] = None,
    shards: Annotated[int | None, typer.Option(help="Keys its captures are spread over; may only grow.")] = None,
    deadline_s: Annotated[
        float | None, typer.Option("--deadline-s", help="Seconds after which a verdict is of no use; 0: none.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help=f"Of its teacher: {', '.join(ASKABLE)}; a change fits a new one.")
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(help="What of the view counts: left,top,right,bottom or x,y x,y x,y in shares of it; '': all."),
    ] = None,
    input_px: Annotated[
        int | None, typer.Option("--input-px", help="Side of the square images are shown at; 0: the method's own.")
    ] = None,
    if_revision: Revision = None,
    url: Url = None,
    data: Data = DATA,
    as_json: Json = False,
) -> None:
    """Register a line, or change it; what is not said stays as it is."""
    said = {
        "product": product,
        "false_reject_budget": false_reject_budget,
        "shards": shards,
        "deadline_s": deadline_s,
        "method": method,
        "region": None if region is None else _region(region),
        "input_px": input_px,
    }
    settings = {name: value for name, value in said.items() if value is not None}
    answer = ask(url, data, lambda client: client.put_line(line, settings, if_match=if_revision))
    _show([answer], as_json=answer if as_json else None)


@line_app.command("get")
def get(line: LineName, url: Url = None, data: Data = DATA, as_json: Json = False) -> None:
    """Show one line."""
    answer = ask(url, data, lambda client: client.get_line(line))
    _show([answer], as_json=answer if as_json else None)


@line_app.command("list")
def list_(url: Url = None, data: Data = DATA, as_json: Json = False) -> None:
    """Show every line."""
    lines = ask(url, data, lambda client: client.list_lines())
    if not lines and not as_json:
        console.print("no lines yet; register one: siad line put LINE --product PRODUCT")
        return
    _show(lines, as_json={"lines": lines} if as_json else None)


@line_app.command("delete")
def delete(line: LineName, if_revision: Revision = None, url: Url = None, data: Data = DATA) -> None:
    """End a line: its images are taken no more. What it sent stays stored."""
    ask(url, data, lambda client: client.delete_line(line, if_match=if_revision))
    console.print(f"line {line} is gone; what it sent stays stored")


def _region(text: str) -> list[float]:
    try:
        return list(parse_region(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--region") from error


def ask(url: str | None, data: Path, work: Callable[[IngestClient], Coroutine[Any, Any, T]]) -> T:
    """Have one thing done by ingest; what goes wrong is told in a line, and ends the command with 1."""

    async def run(address: str) -> T:
        async with IngestClient(address) as client:
            return await work(client)

    with told_errors():
        return asyncio.run(run(address_of(url, data)))


def address_of(url: str | None, data: Path) -> str:
    """Where ingest listens.

    Raises:
        FileNotFoundError: nobody said, and nothing runs on ``data``.
    """
    return url or read_state(data)["ingest"]


@contextmanager
def told_errors() -> Iterator[None]:
    """Tell what went wrong without a traceback; the command ends with 1."""
    try:
        yield
    except (ProblemError, TransientError, FileNotFoundError) as error:
        errors.print(f"[red]{escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


def _show(lines: list[dict[str, Any]], *, as_json: Any | None) -> None:
    if as_json is not None:
        print(json.dumps(as_json, indent=2))
        return
    table = Table()
    for column in ("line", "product", "revision", "false rejects", "teacher", "shards", "deadline", "changed"):
        table.add_column(column)
    for one in lines:
        table.add_row(
            one["line"],
            one["product"],
            str(one["revision"]),
            f"{one['false_reject_budget']:.2%}",
            _teacher(one),
            str(one["shards"]),
            f"{one['deadline_s']:g} s" if one["deadline_s"] else "none",
            one["changed_at"],
        )
    console.print(table)


def _teacher(line: dict[str, Any]) -> str:
    """Its method, and what else was asked of it."""
    asked = [line.get("method") or DEFAULT]
    if line.get("input_px"):
        asked.append(f"at {line['input_px']} px")
    if line.get("region"):
        asked.append(f"on a region of {len(line['region']) // 2} points")
    return ", ".join(asked)
