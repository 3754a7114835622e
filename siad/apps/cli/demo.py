"""`siad demo`: the whole loop on images of solar cells."""

import json
import os
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from siad.apps.cli import options
from siad.apps.cli.failures import print_failure, reported_failures
from siad.apps.cli.library_log import log_libraries_to
from siad.apps.lab.demo.cells import draw_shift, find_cells
from siad.apps.lab.demo.output import DemoOutput
from siad.apps.lab.demo.report import problems_of
from siad.apps.lab.demo.session import NORMALS, STAGE_SETTINGS, TEST, DemoRun, require_own_servers
from siad.apps.lab.demo.stream import StreamPace
from siad.apps.local.bus_choice import BusKind
from siad.apps.local.data_folder import locked
from siad.apps.local.machine import Machine
from siad.apps.local.run import run_machine

DATA = Path("var/demo")
REPORT, LOG = "report.json", "demo.log"
INTERRUPTED = 130  # exit status of a command that Ctrl-C ended

console, progress = Console(), Console(stderr=True)


def demo(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="PATH",
            parser=options.parse_folder,
            help="Folder for the demo's data; an earlier demo in it is removed.",
        ),
    ] = DATA,
    rate: Annotated[float, typer.Option(min=0.5, max=50.0, help="Cells sent per second.")] = 3.0,
    cells: Annotated[int, typer.Option(min=300, help="Cells sent at most.")] = 800,
    seed: Annotated[int, typer.Option(help="Seed for the choice and order of cells.")] = 7,
    bus: options.Bus = BusKind.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Run the whole loop on this machine with images of solar cells.

    Six to eight minutes.

    Fits a teacher on 20 normal cells, streams others, refits it, trains a segmenter and swaps it in. Then a simulated
    reviewer answers 20 captures with the experts' labels. Every model that served is compared on cells that were never
    sent. Exit status 1 if a capture was lost or nothing took over from the first teacher.
    """
    output = DemoOutput(progress)
    with reported_failures():
        require_own_servers(os.environ)
        run = DemoRun(
            draw_shift(find_cells(), normals=NORMALS, stream=cells, seed=seed, test=TEST),
            StreamPace(per_s=rate),
            output,
        )
        machine = Machine(data.resolve(), STAGE_SETTINGS, bus)
        machine.check_settings(output.notify)  # before an earlier demo is removed
        with locked(data):
            for name in ("kafka", "embedded", "store", "ray", "logs"):
                shutil.rmtree(data / name, ignore_errors=True)
            log_libraries_to(data / LOG)
            run_machine(machine, run, notify=output.notify)
    if run.result is None:
        raise typer.Exit(INTERRUPTED)
    report = run.result.report
    (data / REPORT).write_text(json.dumps(report, indent=2) + "\n")
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        console.print(_table(report))
    output.notify(f"report: {data / REPORT}; logs: {data / 'logs'} and {data / LOG}")
    if problems := problems_of(report):
        print_failure(f"the demo failed: {'; '.join(problems)}. The logs give the reason")
        raise typer.Exit(1)


def _table(report: dict[str, Any]) -> Table:
    table = Table(title="SIAD demo", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    swap = f"{report['swaps']}, longest pause {report['longest_swap_pause_ms']:.1f} ms"
    times = report["seconds_to_verdict"]
    rows = {
        "bus": report["bus"],
        "cells streamed": report["images_sent"],
        "verdicts / pseudo-masks": f"{report['verdicts']} / {report['pseudo_masks']}",
        "lost / duplicated / dead letters": f"{report['lost']} / {report['duplicated']} / {report['dead_letters']}",
        "swaps while the stream ran": swap,
        "seconds to a verdict": ", ".join(f"{name} {seconds:g}" for name, seconds in times.items()),
        "judged by": ", ".join(f"{kind} {count}" for kind, count in report["judged_by"].items()),
        "seconds by phase": ", ".join(f"{phase} {seconds:g}" for phase, seconds in report["seconds"].items()),
    }
    for figures in report["models"]:
        rows[f"{figures['name']} {figures['weights'][:12]}"] = (
            f"image AUROC {figures['image_auroc']:.3f} ±{figures['image_auroc_error']:.3f}, finds "
            f"{figures['detection_rate']:.0%} of certain defects, rejects {figures['false_reject_rate']:.1%} of good "
            f"cells ({figures['captures']} cells that were never sent)"
        )
    rows["answers"] = f"{report['answers']}, by a simulated reviewer: the experts' labels"
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table
