"""`siad status`: stages, weights in service, teachers and capture ledger."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.review import describe_estimates
from siad.apps.cli.tables import Cell, TableContent, print_table
from siad.apps.cli.thresholds import describe_thresholds
from siad.apps.credentials import credentials
from siad.apps.local.machine import DATA, read_state
from siad.apps.local.normals import count_normals, find_shortages
from siad.apps.local.stage_status import (
    STAGES,
    LineWeights,
    StageStatus,
    count_not_labelled,
    describe_drifts,
    describe_not_labelled,
    describe_probes,
    read_estimates,
    read_fits,
    read_ledger,
    read_lines,
    read_metrics,
    read_stage,
    read_teachers,
    read_thresholds,
    serving_weights,
)
from siad.contracts.normals_profile import MisfitReason, OddNormal
from siad.contracts.place import Place
from siad.vision.odd_normals import advise_on_odd_normals, describe_odd_normals
from siad.vision.outliers import OutlierOrigin, describe_outliers

console = Console()

NAMES_MAX = 5  # captures shown for a line: missing, or unusual among the normals; --json has them all


def status(data: options.Data = DATA, as_json: options.Json = False) -> None:
    """Show stages, weights, teachers and the capture ledger of a `siad up`.

    Exit status 1 if a stage is not ready.
    """
    with reported_failures():
        urls, headers = read_state(data), credentials()
    with reported_failures(), httpx.Client(timeout=5.0, headers=headers) as client:
        stages = [read_stage(client, name, urls[name]) for name in STAGES]
        inference = read_metrics(client, urls["inference"])
        serving, drifts = serving_weights(inference), describe_drifts(inference)
        probes = describe_probes(inference)
        teachers = read_teachers(client, urls["labeler"])
        fits = read_fits(client, urls["labeler"])
        ledger = read_ledger(client, urls["ingest"])
        lines = read_lines(client, urls["ingest"])
        thresholds = read_thresholds(client, urls["inference"])
        estimates = read_estimates(client, urls["console"], [one["line"] for one in lines or ()])
        labeler = read_metrics(client, urls["labeler"])
    normals, not_labelled = count_normals(labeler), count_not_labelled(labeler)
    if as_json:
        tables = {
            "bus": urls["bus"],
            "stages": [asdict(stage) for stage in stages],
            "serving": [asdict(weights) for weights in serving],
            "teachers": teachers,
            "fits": fits,
            "normals": [{"line": line, "product": product, "normals": n} for (line, product), n in normals.items()],
            "not_labelled": not_labelled,
            "probes": probes,
            "thresholds": thresholds,
            "estimates": estimates,
            "drifts": drifts,
            "books": ledger,
        }
        print(json.dumps(tables, indent=2))
    else:
        _print_stages(stages, console, bus=urls["bus"])
        _print_serving(serving, console)
        print_teachers(teachers, console)
        print_fits(fits, console)
        print_shortages(lines, normals, teachers, console)
        for text in (
            *describe_thresholds(thresholds),
            *describe_estimates(estimates),
            *describe_not_labelled(not_labelled),
            *probes,
        ):
            console.print(escape(text), highlight=False, soft_wrap=True)
        for text in drifts:
            console.print(f"[yellow]{escape(text)}", highlight=False, soft_wrap=True)
        print_ledger(ledger, console)
    if not all(stage.ready for stage in stages):
        raise typer.Exit(1)


def _print_stages(stages: list[StageStatus], to: Console, *, bus: str) -> None:
    columns = ("stage", "ready", "received", "done", "failed", "in flight", "lag", "address")
    rows: list[list[Cell]] = []
    for s in stages:
        failed = ", ".join(f"{fate} {count}" for fate, count in s.failed.items()) or "0"
        ready = Text("yes", style="green") if s.ready else Text("no", style="red")
        rows.append([s.stage, ready, str(s.received), str(s.done), failed, str(s.in_flight), str(s.lag), s.url])
    print_table(to, TableContent(columns=columns, rows=rows, title=f"stages (bus: {bus})"))
    for s in stages:
        if not s.ready:
            to.print(f"[red]{s.stage} is not ready[/]: {escape(s.missing)}", soft_wrap=True, highlight=False)
        elif s.missing:
            text = f"[yellow]{s.stage} answers requests by its last known state[/]: {escape(s.missing)}"
            to.print(text, soft_wrap=True, highlight=False)


def _print_serving(serving: list[LineWeights], to: Console) -> None:
    if not serving:
        to.print("weights in service: none yet", highlight=False)
        return
    rows = [(s.line, s.product, s.kind, s.weights[:12]) for s in serving]
    columns = ("line", "product", "kind", "weights")
    print_table(to, TableContent(columns=columns, rows=rows, title="weights in service"))


def print_teachers(teachers: list[dict[str, Any]] | None, to: Console) -> None:
    """Print the teachers; below, what each promises and which normals to check."""
    if teachers is None:
        to.print("teachers: unavailable (the labeler did not respond)")
        return
    if not teachers:
        to.print("teachers: none yet", highlight=False)
        return
    rows = [(one["line"], one["product"], one["weights"][:12], one["method"], str(one["normals"])) for one in teachers]
    columns = ("line", "product", "weights", "method", "normals")
    print_table(to, TableContent(columns=columns, rows=rows, title="teachers"))
    for one in teachers:
        place = f"{one['line']}/{one['product']}"
        if one["promise"]:
            to.print(f"{place}: {escape(one['promise'])}", soft_wrap=True, highlight=False)
        if one.get("profile"):
            to.print(f"{place}: normals are {escape(one['profile'])}", soft_wrap=True, highlight=False)
        if one.get("last_fit"):
            to.print(f"{place}: latest fit: {escape(one['last_fit'])}", soft_wrap=True, highlight=False)
        if one.get("no_stream"):
            to.print(f"{place}: {escape(one['no_stream'])}", soft_wrap=True, highlight=False)
        if one.get("learning_paused"):
            text = escape(one["learning_paused"].replace("LINE", one["line"]))
            to.print(f"[yellow]{place}: learning is paused: {text}", soft_wrap=True, highlight=False)
        if one.get("quarantine"):
            text = (
                f"teacher {one['weights'][:12]} is in quarantine: {one['quarantine'].rstrip('.')}. It serves until "
                "another one is released; send other normals, and taint the captures that it should not have learned"
            )
            to.print(f"[red]{place}: {escape(text)}", soft_wrap=True, highlight=False)
        _print_outliers(one, place, to)
        _print_odd_normals(one, to)


def _print_outliers(one: Mapping[str, Any], place: str, to: Console) -> None:
    serials = one.get("serials", {})
    for origin, names in _by_origin(one).items():
        left_out, doubted = (
            _first(_with_serials([name for name in one[group] if name in names], serials))
            for group in ("left_out", "doubted")
        )
        if doubts := describe_outliers(left_out, doubted, origin=origin):
            to.print(f"[yellow]{place}: {escape(doubts)}", soft_wrap=True, highlight=False)
    if one["left_out"] or one["doubted"]:
        first = next(iter((*one["left_out"], *one["doubted"])))
        to.print(f"{place}: to see one: siad show {first} --save DIR", soft_wrap=True, highlight=False)


def _print_odd_normals(teacher: Mapping[str, Any], to: Console) -> None:
    """Print the normals unlike the rest, and the commands to use."""
    odd = [
        OddNormal(**{**one, "differs_in": tuple(map(MisfitReason, one["differs_in"]))})
        for one in teacher.get("odd_normals", ())
    ]
    if not odd:
        return
    line = teacher["line"]
    ids = [one.capture_id for one in odd]
    names = dict(zip(ids, _with_serials(ids, teacher.get("serials", {})), strict=True))
    text = describe_odd_normals(odd, left_out=teacher["left_out"], names=names)
    place = f"{line}/{teacher['product']}"
    to.print(f"[yellow]{place}: {escape(text)}", soft_wrap=True, highlight=False)
    to.print(f"{place}: {escape(advise_on_odd_normals(odd, line))}", soft_wrap=True, highlight=False)


def _by_origin(teacher: Mapping[str, Any]) -> dict[OutlierOrigin, set[str]]:
    """Sort outliers and suspects by how they came to be learned."""
    odd = {*teacher["left_out"], *teacher["doubted"]}
    of_stream, answered = set(teacher.get("of_stream", ())), set(teacher.get("answered", ()))
    return {
        OutlierOrigin.SENT: odd - of_stream - answered,
        OutlierOrigin.ANSWERED: answered,
        OutlierOrigin.STREAM: of_stream - answered,
    }


def print_fits(fits: list[dict[str, Any]], to: Console) -> None:
    """Print the fits that are under way, and why others wait."""
    for one in fits:
        place = f"{one['line']}/{one['product']}"
        if one["since"]:
            text = f"a teacher is being fitted since {one['since'][11:19]} UTC (cause: {one['cause']})"
            to.print(f"{place}: {escape(text)}", soft_wrap=True, highlight=False)
        for reason, text in (("short_of", "refit waits"), ("refused", "latest fit was refused")):
            if one[reason]:
                to.print(f"[red]{place}: {text}: {escape(one[reason])}", soft_wrap=True, highlight=False)


def print_shortages(
    lines: list[dict[str, Any]] | None,
    normals: Mapping[Place, int],
    teachers: list[dict[str, Any]] | None,
    to: Console,
) -> None:
    """Print the lines that wait for normals.

    Prints nothing if ingest or the labeler did not respond.
    """
    if lines is None or teachers is None:
        return
    if not lines:
        to.print("no lines yet; register one: siad line put LINE --product PRODUCT", highlight=False, soft_wrap=True)
    taught = [Place(one["line"], one["product"]) for one in teachers]
    for place, text in find_shortages(lines, normals, taught).items():
        command = f"siad send FILES --line {place.line} --intent normal"
        to.print(f"[yellow]{text}[/]: {command}", highlight=False, soft_wrap=True)


def _with_serials(captures: list[str], serials: Mapping[str, str]) -> list[str]:
    """Add the serials of parts to captures where known."""
    return [f"{serials[capture]} (capture {capture})" if capture in serials else capture for capture in captures]


def _first(names: list[str]) -> list[str]:
    """The first names, and how many more there are."""
    more = len(names) - NAMES_MAX
    return [*names[:NAMES_MAX], f"and {more} more"] if more > 0 else names


def print_ledger(ledger: dict[str, Any] | None, to: Console) -> None:
    """Print received = verdicts + waiting + dead letters by line.

    Below, missing captures by id.
    """
    if ledger is None:
        to.print("capture ledger: unavailable (ingest did not respond)")
        return
    if ledger["as_of"] is None:
        to.print("capture ledger: not written yet")
        return
    behind = f", {ledger['behind']} records behind" if ledger["behind"] else ""
    columns = ("line", "received", "= verdicts", "+ waiting", "+ dead\nletters", "missing", "normals", "stale")
    rows: list[list[Cell]] = []
    for line in ledger["lines"]:
        missing = Text(str(line["missing"]), style="red" if line["missing"] else "")
        counts = [str(line[name]) for name in ("received", "verdict", "waiting", "dead_letter")]
        rows.append([line["line"], *counts, missing, str(line["normal"]), str(line["stale"])])
    title = f"capture ledger ({ledger['age_s']:g} s old{behind})"
    if rows:
        print_table(to, TableContent(columns=columns, rows=rows, title=title))
    else:
        to.print(f"{title}: no captures yet", highlight=False)
    for line in ledger["lines"]:
        if line["missing"]:
            names = line["missing_names"][:NAMES_MAX]
            more = f" and {line['missing'] - len(names)} more" if line["missing"] > len(names) else ""
            to.print(
                f"[red]missing[/] captures of {line['line']}, without a verdict for more than "
                f"{line['missing_after_s']:g} s: {', '.join(names)}{more}",
                soft_wrap=True,
            )
