"""`siad status`: the stages, the weights in service, the teachers and what they promise, and the capture ledger."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from siad.apps.local.machine import DATA, read_state
from siad.vision.outliers import say_doubts

console = Console()

NAMES_MAX = 5  # captures named for a line: missing, or odd among the normals; --json has them all


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """One stage, as its own probes and metrics tell."""

    stage: str
    url: str
    ready: bool
    missing: str  # what keeps it from being ready; empty where it is
    received: int
    done: int
    failed: dict[str, int]  # by fate
    in_flight: int
    lag: int  # records that wait


@dataclass(frozen=True, slots=True, kw_only=True)
class LineWeights:
    """The weights that judge one line and product."""

    line: str
    product: str
    kind: str
    weights: str


def status(
    data: Annotated[Path, typer.Option("--data", help="The folder that `siad up` was started with.")] = DATA,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show how the stages stand; exit 1 where one is not ready."""
    try:
        urls = read_state(data)
    except FileNotFoundError as error:
        Console(stderr=True).print(f"[red]{error}")
        raise typer.Exit(1) from error
    with httpx.Client(timeout=5.0) as client:
        stages = [ask(client, name, urls[name]) for name in ("ingest", "labeler", "trainer", "inference")]
        serving = weights_in_service(_metrics(client, urls["inference"]))
        teachers = ask_teachers(client, urls["labeler"])
        books = ask_books(client, urls["ingest"])
    if as_json:
        tables = {"stages": [asdict(s) for s in stages], "serving": [asdict(s) for s in serving]}
        print(json.dumps({"bus": urls["bus"], **tables, "teachers": teachers, "books": books}, indent=2))
    else:
        console.print(_stage_table(stages, bus=urls["bus"]))
        console.print(_serving_table(serving))
        print_teachers(teachers, console)
        print_books(books, console)
    if not all(stage.ready for stage in stages):
        raise typer.Exit(1)


def ask(client: httpx.Client, name: str, url: str) -> StageStatus:
    """Read one stage's probe and metrics."""
    try:
        answer = client.get(f"{url}/readyz")
    except httpx.HTTPError as error:
        return StageStatus(
            stage=name, url=url, ready=False, missing=f"does not answer: {error}",
            received=0, done=0, failed={}, in_flight=0, lag=0,
        )  # fmt: skip
    metrics = _metrics(client, url)
    return StageStatus(
        stage=name,
        url=url,
        ready=answer.is_success,
        missing="" if answer.is_success else answer.text,
        received=int(total(metrics, "siad_records_received_total")),
        done=int(total(metrics, "siad_records_done_total")),
        failed={fate: int(count) for fate, count in by_label(metrics, "siad_records_failed_total", "fate").items()},
        in_flight=int(total(metrics, "siad_records_in_flight")),
        lag=int(total(metrics, "siad_lag_records")),
    )


def ask_books(client: httpx.Client, url: str) -> dict[str, Any] | None:
    """Read the capture ledger from ingest; None where it does not answer."""
    return _ask(client, f"{url}/v1/books")


def ask_teachers(client: httpx.Client, url: str) -> list[dict[str, Any]] | None:
    """The teachers in service, as the labeler knows them; None where it doesn't tell."""
    told = _ask(client, f"{url}/v1/teachers")
    return None if told is None else list(told["teachers"])


def _ask(client: httpx.Client, url: str) -> dict[str, Any] | None:
    try:
        answer = client.get(url)
    except httpx.HTTPError:
        return None
    return dict(answer.json()) if answer.is_success else None


def total(metrics: str, name: str) -> float:
    """Sum of all series of one metric; 0 where there is none."""
    return float(sum(sample.value for sample in _samples(metrics, name)))


def by_label(metrics: str, name: str, label: str) -> dict[str, float]:
    """Sums of one metric by the values of one label."""
    sums: dict[str, float] = {}
    for sample in _samples(metrics, name):
        sums[sample.labels[label]] = sums.get(sample.labels[label], 0.0) + sample.value
    return sums


def weights_in_service(metrics: str) -> list[LineWeights]:
    """What inference says that it judges with."""
    return [
        LineWeights(**{key: sample.labels[key] for key in ("line", "product", "kind", "weights")})
        for sample in _samples(metrics, "siad_weights_info")
    ]


def _samples(metrics: str, name: str) -> list[Any]:
    families = text_string_to_metric_families(metrics)
    return [sample for family in families for sample in family.samples if sample.name == name]


def _metrics(client: httpx.Client, url: str) -> str:
    try:
        return client.get(f"{url}/metrics").text
    except httpx.HTTPError:
        return ""


def _stage_table(stages: list[StageStatus], *, bus: str) -> Table:
    table = Table(title=f"stages (bus: {bus})")
    for column in ("stage", "ready", "received", "done", "failed", "in flight", "lag", "address"):
        table.add_column(column)
    for s in stages:
        failed = ", ".join(f"{fate} {count}" for fate, count in s.failed.items()) or "0"
        ready = "[green]yes" if s.ready else f"[red]no[/]: {s.missing}"
        table.add_row(s.stage, ready, str(s.received), str(s.done), failed, str(s.in_flight), str(s.lag), s.url)
    return table


def print_teachers(teachers: list[dict[str, Any]] | None, to: Console) -> None:
    """By line and product the teacher, and below what it promises and which normals a person should look at."""
    if teachers is None:
        to.print("no word of the teachers: the labeler does not tell")
        return
    table = Table(title="teachers")
    for column in ("line", "product", "weights", "method", "normals"):
        table.add_column(column)
    for one in teachers:
        table.add_row(one["line"], one["product"], one["weights"][:12], one["method"], str(one["normals"]))
    to.print(table)
    for one in teachers:
        place = f"{one['line']}/{one['product']}"
        if one["promise"]:
            to.print(f"{place}: {escape(one['promise'])}", soft_wrap=True, highlight=False)
        left_out, doubted = (_some(_called(one[odd], one.get("serials", {}))) for odd in ("left_out", "doubted"))
        if doubts := say_doubts(left_out, doubted):
            to.print(f"[yellow]{place}: {escape(doubts)}", soft_wrap=True, highlight=False)


def _called(captures: list[str], serials: Mapping[str, str]) -> list[str]:
    """Captures, behind the serials of their parts where these are known: people look for a part by that."""
    return [f"{serials[capture]} (capture {capture})" if capture in serials else capture for capture in captures]


def _some(names: list[str]) -> list[str]:
    """The first few, and how many more."""
    more = len(names) - NAMES_MAX
    return [*names[:NAMES_MAX], f"and {more} more"] if more > 0 else names


def print_books(books: dict[str, Any] | None, to: Console) -> None:
    """Print for each line received = verdicts + waiting + dead letters, then the missing captures."""
    if books is None or books["as_of"] is None:
        to.print("capture ledger: " + ("ingest does not answer" if books is None else "not written yet"))
        return
    behind = f", {books['behind']} records behind" if books["behind"] else ""
    table = Table(title=f"capture ledger ({books['age_s']:g} s old{behind})")
    for column in ("line", "received", "= verdicts", "+ waiting", "+ dead letters", "missing", "normals", "stale"):
        table.add_column(column)
    for line in books["lines"]:
        missing = f"[red]{line['missing']}" if line["missing"] else "0"
        counts = (str(line[name]) for name in ("received", "verdict", "waiting", "dead_letter"))
        table.add_row(line["line"], *counts, missing, str(line["normal"]), str(line["stale"]))
    to.print(table)
    for line in books["lines"]:
        if line["missing"]:
            names = line["missing_names"][:NAMES_MAX]
            more = f" and {line['missing'] - len(names)} more" if line["missing"] > len(names) else ""
            to.print(
                f"[red]missing[/] of {line['line']}, for more than {line['missing_after_s']:g} s: "
                f"{', '.join(names)}{more}",
                soft_wrap=True,
            )


def _serving_table(serving: list[LineWeights]) -> Table:
    table = Table(title="weights in service")
    for column in ("line", "product", "kind", "weights"):
        table.add_column(column)
    for s in serving:
        table.add_row(s.line, s.product, s.kind, s.weights[:12])
    return table
