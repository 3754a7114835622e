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

WEIGHTS_CHARS: Final = 12  # of an id of weights, as in siad status
CAPTURE_CHARS: Final = 12  # of an id; siad correct and siad show find the rest
COLUMNS: Final = ("capture", "part", "score", "threshold now", "decision now", "why shown", "image")
WHY: Final[Mapping[str, str]] = {
    "near": "near threshold",
    "contradiction": "teacher differs",
    "low-confidence": "low confidence",
    "left": "nearest left",
    "unlike": "unlike last",
    "random": "drawn at random",
}
_NOTHING: Final = "no capture has a score yet. A score needs a teacher: siad status shows what the line waits for"
_EARLIER: Final = (
    "* score, threshold and decision of earlier weights, not of those that judge now. An answer is learned from, but "
    "does not count for the present threshold"
)

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

    Most are those where answers teach most: near the threshold, of low confidence, or judged otherwise by the teacher,
    and not many alike in a row. Every tenth is drawn at random from all captures of the line: only those answers say
    how many defects are missed and how many good parts are rejected. Answer with `siad correct`; a capture that was
    answered is not shown again.
    """

    async def read(address: str) -> tuple[dict[str, Any], dict[str, Any]]:
        async with ConsoleClient(address) as client:
            return await client.review(line, count=count, product=product), await client.estimates(line)

    with reported_failures():
        shown, found = asyncio.run(read(options.console_address(url, data)))
    if as_json:
        print(json.dumps({**shown, **found}, indent=2))
        return
    _print_items(shown, product)
    for text in describe_labour(shown.get("labour")):
        console.print(escape(text), highlight=False, soft_wrap=True)
    for text in describe_estimates(found["estimates"]):
        console.print(escape(text), highlight=False, soft_wrap=True)


def _print_items(shown: Mapping[str, Any], product: str | None) -> None:
    line, items = shown["line"], shown["items"]
    if not items:
        why = _why_nothing(shown, product)
        console.print(f"nothing to answer on line {line}: {why}", highlight=False, soft_wrap=True, markup=False)
        return
    rows: list[list[Cell]] = [
        [
            item["capture_id"][:CAPTURE_CHARS],
            item["serial"],
            f"{item['score']:.4g}",
            f"{item['threshold']:.4g}",
            item["decision"] if item.get("is_current", True) else f"{item['decision']} *",
            ", ".join(WHY.get(ground, ground) for ground in item.get("grounds", [item["selection"]])),
            item["image_uri"],
        ]
        for item in items
    ]
    title = f"{len(items)} of {shown['captures']} captures of line {line}, {shown['answered']} answered before"
    print_table(console, TableContent(columns=COLUMNS, rows=rows, title=title))
    if not all(item.get("is_current", True) for item in items):
        console.print(_EARLIER, highlight=False, soft_wrap=True)
    first = items[0]["capture_id"][:CAPTURE_CHARS]
    answer = f"siad correct {first} --good | --defect [--mask FILE] | --unsure"
    for hint in (f"see one: siad show {first} --save DIR", f"answer:  {answer}  (or several captures at once)"):
        console.print(hint, highlight=False, soft_wrap=True, markup=False)


def _why_nothing(shown: Mapping[str, Any], product: str | None) -> str:
    """Say why there is nothing to answer."""
    count, products = shown["captures"], shown.get("products", ())
    if count:
        captures = "the only capture with a score is" if count == 1 else f"all {count} captures with a score are"
        return f"{captures} answered"
    if product is not None and products:
        return f"no capture of product {product!r} has a score; captures of these have: {', '.join(products)}"
    return _NOTHING


def describe_labour(labour: Mapping[str, Any] | None) -> list[str]:
    """Say what the answers took, and what further ones bring.

    A console of an earlier version does not tell.
    """
    if labour is None:
        return []
    texts = [f"spent on answers so far: {labour['active_s'] / 60:.1f} min, as far as the page measured it"]
    for one in labour["trainings"]:
        left = f"{one['missing']} more until" if one["missing"] else "enough for"
        texts.append(f"{one['product']}: {one['new']} of {one['needed']} new corrections, {left} the next training")
    return texts + [labour["advice"]] * bool(labour["advice"])


def describe_estimates(estimates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say for each product what drawn answers tell; empty without any.

    Also says how many answers do not count for the weights in service.
    """
    texts = []
    for one in estimates:
        if one["answers"] + one["unsure"]:
            texts.append(_describe(one))
        if one.get("earlier"):
            texts.append(_describe_earlier(one))
    return texts


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
    drawn = f"of {count} {answers} to captures drawn at random, scored by {one['weights'][:WEIGHTS_CHARS]}"
    return f"{one['line']}/{one['product']}: {drawn}: {'; '.join(parts)}"


def _describe_earlier(one: Mapping[str, Any]) -> str:
    count, weights = one["earlier"], one["weights"][:WEIGHTS_CHARS]
    answers = "1 answer is to a capture" if count == 1 else f"{count} answers are to captures"
    counts = "It stays and is learned from, but does" if count == 1 else "They stay and are learned from, but do"
    return (
        f"{one['line']}/{one['product']}: {answers} that only earlier weights scored, not {weights}, which judges now. "
        f"{counts} not count for its threshold and estimates: answer captures that it has scored"
    )


def _interval(rate: Mapping[str, Any]) -> str:
    return f"{rate['estimated']:.1%}; with 90% probability {rate['low']:.1%} to {rate['high']:.1%}"
