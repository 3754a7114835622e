"""A series of evaluations: every number of normals, every seed.

With report, contact sheet and page.
"""

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch

from siad.apps.lab.evaluate.folder import ImageFolder
from siad.apps.lab.evaluate.inventory import folder_json
from siad.apps.lab.evaluate.page import make_page
from siad.apps.lab.evaluate.plots import PlottedRun
from siad.apps.lab.evaluate.rows import worst_rows
from siad.apps.lab.evaluate.run import (
    EvaluationRun,
    EvaluationSettings,
    Notify,
    Progress,
    draw_normals,
    evaluate,
    report_of,
)
from siad.apps.lab.sheet import draw_sheet, encode_sheet
from siad.apps.lab.sheet_rows import SheetRow
from siad.apps.output_file import write_output

ALL: Final = "all"
Shots = int | None  # number of normals; None: all

# shows the progress of one evaluation, by label and number of images, inside a block
ShowProgress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


@dataclass(frozen=True, slots=True)
class EvaluationSeries:
    """Results of a series, by number of normals."""

    folder: ImageFolder
    settings: EvaluationSettings
    runs: dict[str, list[EvaluationRun]]

    def reports(self) -> dict[str, dict[str, Any]]:
        """Reports by number of normals."""
        content = folder_json(self.folder)
        return {label: report_of(runs) | {"folder": content} for label, runs in self.runs.items()}

    def worst_rows(self) -> list[SheetRow]:
        """Rows of the contact sheet, of the first run."""
        return worst_rows(self._first.scored, self.folder.samples)

    def write_sheet(self, path: Path, rows: Sequence[SheetRow]) -> None:
        """Write the contact sheet as PNG."""
        title = f"{self.folder.name}: {self.settings.method}, first draw of normals"
        write_sheet(path, rows, title=title)

    def write_page(self, path: Path, rows: Sequence[SheetRow]) -> None:
        """Write the report as one HTML page."""
        first = self._first
        page = make_page(
            f"{self.folder.name}: {self.settings.method}",
            self.reports(),
            PlottedRun(
                images=first.scored.images,
                figures=first.figures,
                by_kind=first.by_kind,
                threshold=first.scored.predictor.image_threshold,
            ),
            rows,
            origin=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} processors, {platform.machine()}",
        )
        write_output(path, page.encode())

    @property
    def _first(self) -> EvaluationRun:
        return next(iter(self.runs.values()))[0]


def write_sheet(path: Path, rows: Sequence[SheetRow], *, title: str) -> None:
    """Write a contact sheet as PNG, with its folder."""
    write_output(path, encode_sheet(draw_sheet(rows, title=title)))


def run_series(
    folder: ImageFolder,
    settings: EvaluationSettings,
    shots: Sequence[Shots],
    *,
    progress: Progress,
    show_progress: ShowProgress,
) -> EvaluationSeries:
    """Evaluate every number of normals with every seed.

    All normals can be drawn in one way only.

    Raises:
        FolderError: the folder has fewer normals, or no teacher can be fitted on them.
    """
    numbers = _without_lone_normal(shots, progress.notify)
    for number in numbers:
        draw_normals(folder, shots=number, seed=0)  # refused before the first fit, not after the last
    runs: dict[str, list[EvaluationRun]] = {}
    for number, seed in _draws(numbers, settings.seeds):
        label = ALL if number is None else str(number)
        with show_progress(f"{label} normals, seed {seed}", len(folder.samples)) as tick:
            run = evaluate(folder, settings, shots=number, seed=seed, progress=replace(progress, tick=tick))
        runs.setdefault(label, []).append(run)
    return EvaluationSeries(folder, settings, runs)


def set_threads(count: int) -> None:
    """Limit the network to some threads."""
    torch.set_num_threads(count)


def _draws(numbers: Sequence[Shots], seeds: int) -> Iterator[tuple[Shots, int]]:
    for number in numbers:
        for seed in range(1 if number is None else seeds):
            yield number, seed


def _without_lone_normal(shots: Sequence[Shots], notify: Notify) -> list[Shots]:
    """Leave out a lone normal if other numbers are given."""
    several = [number for number in shots if number != 1]
    if several and len(several) < len(shots):
        notify("1 normal: no teacher; nothing is left to hold out, so a threshold would be a guess. Left out")
        return several
    return list(shots)
