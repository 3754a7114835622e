"""`siad routine`: the paper's own routine on a folder, so that one sees in minutes what the loop would come to."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.labeler.domain.fitting import STEPS
from siad.apps.lab.evaluate.folder import GOOD, ImageFolder, LabelledSample, read_folder
from siad.apps.lab.routine.split import ImagePool, RoutineShift, draw_few, draw_whole
from siad.contracts.methods import DEFAULT, TEACHERS

if TYPE_CHECKING:  # torch takes seconds to import, and `siad --help` does not need it
    from siad.apps.lab.routine.run import RoutineResult

console = Console(stderr=True)
SHOWN = (  # as many as a terminal is wide; --json has them all
    ("image AUROC", "image_auroc"),
    ("pixel AUROC", "pixel_auroc"),
    ("pixel AP", "pixel_ap"),
    ("AUPRO .3", "aupro_30"),
    ("false rejects", "false_rejects"),
    ("misses", "misses"),
)
TITLES = {"few": "few shots", "whole": "whole set"}


def routine(  # noqa: PLR0913, PLR0917 - Typer reads the options from here
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Images in MVTec AD's layout.")],
    shots: Annotated[int, typer.Option(min=2, help="Normals that the few-shot teacher is fitted on.")] = 10,
    online: Annotated[int, typer.Option(min=3, help="Images without a label that it marks.")] = 12,
    test: Annotated[int, typer.Option(min=2, help="Defective images to test by, beside good ones.")] = 12,
    whole: Annotated[
        bool, typer.Option(help="Then the same with the whole set, and as many normals as the labeler takes.")
    ] = True,
    method: Annotated[str, typer.Option(help=f"Of the teacher: {', '.join(TEACHERS)}.")] = DEFAULT,
    budget: Annotated[float, typer.Option(help="Share of good parts that may be rejected.")] = 0.01,
    pixels: Annotated[
        int, typer.Option(help="Side of the square with the area that pixel figures are taken at; 0: image size.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of every draw; the same gives the same figures.")] = 0,
    threads: Annotated[int, typer.Option(help="Of the network.")] = min(4, os.cpu_count() or 1),
    json_: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    sheet: Annotated[Path, typer.Option(help="Where the contact sheet goes.")] = Path("var/routine/sheet.png"),
) -> None:
    """Fit on a few normals, mark what comes, train on the marks, and judge both; then with the whole set."""
    asked = RoutineRequest(shots=shots, online=online, test=test, whole=whole, seed=seed)
    try:
        found = read_folder(folder)
        shifts = asked.draw(found)
        outcomes = _run(shifts, method=method, budget=budget, pixels_px=pixels or None, threads=threads, seed=seed)
    except ValueError as error:
        console.print(f"[red]{escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    _show(found.name, outcomes)
    if json_:
        print(json.dumps(report_of(outcomes), indent=2))
    _write_sheet(sheet, found, outcomes["few"])


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutineRequest:
    """How many of what."""

    shots: int
    online: int
    test: int
    whole: bool
    seed: int

    def draw(self, folder: ImageFolder) -> dict[str, RoutineShift[LabelledSample]]:
        """Deal the images out; refused before the first fit, not after it."""
        pool = ImagePool(
            normals=[LabelledSample(path=path, kind=GOOD, mask_path=None) for path in folder.normals],
            goods=[sample for sample in folder.samples if not sample.is_defect],
            defects=[sample for sample in folder.samples if sample.is_defect],
        )
        few = draw_few(pool, shots=self.shots, online=self.online, defects=self.test, seed=self.seed)
        return {"few": few} | ({"whole": draw_whole(pool, normals_max=STEPS[-1], seed=self.seed)} if self.whole else {})


def report_of(outcomes: dict[str, "RoutineResult"]) -> dict[str, Any]:
    """Both shifts by name, and at the top the few-shot one's figures."""
    parts = {name: outcome.to_json() for name, outcome in outcomes.items()}
    return {"teacher": parts["few"]["teacher"], "segmenter": parts["few"]["segmenter"], **parts}


def _run(
    shifts: dict[str, RoutineShift[LabelledSample]],
    *,
    method: str,
    budget: float,
    pixels_px: int | None,
    threads: int,
    seed: int,
) -> dict[str, "RoutineResult"]:
    console.print("reading torch", style="dim")
    import torch

    from siad.apps.lab.evaluate.run import EvaluationSettings
    from siad.apps.lab.routine.line import FEW, WHOLE
    from siad.apps.lab.routine.run import go_through

    torch.set_num_threads(threads)
    settings = EvaluationSettings(method=method, budget=budget, seeds=1, pixels_px=pixels_px)
    outcomes = {}
    for name, shift in shifts.items():
        console.print(f"[bold]{TITLES[name]}", highlight=False)
        outcomes[name] = go_through(
            shift,
            settings,
            policy=FEW if name == "few" else WHOLE,
            seed=seed,
            say=lambda text: console.print(f"  {escape(text)}", highlight=False, soft_wrap=True),
        )
    return outcomes


def _show(name: str, outcomes: dict[str, "RoutineResult"]) -> None:
    report = report_of(outcomes)
    table = Table(title=f"{name}: the routine, judged by images that neither has seen")
    table.add_column("", no_wrap=True)
    for title, _ in SHOWN:
        table.add_column(title, justify="right")
    for part, outcome in outcomes.items():
        shift = outcome.shift
        for detector, shown in (
            ("teacher", f"{len(shift.normals)} normals"),
            ("segmenter", f"{len(shift.online)} marked"),
        ):
            figures = report[part][detector]
            table.add_row(f"{part} {detector}, {shown}", *(_number(figures[key]) for _, key in SHOWN))
    console.print(table)
    for part in outcomes:
        teacher = report[part]["teacher"]  # a segmenter's threshold rests on few held-out parts, and promises nothing
        for told in filter(None, (teacher["promise"], *teacher["doubts"])):
            console.print(f"{part} teacher: {told}", highlight=False, soft_wrap=True, markup=False)


def _write_sheet(path: Path, folder: ImageFolder, outcome: "RoutineResult") -> None:
    """The segmenter's answers: it is what would serve."""
    from siad.apps.lab.evaluate.run import worst_rows
    from siad.apps.lab.sheet import draw_sheet, encode_sheet

    rows = worst_rows(outcome.segmenter.judged, outcome.shift.test)
    title = f"{folder.name}: segmenter taught by a teacher of {len(outcome.shift.normals)} normals"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_sheet(draw_sheet(rows, title=title)))
    console.print(f"worst misses and false rejects of the segmenter in {path}", highlight=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
