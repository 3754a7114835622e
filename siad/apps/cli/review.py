"""`siad review`: the captures of a line that are worth an answer."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.tables import Cell, TableContent, print_table
from siad.apps.console_client import ConsoleClient
from siad.apps.local.machine import DATA

CAPTURE_CHARS: Final = 12  # of an id; siad correct and siad show find the rest
COLUMNS: Final = ("capture", "part", "score", "threshold", "verdict", "why shown", "image")
WHY: Final[Mapping[str, str]] = {"nearest": "near the threshold", "random": "drawn at random", "chosen": "chosen"}
_NOTHING: Final = "no capture has a score yet. A score needs a teacher: siad status shows what the line waits for"

console = Console()


def review(
    line: Annotated[str, typer.Argument(metavar="LINE", help="Its name.")],
    count: Annotated[int, typer.Option("--count", min=1, max=500, help="How many captures, at most.")] = 20,
    product: Annotated[str | None, typer.Option("--product", help="Only of this product.")] = None,
    url: options.ConsoleUrl = None,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Show the captures of a line that are worth an answer.

    Most are nearest the threshold: answers to them teach most. Every tenth is drawn at random from all captures of the
    line: only those answers say how many defects are missed and how many good parts are rejected. Answer with `siad
    correct`; a capture that was answered is not shown again.
    """

    async def read(address: str) -> tuple[dict[str, Any], dict[str, Any]]:
        async with ConsoleClient(address) as client:
            return await client.review(line, count=count, product=product), await client.estimates(line)

    with reported_failures():
        shown, found = asyncio.run(read(options.console_address(url, data)))
    if as_json:
        print(json.dumps({**shown, **found}, indent=2))
        return
    _print_items(shown)
    for text in describe_estimates(found["estimates"]):
        console.print(escape(text), highlight=False, soft_wrap=True)


def _print_items(shown: Mapping[str, Any]) -> None:
    line, items = shown["line"], shown["items"]
    if not items:
        answered = f"all {shown['captures']} captures with a score are answered" if shown["captures"] else _NOTHING
        console.print(f"nothing to answer on line {line}: {answered}", highlight=False, soft_wrap=True)
        return
    rows: list[list[Cell]] = [
        [
            item["capture_id"][:CAPTURE_CHARS],
            item["serial"],
            f"{item['score']:.4g}",
            f"{item['threshold']:.4g}",
            item["decision"],
            WHY.get(item["selection"], item["selection"]),
            item["image_uri"],
        ]
        for item in items
    ]
    title = f"{len(items)} of {shown['captures']} captures of line {line}, {shown['answered']} answered before"
    print_table(console, TableContent(columns=COLUMNS, rows=rows, title=title))
    first = items[0]["capture_id"][:CAPTURE_CHARS]
    answer = f"siad correct {first} --good | --defect [--mask FILE] | --unsure"
    for hint in (f"see one: siad show {first} --save DIR", f"answer:  {answer}  (or several captures at once)"):
        console.print(hint, highlight=False, soft_wrap=True, markup=False)


def describe_estimates(estimates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say for each product what drawn answers tell; empty without any."""
    return [_describe(one) for one in estimates]


def _describe(one: Mapping[str, Any]) -> str:
    parts = []
    if rate := one["false_rejects"]:
        parts.append(f"{rate['count']} of {rate['of']} good parts rejected ({_interval(rate)})")
    if rate := one["misses"]:
        parts.append(f"{rate['count']} of {rate['of']} defective parts missed ({_interval(rate)})")
    if one["unsure"]:
        parts.append(f"{one['unsure']} unsure")
    count = one["answers"] + one["unsure"]
    answers = "answer" if count == 1 else "answers"
    return f"{one['line']}/{one['product']}: of {count} {answers} to captures drawn at random: {'; '.join(parts)}"


def _interval(rate: Mapping[str, Any]) -> str:
    return f"{rate['estimated']:.1%}; with 90% probability {rate['low']:.1%} to {rate['high']:.1%}"
