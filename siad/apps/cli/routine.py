"""`siad routine`: the paper's routine on a folder, in minutes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from siad.apps.cli import bounds, options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.folder_table import SkipLog, end_with_skipped, show_folder
from siad.apps.cli.standard_output import print_json
from siad.apps.files import printable
from siad.apps.output_file import check_outputs
from siad.contracts.fit_settings import DEFAULT_BUDGET
from siad.contracts.methods import DEFAULT, TEACHERS, require_teacher

if TYPE_CHECKING:  # torch takes seconds to import, and `siad --help` does not need it
    from siad.apps.lab.routine.run import RoutineResult

console = Console(stderr=True)
COUNT_MAX = 100_000  # images of one role
SHOWN = (  # as many as fit a terminal; --json has all
    ("image AUROC", "image_auroc"),
    ("pixel AUROC", "pixel_auroc"),
    ("pixel AP", "pixel_ap"),
    ("AUPRO .3", "aupro_30"),
    ("false rejects", "false_rejects"),
    ("misses", "misses"),
)
TITLES = {"few": "few shots", "whole": "whole set"}

Shots = Annotated[
    int,
    typer.Option(
        callback=bounds.whole(2, COUNT_MAX, "number of normals"),
        help="Normals that the few-shot teacher is fitted on.",
    ),
]
Online = Annotated[
    int,
    typer.Option(
        callback=bounds.whole(3, COUNT_MAX, "number of images"),
        help="Images without labels that the teacher marks.",
    ),
]
Test = Annotated[
    int,
    typer.Option(
        callback=bounds.whole(2, COUNT_MAX, "number of images"),
        help="Defective images of the test, beside good ones.",
    ),
]
Folder = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Images in MVTec AD's layout: train/good, test/CLASS, ground_truth/CLASS."),
]


def routine(  # noqa: PLR0913, PLR0917 - Typer reads the options from here
    folder: Folder,
    shots: Shots = 10,
    online: Online = 12,
    test: Test = 12,
    whole: Annotated[
        bool, typer.Option(help="Run it again with the whole set, and as many normals as the labeler uses.")
    ] = True,
    method: Annotated[str, typer.Option(help=f"Method of the teacher: {', '.join(TEACHERS)}.")] = DEFAULT,
    budget: options.Budget = None,
    pixels: options.Pixels = 0,
    seed: options.Seed = 0,
    threads: options.Threads = options.THREADS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    sheet: Annotated[Path, typer.Option(help="Write the contact sheet of the worst errors to this file.")] = Path(
        "var/routine/sheet.png"
    ),
) -> None:
    """Fit a teacher, train a segmenter on its pseudo-masks, test both.

    Runs first with few images, then with the whole set. Exit status 3 if files were skipped because they can't be read.
    """
    with reported_failures():
        from siad.apps.lab.evaluate.folder_reader import read_folder
        from siad.apps.lab.evaluate.inventory import check_folder, folder_json

        require_teacher(method)
        check_outputs([sheet])
        images = check_folder(read_folder(folder))
        show_folder(images, console)
        skip = SkipLog(images.report.skipped, console)
        console.print("importing torch", style="dim")
        from siad.apps.lab.evaluate.run import EvaluationSettings, Progress
        from siad.apps.lab.evaluate.series import set_threads, write_sheet
        from siad.apps.lab.routine.run import POLICIES, RoutineRequest, report_of_all, run_routine

        shifts = RoutineRequest(shots=shots, online=online, test=test, whole=whole, seed=seed).draw(images)
        set_threads(threads)
        settings = EvaluationSettings(
            method=method,
            budget=DEFAULT_BUDGET if budget is None else budget,
            budget_tightens=budget is None,
            seeds=1,
            pixels_px=pixels or None,
        )
        progress, results = Progress(notify=_notify, skip=skip), {}
        for name, shift in shifts.items():
            console.print(f"[bold]{TITLES[name]}", highlight=False)
            results[name] = run_routine(shift, settings, policy=POLICIES[name], seed=seed, progress=progress)
        _print(images.name, results)
        if as_json:
            print_json(report_of_all(results) | {"folder": folder_json(images)})
        few = results["few"]
        title = f"{images.name}: segmenter trained on marks of a teacher of {len(few.shift.normals)} normals"
        write_sheet(sheet, few.worst_rows(), title=title)
        text = f"worst misses and false rejects of the segmenter in {printable(sheet)}"
        console.print(escape(text), highlight=False, soft_wrap=True)
        end_with_skipped(images.report.skipped, console)


def _print(name: str, results: "dict[str, RoutineResult]") -> None:
    reports = {part: result.to_json() for part, result in results.items()}
    table = Table(title=f"{escape(name)}: the routine, tested on images that neither model was fitted on")
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
