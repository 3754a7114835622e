"""`siad evaluate`: how good a method is on a folder of images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from siad.apps.cli import bounds, options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.folder_table import SkipLog, end_with_skipped, show_folder
from siad.apps.cli.standard_output import print_json
from siad.apps.files import printable
from siad.apps.output_file import check_outputs
from siad.contracts.depth import require_bits
from siad.contracts.events import INPUT_PX_MAX, INPUT_PX_MIN
from siad.contracts.fit_settings import DEFAULT_BUDGET
from siad.contracts.methods import ASKABLE, DEFAULT, require_askable
from siad.contracts.normals_profile import SizeRule
from siad.contracts.region import parse_region

if TYPE_CHECKING:  # torch and scikit-learn take seconds to import, and `siad --help` needs neither
    from siad.apps.lab.evaluate.series import EvaluationSeries
    from siad.models.teachers.method_choice import RankedVariant
    from siad.models.teachers.synthetic_estimate import SyntheticEstimate
    from siad.vision.found_share import FoundShare

console = Console(stderr=True)
SEEDS_MAX = 100
SHOWN = (  # first what the line would do, then what the scores could do
    ("misses", "misses"),
    ("misses at true quantile", "misses_at_quantile"),
    ("false rejects", "false_rejects"),
    ("IoU of marks", "pixel_iou"),
    ("IoU of best cut", "pixel_iou_best"),
    ("pixel F1max", "pixel_f1max"),
    ("image AUROC", "image_auroc"),
    ("image AP", "image_ap"),
    ("image F1max", "image_f1max"),
    ("pixel AUROC", "pixel_auroc"),
    ("pixel AP", "pixel_ap"),
    ("AUPRO at 0.3", "aupro_30"),
    ("AUPRO at 0.05", "aupro_05"),
)
RANKING = ("", "merit", "image AUROC", "pixel AP", "clear found", "others found", "false rejects", "fit s", "images/s")
MEANING = (
    "clear: at least 0.2% of the view and 4% of the range of values; others are smaller or fainter. The shares, with "
    "90% intervals, are of synthetic defects: how many real ones are found depends on which of them the process makes"
)

Bits = Annotated[
    int,
    typer.Option("--bits", help="Significant bits of the samples in 16-bit files, 8 to 16; 0: found from the normals."),
]
Sizes = Annotated[SizeRule, typer.Option(help="Sizes of test images that are scored: those of the normals, or any.")]

Folder = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Images in MVTec AD's layout: train/good, test/CLASS, ground_truth/CLASS."),
]
Seeds = Annotated[
    int,
    typer.Option(
        callback=bounds.whole(1, SEEDS_MAX, "number of draws"), help="Draws of normals; the figures are their mean."
    ),
]
InputPx = Annotated[
    int,
    typer.Option(
        "--input-px",
        callback=bounds.side_px(INPUT_PX_MIN, INPUT_PX_MAX),
        help="Images are scaled to the area of a square of this side; 0: set by the method.",
    ),
]
NoLabels = Annotated[
    bool,
    typer.Option("--no-labels", help="Rank methods by synthetic defects on the normals; DIR may hold only these."),
]


def evaluate(  # noqa: PLR0913, PLR0917 - Typer reads the options from here
    folder: Folder,
    shots: Annotated[str, typer.Option(help="Number of normals to fit on; several: 1,2,4,10,all.")] = "10",
    seeds: Seeds = 3,
    method: Annotated[
        str, typer.Option(help=f"Method of the teacher: {', '.join(ASKABLE)}; with --no-labels several, or all.")
    ] = DEFAULT,
    no_labels: NoLabels = False,
    budget: options.Budget = None,
    pixels: options.Pixels = 0,
    input_px: InputPx = 0,
    bits: Bits = 0,
    sizes: Sizes = SizeRule.NORMALS,
    region: Annotated[str, typer.Option(help="Part of the image to inspect, as in `siad line put`.")] = "",
    threads: options.Threads = options.THREADS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with curves, tables and pictures to this file.")
    ] = None,
    sheet: Annotated[Path, typer.Option(help="Write the contact sheet of the worst errors to this file.")] = Path(
        "var/evaluate/sheet.png"
    ),
) -> None:
    """Fit teachers on normals of a folder, test them on the rest.

    Prints first what each file was taken for. Exit status 3 if files were skipped because they can't be read.
    """
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
            end_with_skipped(_rank(folder, request, as_json=as_json), console)
            return
        require_askable(method)
        check_outputs([sheet, html])
        series = _run(folder, request)
        _print(series)
        if as_json:
            reports = series.reports()
            print_json(next(iter(reports.values())) if len(reports) == 1 else reports)
        _write(series, sheet, html)
        end_with_skipped(series.folder.report.skipped, console)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """Options of the command."""

    method: str
    shots: list[int | None]
    seeds: int
    budget: float | None  # None: as of a new line
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
    from siad.apps.lab.evaluate.folder_reader import read_folder
    from siad.apps.lab.evaluate.inventory import check_folder

    listed = read_folder(folder)
    with _show_progress("reading images", len(listed.normals) + len(listed.samples)) as tick:
        images = check_folder(listed, on_done=tick)
    show_folder(images, console)
    text = f"importing torch; then {len(images.samples)} test images of {images.name}"
    console.print(escape(text), style="dim", highlight=False)
    from siad.apps.lab.evaluate.run import EvaluationSettings, Progress
    from siad.apps.lab.evaluate.series import run_series, set_threads

    set_threads(request.threads)
    settings = EvaluationSettings(
        method=request.method,
        budget=DEFAULT_BUDGET if request.budget is None else request.budget,
        budget_tightens=request.budget is None,
        seeds=request.seeds,
        pixels_px=request.pixels_px,
        input_px=request.input_px,
        region=request.region,
        bits=request.bits,
        sizes=request.sizes,
    )
    progress = Progress(notify=_warn, skip=SkipLog(images.report.skipped, console))
    return run_series(images, settings, request.shots, progress=progress, show_progress=_show_progress)


def _rank(folder: Path, request: _Request, *, as_json: bool) -> dict[Path, str]:
    """Rank the methods; returns the files that were skipped."""
    from siad.apps.lab.evaluate.series import set_threads
    from siad.apps.lab.evaluate.unlabelled import RankSettings, json_of, parse_methods, rank_folder

    set_threads(request.threads)
    settings = RankSettings(
        variants=parse_methods(request.method),
        shots=request.shots[0],
        budget=DEFAULT_BUDGET if request.budget is None else request.budget,
        region=request.region,
        bits=request.bits,
    )
    skipped: dict[Path, str] = {}
    ranked = rank_folder(folder, settings, notify=_notify, skip=SkipLog(skipped, console))
    name = escape(printable(folder.resolve().name))
    console.print(_ranking_table(ranked, title=f"{name}: synthetic defects on its normals"))
    console.print(MEANING, highlight=False, soft_wrap=True)
    if as_json:
        print_json(json_of(ranked))
    return skipped


def _write(series: "EvaluationSeries", sheet: Path, html: Path | None) -> None:
    """Write contact sheet and page."""
    rows = series.worst_rows()
    series.write_sheet(sheet, rows)
    console.print(escape(f"worst misses and false rejects in {printable(sheet)}"), highlight=False, soft_wrap=True)
    if html is not None:
        series.write_page(html, rows)
        console.print(escape(f"report in {printable(html)}"), highlight=False, soft_wrap=True)


def _parse_shots(text: str) -> list[int | None]:
    """Read ``10`` or ``1,2,all``; None stands for all."""
    words = [one.strip() for one in text.split(",")]
    is_number = [word.isascii() and word.isdigit() and int(word[:9]) >= 1 and len(word) < 9 for word in words]
    if not all(word == "all" or is_one for word, is_one in zip(words, is_number, strict=True)):
        msg = f"--shots {text!r} is invalid; write numbers of normals from 1, or all, separated by commas: 2,10,all"
        raise ValueError(msg)
    if len(set(words)) < len(words):
        msg = f"--shots {text!r} names a number twice; name each once"
        raise ValueError(msg)
    return [None if word == "all" else int(word) for word in words]


def _ranking_table(ranked: "list[RankedVariant]", *, title: str) -> Table:
    table = Table(title=title)
    for column in RANKING:
        table.add_column(column, justify="left" if not column else "right")
    for one in ranked:
        table.add_row(str(one.variant), *(_cells(one.estimate) if one.estimate else ("-", one.reason)))
    return table


def _cells(found: "SyntheticEstimate") -> tuple[str, ...]:
    merits = (f"{rate:.3f}" for rate in (found.merit, found.image_auroc, found.pixel_ap))
    shares = (_share(found.clear), _share(found.faint))
    return (*merits, *shares, f"{found.false_rejects:.3f}", f"{found.fit_s:.1f}", f"{found.images_per_s:.1f}")


def _share(found: "FoundShare") -> str:
    low, high = found.interval
    return f"{found.share:.2f} ({low:.2f} to {high:.2f})" if found.defects else "-"


def _print(series: "EvaluationSeries") -> None:
    settings, reports = series.settings, series.reports()
    at = "image size" if settings.pixels_px is None else f"{settings.pixels_px} px"
    for label, report in reports.items():
        seeds = f"mean of {report['seeds']} seeds; " if report["seeds"] > 1 else ""
        name = escape(series.folder.name)
        decision = report["decision"]
        style = {True: "green", False: "yellow", None: "dim"}[decision["works"]]
        console.print(f"[{style}]{label} normals: {escape(decision['text'])}", highlight=False, soft_wrap=True)
        table = Table(title=f"{name}: {settings.method}, {label} normals\n{seeds}pixel figures at {at}")
        table.add_column("")
        table.add_column("all", justify="right")
        for kind in report["classes"]:
            table.add_column(escape(kind), justify="right")
        for title, figure in SHOWN:
            spread = report["spread"][figure]
            whole = _number(report[figure]) + ("" if spread is None else f" ±{spread:.3f}")
            table.add_row(title, f"[bold]{whole}", *(_number(one[figure]) for one in report["classes"].values()))
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
    with ProgressBar(*columns, console=console) as progress:
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)


def _notify(text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)


def _warn(text: str) -> None:
    console.print(f"[yellow]{escape(text)}", highlight=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
