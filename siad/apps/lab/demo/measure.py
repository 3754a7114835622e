"""Comparison of both models on unseen cells.

Blocking: it runs in a worker thread after the stream.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from siad.apps.lab.demo.cells import LINE, PRODUCT, Cell
from siad.apps.lab.demo.releases import name_releases
from siad.apps.lab.demo.report import (
    DemoObservations,
    Measurements,
    ModelVerdict,
    make_report,
    segmenter_verdicts,
    teacher_verdicts,
)
from siad.apps.lab.demo.stream import PhaseTimes
from siad.contracts import keys
from siad.contracts.events import WeightsKind
from siad.runtime.blobs.port import Blobs

DIRECT_MAX: Final = 60  # cells that the segmenter judges on request; all of them took a minute and a half


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
        direct = self._ask_segmenter(cells, fitted_on)
        models = self._compare()
        with httpx.Client(timeout=10.0) as client:
            weights = client.get(f"{self.inference_url}/v1/weights").json()
        self.times.end("measure")
        seconds = self.times.seconds
        measured = Measurements(
            bus=self.bus,
            direct=direct,
            fitted_on=fitted_on,
            longest_swap_pause_ms=weights["longest_pause_ms"],
            seconds=seconds | {"total": round(sum(seconds.values()), 1)},
            models=models,
        )
        report = make_report(self.observations, measured)
        return DemoResult(report=report, sheet=self._draw(report, cells, measured))

    def _ask_segmenter(self, cells: Mapping[str, Cell], fitted_on: frozenset[str]) -> dict[str, ModelVerdict]:
        """Have the segmenter judge unseen cells that the teacher judged live."""
        live = {v.capture_id for v in self.observations.verdicts if v.weights_kind is WeightsKind.SEGMENTER}
        if not live:
            return {}
        open_captures = [
            capture
            for capture in self.observations.sent
            if capture in cells and capture not in fitted_on and capture not in live
        ][:DIRECT_MAX]
        verdicts: dict[str, ModelVerdict] = {}
        with httpx.Client(timeout=60.0) as client:
            for capture in open_captures:
                response = client.post(
                    f"{self.inference_url}/v1/lines/{LINE}/inspect",
                    content=cells[capture].path.read_bytes(),
                    headers={"Content-Type": "image/png"},
                )
                response.raise_for_status()
                body: dict[str, Any] = response.json()
                if body["weights_kind"] == WeightsKind.SEGMENTER:
                    verdicts[capture] = ModelVerdict(
                        score=body["score"], is_defect=body["decision"] == "reject", weights=body["weights"]
                    )
        return verdicts

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

        segmenter = {**measured.direct, **segmenter_verdicts(self.observations.verdicts)}
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
