"""`siad doctor`: faults, their effect on lines, and remedies."""

import json
import os
from dataclasses import asdict
from typing import Final

import typer
from rich.console import Console
from rich.markup import escape

from siad.apps.cli import options
from siad.apps.local.doctor.examine import examine
from siad.apps.local.doctor.findings import Finding, FindingStatus, has_fault
from siad.apps.local.machine import DATA

console = Console()

STYLES: Final = {
    FindingStatus.OK: "green",
    FindingStatus.WARNING: "yellow",
    FindingStatus.FAULT: "red",
    FindingStatus.UNKNOWN: "yellow",
}


def doctor(data: options.Data = DATA, as_json: options.Json = False) -> None:
    """Examine settings, broker, store, clocks, Ray, stages, weights and disks.

    Says of each fault what is wrong, what it does to which lines, and what to do. Works while everything is down.
    Examines the `siad up` on --data, or the plant that SIAD_BUS_* and SIAD_STORE_* name. Writes and deletes one small
    object in the store. Exit status 1 if something is wrong.
    """
    progress = Console(stderr=True)
    with progress.status("examining") as shown:
        found = examine(data, os.environ, lambda text: shown.update(f"examining {text}"))
    if as_json:
        print(json.dumps({"healthy": not has_fault(found), "findings": [asdict(one) for one in found]}, indent=2))
    else:
        for one in found:
            print_finding(one, console)
        print_summary(found, console)
    if has_fault(found):
        raise typer.Exit(1)


def print_finding(one: Finding, to: Console) -> None:
    """Print one finding: a line, and two more where something is wrong."""
    to.print(
        f"[{STYLES[one.status]}]{one.status.value:8}[/]{escape(f'{one.check:10}{one.what}')}",
        soft_wrap=True,
        highlight=False,
    )
    for name, text in (("effect", one.effect), ("do", one.remedy)):
        if text:
            to.print(f"{'':18}{name}: {escape(text)}", soft_wrap=True, highlight=False)


def print_summary(found: list[Finding], to: Console) -> None:
    """Print how many faults and warnings there are."""
    faults, warnings = (
        sum(one.status in chosen for one in found)
        for chosen in ({FindingStatus.FAULT}, {FindingStatus.WARNING, FindingStatus.UNKNOWN})
    )
    to.print(f"{faults} faults, {warnings} warnings, {len(found) - faults - warnings} in order", highlight=False)
