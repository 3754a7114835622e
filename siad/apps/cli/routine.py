"""`siad routine`: the paper's routine on a folder, in minutes."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from siad.apps.lab.evaluate.folder import LabelledSample
    from siad.apps.lab.evaluate.run import EvaluationSettings, Progress
    from siad.apps.lab.routine.run import RoutinePlan
    from siad.apps.lab.routine.split import RoutineShift
    from siad.apps.lab.routine.stages import RoutineResult

console = Console(stderr=True)
COUNT_MAX = 100_000  # images of one role
SHOWN = (  # as many as fit a terminal; --json has all
    ("misses", "misses"),
    ("at true quantile", "misses_at_quantile"),
    ("false rejects", "false_rejects"),
    ("image AUROC", "image_auroc"),
    ("pixel AP", "pixel_ap"),
    ("AUPRO .3", "aupro_30"),
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
OnlineDefects = Annotated[
    float | None,
    typer.Option(
        callback=bounds.budget,
        help="Fraction of the images online that is defective; left out: as under test. Good images online then come "
        "from train/good too.",
    ),
]
Answers = Annotated[
    int,
    typer.Option(
        callback=bounds.whole(0, COUNT_MAX, "number of answers"),
        help="Answers of a simulated reviewer, the folder's own labels, to the captures nearest the threshold.",
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
    online_defects: OnlineDefects = None,
    answers: Answers = 0,
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
    """Fit a teacher, refit it, train a segmenter, test all of them.

    With --answers a simulated reviewer then answers captures, and both learn again. Each candidate serves only if its
    gate accepts it. Runs first with few images, then with the whole set. A segmenter that can't be trained leaves the
    other figures, with the reason. Exit status 1 if a run failed (the others are printed), 3 if files were skipped
    because they can't be read.
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
        from siad.apps.lab.evaluate.run import Progress
        from siad.apps.lab.evaluate.series import set_threads
        from siad.apps.lab.routine.run import POLICIES, RoutinePlan, RoutineRequest
        from siad.apps.lab.routine.stages import report_of_all

        counts = {"shots": shots, "online": online, "test": test}
        shifts = RoutineRequest(**counts, whole=whole, seed=seed, online_defects=online_defects).draw(images)
        set_threads(threads)
        settings = _settings(method, budget, pixels)
        plans = {name: RoutinePlan(policy=POLICIES[name], answers=answers, seed=seed) for name in shifts}
        results, failures = _run_all(shifts, settings, plans, Progress(notify=_notify, skip=skip))
        if results:
            _print(images.name, results)
        if as_json:
            print_json(report_of_all(results, failures) | {"folder": folder_json(images)})
        if results:
            _write_sheet(sheet, images.name, next(iter(results.values())))
        _raise_failures(failures)
        end_with_skipped(images.report.skipped, console)


def _run_all(
    shifts: "Mapping[str, RoutineShift[LabelledSample]]",
    settings: "EvaluationSettings",
    plans: "Mapping[str, RoutinePlan]",
    progress: "Progress",
) -> "tuple[dict[str, RoutineResult], dict[str, str]]":
    """Run one routine after the other.

    Returns the results, and why the others failed.
    """
    from siad.apps.lab.evaluate.folder import FolderError
    from siad.apps.lab.routine.run import run_routine

    results, failures = {}, {}
    for name, shift in shifts.items():
        console.print(f"[bold]{TITLES[name]}", highlight=False)
        try:
            results[name] = run_routine(shift, settings, plan=plans[name], progress=progress)
        except FolderError as error:
            failures[name] = str(error)
    return results, failures


def _settings(method: str, budget: float | None, pixels: int) -> "EvaluationSettings":
    from siad.apps.lab.evaluate.run import EvaluationSettings

    return EvaluationSettings(
        method=method,
        budget=DEFAULT_BUDGET if budget is None else budget,
        budget_tightens=budget is None,
        seeds=1,
        pixels_px=pixels or None,
    )


def _raise_failures(failures: dict[str, str]) -> None:
    """Fail for the runs that failed, after the others were printed."""
    from siad.apps.lab.evaluate.folder import FolderError

    if failures:
        raise FolderError("; ".join(f"{TITLES[name]}: {reason}" for name, reason in failures.items()))


def _write_sheet(sheet: Path, name: str, result: "RoutineResult") -> None:
    from siad.apps.lab.evaluate.series import write_sheet

    serving = result.serving.name.value
    normals = len(result.shift.normals)
    write_sheet(sheet, result.worst_rows(), title=f"{name}: {serving}, from {normals} normals")
    text = f"worst misses and false rejects of what serves ({serving}) in {printable(sheet)}"
    console.print(escape(text), highlight=False, soft_wrap=True)


def _print(name: str, results: "dict[str, RoutineResult]") -> None:
    reports = {part: result.to_json() for part, result in results.items()}
    table = Table(title=f"{escape(name)}: the routine, tested on images that no model was fitted on")
    table.add_column("", no_wrap=True)
    for title, _ in SHOWN:
        table.add_column(title, justify="right")
    for part, report in reports.items():
        for stage, found in report["stages"].items():
            figures = found["figures"]
            cells = ("-" if figures is None else _number(figures[key]) for _, key in SHOWN)
            table.add_row(f"{part} {stage}: {found['outcome']}", *cells)
    for part, report in reports.items():
        _print_decisions(part, report)
    console.print(table)
    for part, report in reports.items():
        teacher = report["teacher"]  # a segmenter's threshold rests on few held-out parts and promises nothing
        for text in filter(None, (teacher["promise"], *teacher["doubts"])):
            console.print(f"{part} teacher: {text}", highlight=False, soft_wrap=True, markup=False)


def _print_decisions(part: str, report: dict[str, Any]) -> None:
    """Print how what serves decides, and why candidates do not serve."""
    serving = report["stages"][report["serving"]]
    decision = serving["figures"]["decision"]
    style = {True: "green", False: "yellow", None: "dim"}[decision["works"]]
    text = f"{part}, what serves at the end ({report['serving']}): {decision['text']}"
    console.print(f"[{style}]{escape(text)}", highlight=False, soft_wrap=True)
    for stage, found in report["stages"].items():
        if found["outcome"] != "released":
            text = f"{part} {stage} {found['outcome']}: {found['reason']}"
            console.print(f"[yellow]{escape(text)}", highlight=False, soft_wrap=True)


def _notify(text: str) -> None:
    console.print(f"  {escape(text)}", highlight=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
