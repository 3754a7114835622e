"""`siad routine`: the paper's routine on a folder, in minutes."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from siad.apps.cli.failures import reported_failures
from siad.contracts.methods import DEFAULT, TEACHERS

if TYPE_CHECKING:  # torch takes seconds to import, and `siad --help` does not need it
    from siad.apps.lab.routine.run import RoutineResult

console = Console(stderr=True)
SHOWN = (  # as many as fit a terminal; --json has all
    ("image AUROC", "image_auroc"),
    ("pixel AUROC", "pixel_auroc"),
    ("pixel AP", "pixel_ap"),
    ("AUPRO .3", "aupro_30"),
    ("false rejects", "false_rejects"),
    ("misses", "misses"),
)
TITLES = {"few": "few shots", "whole": "whole set"}


def routine(  # noqa: PLR0913, PLR0917 - Typer reads the options from here
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Images in MVTec AD's layout: train/good, test/CLASS, ground_truth/CLASS."),
    ],
    shots: Annotated[int, typer.Option(min=2, help="Normals that the few-shot teacher is fitted on.")] = 10,
    online: Annotated[int, typer.Option(min=3, help="Images without labels that the teacher marks.")] = 12,
    test: Annotated[int, typer.Option(min=2, help="Defective images of the test, beside good ones.")] = 12,
    whole: Annotated[
        bool, typer.Option(help="Run it again with the whole set, and as many normals as the labeler uses.")
    ] = True,
    method: Annotated[str, typer.Option(help=f"Method of the teacher: {', '.join(TEACHERS)}.")] = DEFAULT,
    budget: Annotated[float, typer.Option(help="Fraction of good parts that may be rejected.")] = 0.01,
    pixels: Annotated[
        int, typer.Option(help="Compute pixel figures at the area of a square of this side; 0: image size.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of every draw; equal seeds give equal figures.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads of the network.")] = min(4, os.cpu_count() or 1),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    sheet: Annotated[Path, typer.Option(help="Write the contact sheet of the worst errors to this file.")] = Path(
        "var/routine/sheet.png"
    ),
) -> None:
    """Fit a teacher, train a segmenter on its pseudo-masks, test both.

    Runs first with few images, then with the whole set.
    """
    with reported_failures():
        from siad.apps.lab.evaluate.folder import read_folder

        images = read_folder(folder)
        console.print("importing torch", style="dim")
        from siad.apps.lab.evaluate.run import EvaluationSettings
        from siad.apps.lab.evaluate.series import set_threads, write_sheet
        from siad.apps.lab.routine.run import POLICIES, RoutineRequest, report_of_all, run_routine

        shifts = RoutineRequest(shots=shots, online=online, test=test, whole=whole, seed=seed).draw(images)
        set_threads(threads)
        settings = EvaluationSettings(method=method, budget=budget, seeds=1, pixels_px=pixels or None)
        results = {}
        for name, shift in shifts.items():
            console.print(f"[bold]{TITLES[name]}", highlight=False)
            results[name] = run_routine(shift, settings, policy=POLICIES[name], seed=seed, notify=_notify)
    _print(images.name, results)
    if as_json:
        print(json.dumps(report_of_all(results), indent=2))
    few = results["few"]
    title = f"{images.name}: segmenter trained on marks of a teacher of {len(few.shift.normals)} normals"
    write_sheet(sheet, few.worst_rows(), title=title)
    console.print(f"worst misses and false rejects of the segmenter in {sheet}", highlight=False)


def _print(name: str, results: "dict[str, RoutineResult]") -> None:
    reports = {part: result.to_json() for part, result in results.items()}
    table = Table(title=f"{name}: the routine, tested on images that neither model was fitted on")
    table.add_column("", no_wrap=True)
    for title, _ in SHOWN:
        table.add_column(title, justify="right")
    for part, result in results.items():
        sizes = {"teacher": f"{len(result.shift.normals)} normals", "segmenter": f"{len(result.shift.online)} marked"}
        for model, size in sizes.items():
            figures = reports[part][model]
            table.add_row(f"{part} {model}, {size}", *(_number(figures[key]) for _, key in SHOWN))
    console.print(table)
    for part, report in reports.items():
        teacher = report["teacher"]  # a segmenter's threshold rests on few held-out parts and promises nothing
        for text in filter(None, (teacher["promise"], *teacher["doubts"])):
            console.print(f"{part} teacher: {text}", highlight=False, soft_wrap=True, markup=False)


def _notify(text: str) -> None:
    console.print(f"  {escape(text)}", highlight=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
