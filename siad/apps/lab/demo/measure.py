"""Comparison of both models on unseen cells.

Blocking: it runs in a worker thread after the stream.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from siad.apps.lab.demo.cells import LINE, PRODUCT, Cell
from siad.apps.lab.demo.releases import name_releases
from siad.apps.lab.demo.report import (
    DemoObservations,
    Measurements,
    make_report,
    segmenter_verdicts,
    teacher_verdicts,
)
from siad.apps.lab.demo.stream import PhaseTimes
from siad.contracts import keys
from siad.runtime.blobs.port import Blobs


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """Report of a demo, and its contact sheet."""

    report: dict[str, Any]
    sheet: Path | None  # None: no verdict to show


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Everything that measuring reads."""

    blobs: Blobs
    inference_url: str
    bus: str
    sheet: Path
    cells: Sequence[Cell]  # of the stream
    test: Sequence[Cell]  # never sent
    observations: DemoObservations
    times: PhaseTimes

    def run(self, normals: Sequence[str]) -> DemoResult:
        """Compute the report and draw the contact sheet.

        Args:
            normals: captures that the teacher was fitted on.
        """
        fitted_on = frozenset({*normals, *training_captures(self.blobs)})
        serials: dict[str, str] = {v.capture_id: v.serial for v in self.observations.verdicts}
        by_serial = {cell.serial: cell for cell in self.cells}
        cells = {capture: by_serial[serial] for capture, serial in serials.items() if serial in by_serial}
        models = self._compare()
        with httpx.Client(timeout=10.0) as client:
            weights = client.get(f"{self.inference_url}/v1/weights").json()
        self.times.end("measure")
        seconds = self.times.seconds
        measured = Measurements(
            bus=self.bus,
            fitted_on=fitted_on,
            longest_swap_pause_ms=weights["longest_pause_ms"],
            seconds=seconds | {"total": round(sum(seconds.values()), 1)},
            models=models,
        )
        report = make_report(self.observations, measured)
        return DemoResult(report=report, sheet=self._draw(report, cells, measured))

    def _compare(self) -> list[dict[str, Any]]:
        """Score the cells of the test by every model that served."""
        from siad.apps.lab.demo.compare import compare_models  # imports torch

        seen = self.observations
        named = name_releases(
            seen.releases, answered_at=seen.answered_at, answers=seen.answers, thresholds=seen.thresholds
        )
        return compare_models(self.blobs, named, self.test)

    def _draw(self, report: Mapping[str, Any], cells: Mapping[str, Cell], measured: Measurements) -> Path | None:
        """Draw the contact sheet of the model that judges at the end."""
        from siad.apps.lab.demo.sheet import write_sheet  # imports torch

        segmenter = segmenter_verdicts(self.observations.verdicts)
        verdicts = segmenter or teacher_verdicts(self.observations.pseudo_masks)
        unseen = {
            capture: (cells[capture], verdict)
            for capture, verdict in verdicts.items()
            if capture in cells and capture not in measured.fitted_on
        }
        weights = report["segmenter" if segmenter else "teacher"]["weights"]
        return self.sheet if write_sheet(self.sheet, self.blobs, unseen, weights=weights) else None


def training_captures(blobs: Blobs) -> set[str]:
    """Members of every training set, held-out ones included."""
    from pyarrow import parquet

    captures: set[str] = set()
    sets = (info for info in blobs.list(keys.training_sets_prefix(LINE, PRODUCT)) if keys.training_set_of(info.key))
    for info in sets:  # beside each is the list of its captures, for deletion
        table = parquet.read_table(io.BytesIO(blobs.get(info.key).data), columns=["capture_id"])
        captures |= set(table.column("capture_id").to_pylist())
    return captures
