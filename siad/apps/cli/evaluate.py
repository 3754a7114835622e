"""`siad evaluate`: how good a method is on a folder of images."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from siad.apps.cli.failures import reported_failures
from siad.contracts.depth import require_bits
from siad.contracts.methods import ASKABLE, DEFAULT
from siad.contracts.normals_profile import SizeRule
from siad.contracts.region import parse_region

if TYPE_CHECKING:  # torch and scikit-learn take seconds to import, and `siad --help` needs neither
    from siad.apps.lab.evaluate.series import EvaluationSeries
    from siad.models.teachers.method_choice import RankedVariant
    from siad.models.teachers.synthetic_estimate import SyntheticEstimate

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
RANKING = ("", "merit", "image AUROC", "pixel AP", "found", "false rejects", "fit s", "images/s")

Bits = Annotated[
    int,
    typer.Option("--bits", help="Significant bits of the samples in 16-bit files, 8 to 16; 0: found from the normals."),
]
Sizes = Annotated[SizeRule, typer.Option(help="Sizes of test images that are scored: those of the normals, or any.")]


def evaluate(  # noqa: PLR0913, PLR0917 - Typer reads the options from here
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Images in MVTec AD's layout: train/good, test/CLASS, ground_truth/CLASS."),
    ],
    shots: Annotated[str, typer.Option(help="Number of normals to fit on; several: 1,2,4,10,all.")] = "10",
    seeds: Annotated[int, typer.Option(min=1, help="Draws of normals; the figures are their mean.")] = 3,
    method: Annotated[
        str, typer.Option(help=f"Method of the teacher: {', '.join(ASKABLE)}; with --no-labels several, or all.")
    ] = DEFAULT,
    no_labels: Annotated[
        bool,
        typer.Option("--no-labels", help="Rank methods by synthetic defects on the normals; DIR may hold only these."),
    ] = False,
    budget: Annotated[float, typer.Option(help="Fraction of good parts that may be rejected.")] = 0.01,
    pixels: Annotated[
        int, typer.Option(help="Compute pixel figures at the area of a square of this side; 0: image size.")
    ] = 0,
    input_px: Annotated[
        int,
        typer.Option(
            "--input-px", help="Images are scaled to the area of a square of this side; 0: set by the method."
        ),
    ] = 0,
    bits: Bits = 0,
    sizes: Sizes = SizeRule.NORMALS,
    region: Annotated[str, typer.Option(help="Part of the image to inspect, as in `siad line put`.")] = "",
    threads: Annotated[int, typer.Option(help="Threads of the network.")] = min(4, os.cpu_count() or 1),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with curves, tables and pictures to this file.")
    ] = None,
    sheet: Annotated[Path, typer.Option(help="Write the contact sheet of the worst errors to this file.")] = Path(
        "var/evaluate/sheet.png"
    ),
) -> None:
    """Fit teachers on normals of a folder, test them on the rest."""
    with reported_failures():
        request = _Request(
            method=method,
            shots=_parse_shots(shots),
            seeds=seeds,
            budget=budget,
            pixels_px=pixels or None,
            input_px=input_px,
            region=parse_region(region),
            bits=_require_bits(bits),
            sizes=sizes,
            threads=threads,
        )
        if no_labels:
            _rank(folder, request, as_json=as_json)
            return
        series = _run(folder, request)
    _print(series)
    if as_json:
        reports = series.reports()
        print(json.dumps(next(iter(reports.values())) if len(reports) == 1 else reports, indent=2))
    _write(series, sheet, html)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """Options of the command."""

    method: str
    shots: list[int | None]
    seeds: int
    budget: float
    pixels_px: int | None
    input_px: int
    region: tuple[float, ...]
    bits: int
    sizes: SizeRule
    threads: int


def _require_bits(bits: int) -> int:
    require_bits(bits)
    return bits


def _run(folder: Path, request: _Request) -> "EvaluationSeries":
    from siad.apps.lab.evaluate.folder import read_folder

    images = read_folder(folder)
    console.print(f"importing torch; then {len(images.samples)} test images of {images.name}", style="dim")
    from siad.apps.lab.evaluate.run import EvaluationSettings
    from siad.apps.lab.evaluate.series import run_series, set_threads

    set_threads(request.threads)
    settings = EvaluationSettings(
        method=request.method,
        budget=request.budget,
        seeds=request.seeds,
        pixels_px=request.pixels_px,
        input_px=request.input_px,
        region=request.region,
        bits=request.bits,
        sizes=request.sizes,
    )
    return run_series(images, settings, request.shots, notify=_warn, show_progress=_show_progress)


def _rank(folder: Path, request: _Request, *, as_json: bool) -> None:
    from siad.apps.lab.evaluate.series import set_threads
    from siad.apps.lab.evaluate.unlabelled import RankSettings, json_of, parse_methods, rank_folder

    set_threads(request.threads)
    settings = RankSettings(
        variants=parse_methods(request.method),
        shots=request.shots[0],
        budget=request.budget,
        region=request.region,
        bits=request.bits,
    )
    ranked = rank_folder(folder, settings, notify=_notify)
    console.print(_ranking_table(ranked, title=f"{folder.resolve().name}: synthetic defects on its normals"))
    if as_json:
        print(json.dumps(json_of(ranked), indent=2))


def _write(series: "EvaluationSeries", sheet: Path, html: Path | None) -> None:
    """Write contact sheet and page."""
    rows = series.worst_rows()
    series.write_sheet(sheet, rows)
    console.print(f"worst misses and false rejects in {sheet}", highlight=False)
    if html is not None:
        series.write_page(html, rows)
        console.print(f"report in {html}", highlight=False)


def _parse_shots(text: str) -> list[int | None]:
    """Read ``10`` or ``1,2,all``; None stands for all."""
    try:
        return [None if one.strip() == "all" else int(one) for one in text.split(",")]
    except ValueError as error:
        msg = f"--shots {text!r} is invalid; write numbers of normals or all, separated by commas: 2,10,all"
        raise ValueError(msg) from error


def _ranking_table(ranked: "list[RankedVariant]", *, title: str) -> Table:
    table = Table(title=title)
    for column in RANKING:
        table.add_column(column, justify="left" if not column else "right")
    for one in ranked:
        table.add_row(str(one.variant), *(_cells(one.estimate) if one.estimate else ("-", one.reason)))
    return table


def _cells(found: "SyntheticEstimate") -> tuple[str, ...]:
    rates = (found.merit, found.image_auroc, found.pixel_ap, found.recall, found.false_rejects)
    return (*(f"{rate:.3f}" for rate in rates), f"{found.fit_s:.1f}", f"{found.images_per_s:.1f}")


def _print(series: "EvaluationSeries") -> None:
    settings, reports = series.settings, series.reports()
    at = "image size" if settings.pixels_px is None else f"{settings.pixels_px} px"
    for label, report in reports.items():
        seeds = f"mean of {report['seeds']} seeds; " if report["seeds"] > 1 else ""
        table = Table(title=f"{series.folder.name}: {settings.method}, {label} normals\n{seeds}pixel figures at {at}")
        table.add_column("")
        table.add_column("all", justify="right")
        for kind in report["classes"]:
            table.add_column(kind, justify="right")
        for title, name in SHOWN:
            spread = report["spread"][name]
            whole = _number(report[name]) + ("" if spread is None else f" ±{spread:.3f}")
            table.add_row(title, f"[bold]{whole}", *(_number(one[name]) for one in report["classes"].values()))
        console.print(table)
        if report["normals"]:
            console.print(f"normals: {report['normals']}", highlight=False)
        for text in filter(None, (report["promise"], *report["doubts"])):
            console.print(text, highlight=False, soft_wrap=True, markup=False)
    last = list(reports.values())[-1]
    console.print(
        f"fit {last['fit_s']:.1f} s, {last['images_per_s']:.1f} images per second, peak memory "
        f"{last['memory_mb']:.0f} MB, weights {last['weights_mb']:.1f} MB",
        highlight=False,
    )


@contextmanager
def _show_progress(label: str, total: int) -> Iterator[Callable[[], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)


def _notify(text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)


def _warn(text: str) -> None:
    console.print(f"[yellow]{escape(text)}", highlight=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
