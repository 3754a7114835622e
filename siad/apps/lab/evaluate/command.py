"""`siad evaluate`: what a teacher is worth on a folder of images."""

import json
import os
import platform
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from siad.apps.lab.evaluate.folder import FolderError, ImageFolder, read_folder
from siad.contracts.methods import ASKABLE, AUTO, DEFAULT, TEACHERS, require_teacher
from siad.contracts.region import parse_region
from siad.vision.region import RegionOfInterest

if TYPE_CHECKING:  # torch and scikit-learn take seconds to import, and `siad --help` needs neither
    from siad.apps.lab.evaluate.run import EvaluationRun, EvaluationSettings
    from siad.apps.lab.sheet import SheetRow

console = Console(stderr=True)
SHOWN = (
    ("image AUROC", "image_auroc"),
    ("image AP", "image_ap"),
    ("image F1max", "image_f1max"),
    ("pixel AUROC", "pixel_auroc"),
    ("pixel AP", "pixel_ap"),
    ("pixel F1max", "pixel_f1max"),
    ("pixel IoU", "pixel_iou"),
    ("AUPRO at 0.3", "aupro_30"),
    ("AUPRO at 0.05", "aupro_05"),
    ("false rejects", "false_rejects"),
    ("misses", "misses"),
)


def evaluate(  # noqa: PLR0913, PLR0917 - Typer reads the options from here
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Images in MVTec AD's layout.")],
    shots: Annotated[str, typer.Option(help="Normals to fit on; several: 1,2,4,10,all.")] = "10",
    seeds: Annotated[int, typer.Option(min=1, help="Draws of normals, from 0; figures are their mean.")] = 3,
    method: Annotated[
        str, typer.Option(help=f"Of the teacher: {', '.join(ASKABLE)}; with --no-labels several, or all.")
    ] = DEFAULT,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="Rank methods by defects made on the normals; DIR may hold these alone.")
    ] = False,
    budget: Annotated[float, typer.Option(help="Share of good parts that may be rejected.")] = 0.01,
    pixels: Annotated[
        int, typer.Option(help="Side of the square with the area that pixel figures are taken at; 0: image size.")
    ] = 0,
    input_px: Annotated[int, typer.Option("--input-px", help="Side images are shown at; 0: the method's own.")] = 0,
    region: Annotated[str, typer.Option(help="What of the view counts, as in `siad line put`.")] = "",
    threads: Annotated[int, typer.Option(help="Of the network.")] = min(4, os.cpu_count() or 1),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with curves, tables and pictures here.")] = None,
    sheet: Annotated[Path, typer.Option(help="Where the contact sheet goes.")] = Path("var/evaluate/sheet.png"),
) -> None:
    """Fit teachers on a few normals of a folder, and measure them on its test images."""
    try:
        numbers = _shots(shots)
        points = parse_region(region)
        if no_labels:
            ranked = _rank(
                folder, method, shots=numbers[0], budget=budget, interest=RegionOfInterest(points), threads=threads
            )
            if as_json:
                print(ranked)
            return
        found = read_folder(folder)
    except ValueError as error:
        raise _told(error) from error
    console.print(f"reading torch, {len(found.samples)} test images of {found.name} are waiting", style="dim")
    import torch

    from siad.apps.lab.evaluate.run import EvaluationSettings

    torch.set_num_threads(threads)
    settings = EvaluationSettings(
        method=method, budget=budget, seeds=seeds, pixels_px=pixels or None, input_px=input_px, region=points
    )
    try:
        runs = _run_all(found, settings, numbers)
    except ValueError as error:
        raise _told(error) from error
    _show(found, settings, runs)
    if as_json:
        print(_json_of(runs))
    rows = _worst_rows(found, next(iter(runs.values()))[0])
    _write_sheet(sheet, found, settings, rows)
    if html is not None:
        _write_page(html, found, settings, runs, rows)


def _rank(
    folder: Path, method: str, *, shots: int | None, budget: float, interest: RegionOfInterest, threads: int
) -> str:
    import torch

    from siad.apps.lab.evaluate.unlabelled import json_of, rank_folder, table_of
    from siad.models.teachers.choice import WAYS, FittingMethod

    torch.set_num_threads(threads)
    named = {DEFAULT: WAYS, AUTO: WAYS, "all": tuple(FittingMethod(method=name) for name in TEACHERS)}
    ways = named.get(method) or tuple(FittingMethod(method=require_teacher(name.strip())) for name in method.split(","))
    say = partial(console.print, highlight=False, soft_wrap=True)
    ranked = rank_folder(folder, ways, shots=shots, seed=0, budget=budget, interest=interest, say=say)
    title = f"{folder.resolve().name}: what defects made on its normals say"
    console.print(table_of(ranked, title=title))
    return json_of(ranked)


def _run_all(
    folder: ImageFolder, settings: "EvaluationSettings", numbers: list[int | None]
) -> dict[str, list["EvaluationRun"]]:
    """Every number of shots, every seed; all normals are drawn in one way only."""
    from siad.apps.lab.evaluate.run import draw_normals, evaluate

    numbers = _fittable(numbers)
    for number in numbers:
        draw_normals(folder, shots=number, seed=0)  # refused before the first fit, not after the last
    runs: dict[str, list[EvaluationRun]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for number in numbers:
            label = "all" if number is None else str(number)
            seeds = 1 if number is None else settings.seeds
            for seed in range(seeds):
                task = progress.add_task(f"{label} normals, seed {seed}", total=len(folder.samples))
                one = evaluate(
                    folder,
                    settings,
                    shots=number,
                    seed=seed,
                    say=lambda text: console.print(f"[yellow]{escape(text)}", highlight=False, soft_wrap=True),
                    tick=lambda task=task: progress.advance(task),  # type: ignore[misc]
                )
                runs.setdefault(label, []).append(one)
    return runs


def _fittable(numbers: list[int | None]) -> list[int | None]:
    """Without a lone normal, where other numbers are asked for too: their table should not die of it."""
    some = [number for number in numbers if number != 1]
    if some and len(some) < len(numbers):
        why = "1 normal: no teacher, because nothing is left to hold out and a threshold would be a guess; left out"
        console.print(f"[yellow]{why}", highlight=False, soft_wrap=True)
        return some
    return numbers


def _show(folder: ImageFolder, settings: "EvaluationSettings", runs: dict[str, list["EvaluationRun"]]) -> None:
    from siad.apps.lab.evaluate.run import report_of

    at = "image size" if settings.pixels_px is None else f"{settings.pixels_px} px"
    for label, of_shots in runs.items():
        report = report_of(of_shots)
        seeds = f"mean of {len(of_shots)} seeds; " if len(of_shots) > 1 else ""
        table = Table(title=f"{folder.name}: {settings.method}, {label} normals\n{seeds}pixel figures at {at}")
        table.add_column("")
        table.add_column("all", justify="right")
        for kind in report["classes"]:
            table.add_column(kind, justify="right")
        for title, name in SHOWN:
            spread = report["spread"][name]
            whole = _number(report[name]) + ("" if spread is None else f" ±{spread:.3f}")
            table.add_row(title, f"[bold]{whole}", *(_number(one[name]) for one in report["classes"].values()))
        console.print(table)
        for told in filter(None, (report["promise"], *report["doubts"])):
            console.print(told, highlight=False, soft_wrap=True, markup=False)
    last = report_of(list(runs.values())[-1])
    console.print(
        f"fit {last['fit_s']:.1f} s, {last['images_per_s']:.1f} images a second, "
        f"{last['memory_mb']:.0f} MB of memory at most, weights of {last['weights_mb']:.1f} MB",
        highlight=False,
    )


def _json_of(runs: dict[str, list["EvaluationRun"]]) -> str:
    """One report, or of several numbers of shots an object by shots."""
    from siad.apps.lab.evaluate.run import report_of

    reports = {label: report_of(of_shots) for label, of_shots in runs.items()}
    body: dict[str, Any] = next(iter(reports.values())) if len(reports) == 1 else reports
    return json.dumps(body, indent=2)


def _worst_rows(folder: ImageFolder, run: "EvaluationRun") -> list["SheetRow"]:
    from siad.apps.lab.evaluate.run import worst_rows

    return worst_rows(run.judged, folder.samples)


def _write_page(
    path: Path,
    folder: ImageFolder,
    settings: "EvaluationSettings",
    runs: dict[str, list["EvaluationRun"]],
    rows: list["SheetRow"],
) -> None:
    from siad.apps.lab.evaluate.page import make_page
    from siad.apps.lab.evaluate.plots import PlottedRun
    from siad.apps.lab.evaluate.run import report_of

    first = next(iter(runs.values()))[0]
    page = make_page(
        f"{folder.name}: {settings.method}",
        {label: report_of(of_shots) for label, of_shots in runs.items()},
        PlottedRun(
            answers=first.judged.answers,
            whole=first.figures,
            by_kind=first.by_kind,
            threshold=first.judged.examiner.manifest.image_threshold,
        ),
        rows,
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} processors, {platform.machine()}",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)
    console.print(f"report in {path}", highlight=False)


def _write_sheet(path: Path, folder: ImageFolder, settings: "EvaluationSettings", rows: list["SheetRow"]) -> None:
    from siad.apps.lab.sheet import draw_sheet, encode_sheet

    title = f"{folder.name}: {settings.method}, first draw of normals"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_sheet(draw_sheet(rows, title=title)))
    console.print(f"worst misses and false rejects in {path}", highlight=False)


def _shots(text: str) -> list[int | None]:
    """``10`` or ``1,2,all``; None is all."""
    try:
        return [None if one.strip() == "all" else int(one) for one in text.split(",")]
    except ValueError as error:
        msg = f"--shots {text!r}; write numbers of normals or all, separated by commas: 2,10,all"
        raise FolderError(msg) from error


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _told(error: ValueError) -> typer.Exit:
    console.print(f"[red]{escape(str(error))}", highlight=False, soft_wrap=True)
    return typer.Exit(1)
