"""`siad status`: how each stage stands, and which weights serve each line."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from siad.cli.machine import DATA, read_state

console = Console()


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
class Serving:
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
    if as_json:
        tables = {"stages": [asdict(s) for s in stages], "serving": [asdict(s) for s in serving]}
        print(json.dumps({"bus": urls["bus"], **tables}, indent=2))
    else:
        console.print(_stage_table(stages, bus=urls["bus"]))
        console.print(_serving_table(serving))
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


def total(metrics: str, name: str) -> float:
    """Sum of all series of one metric; 0 where there is none."""
    return float(sum(sample.value for sample in _samples(metrics, name)))


def by_label(metrics: str, name: str, label: str) -> dict[str, float]:
    """Sums of one metric by the values of one label."""
    sums: dict[str, float] = {}
    for sample in _samples(metrics, name):
        sums[sample.labels[label]] = sums.get(sample.labels[label], 0.0) + sample.value
    return sums


def weights_in_service(metrics: str) -> list[Serving]:
    """What inference says that it judges with."""
    return [
        Serving(**{key: sample.labels[key] for key in ("line", "product", "kind", "weights")})
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


def _serving_table(serving: list[Serving]) -> Table:
    table = Table(title="weights in service")
    for column in ("line", "product", "kind", "weights"):
        table.add_column(column)
    for s in serving:
        table.add_row(s.line, s.product, s.kind, s.weights[:12])
    return table
