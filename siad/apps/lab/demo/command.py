"""`siad demo`: everything started, taught, streamed through and measured, on this machine."""

import asyncio
import io
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from siad.apps.cli.up import BusOption, run_machine, wait_ready
from siad.apps.client import IngestClient, ProblemError
from siad.apps.lab.demo.cells import Cell, DemoShift, draw_shift, find_cells
from siad.apps.lab.demo.report import DemoObservations, ModelVerdict, make_report, segmenter_opinions, teacher_opinions
from siad.apps.lab.demo.run import LINE, PRODUCT, PhaseTimes, StreamPace, ask_again, stream, teach
from siad.apps.lab.demo.watch import wait_complete, watch
from siad.apps.local.machine import Machine, locked
from siad.apps.local.which_bus import BusKind
from siad.contracts import keys
from siad.contracts.errors import TransientError
from siad.contracts.events import Intent, WeightsKind
from siad.contracts.place import Place
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.settings import BusSettings
from siad.runtime.store.registry import Registry

NORMALS = 20
BUDGET = 0.1  # share of good cells that may be rejected; 20 normals can promise no less than 1/21, and hardly that
DATA = Path("var/demo")
SHEET = "sheet.png"
DRAIN_S = 120.0  # for what is still on its way when the stream ends
STAGE_SETTINGS = {
    "SIAD_TRAINER_CAPTURES_MIN": "150",  # 40 s of stream, so that the swap comes while it runs
    "SIAD_TRAINER_COOLDOWN_S": "120",  # a refused candidate has a successor while cells last; an accepted one has none
    "SIAD_TRAINER_PLAN_EVERY_S": "2",
}

console = Console()


@dataclass(slots=True)
class DemoRun:
    """One run of the demo on a machine that is up."""

    machine: Machine
    shift: DemoShift
    pace: StreamPace
    phases: PhaseTimes
    seen: DemoObservations = field(default_factory=DemoObservations)
    report: dict[str, Any] = field(default_factory=dict)

    async def __call__(self, machine: Machine) -> None:
        """Run all phases; ``report`` holds the result."""
        await wait_ready(machine, _say)
        self.phases.end("start")
        os.environ.update(machine.env)
        bus, blobs = open_bus(BusSettings.load()), open_blobs(StoreSettings.load())
        async with IngestClient(machine.url("ingest")) as ingest:
            await ingest.put_line(LINE, {"product": PRODUCT, "false_reject_budget": BUDGET})
            watching = asyncio.create_task(watch(bus, self.seen))
            try:
                normals = await self._teach(ingest, blobs)
                await self._stream(ingest)
                await self._drain()
                await self._measure(blobs, normals)
            finally:
                watching.cancel()

    async def _teach(self, ingest: IngestClient, blobs: Blobs) -> list[str]:
        async def send(cell: Cell, intent: Intent) -> str:
            return await _send(ingest, cell, intent)

        async def is_taught() -> bool:
            return await _is_taught(self.machine, blobs, normals=len(self.shift.normals))

        _say(f"line {LINE}: sending {len(self.shift.normals)} normal cells, no labels; the teacher is fitted on them")
        normals = await teach(self.shift.normals, send=send, is_taught=is_taught)
        self.phases.end("teach")
        _say(f"the teacher judges, {self.phases.seconds['teach']:g} s after the first normal")
        return normals

    async def _stream(self, ingest: IngestClient) -> None:
        async def send(cell: Cell, intent: Intent) -> str:
            return await _send(ingest, cell, intent)

        words = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        columns = [TextColumn(one) if isinstance(one, str) else one for one in words]
        with Progress(*columns, console=console) as bars:
            sent = bars.add_task("cells sent", total=len(self.shift.stream))
            judged = bars.add_task("verdicts", total=len(self.shift.stream))
            labelled = bars.add_task("pseudo-masks", total=len(self.shift.stream))
            after = bars.add_task("by the segmenter", total=self.pace.after_swap)
            told = False

            def tell(seen: DemoObservations, by_segmenter: int) -> None:
                nonlocal told
                bars.update(sent, completed=len(seen.sent))
                bars.update(judged, completed=len(seen.judged()))
                bars.update(labelled, completed=len(seen.labelled()))
                bars.update(after, completed=min(by_segmenter, self.pace.after_swap))
                if by_segmenter and not told:
                    told = True
                    bars.console.print(f"  the segmenter took over after {len(seen.sent)} cells, while the stream runs")

            await stream(self.shift.stream, pace=self.pace, send=send, seen=self.seen, tell=tell)
        self.phases.end("stream")

    async def _drain(self) -> None:
        _say("the stream is over; waiting for what is still on its way")
        if not await wait_complete(self.seen, timeout_s=DRAIN_S):
            _say(f"[red]not everything came within {DRAIN_S:g} s; the report says what is missing")
        self.phases.end("drain")

    async def _measure(self, blobs: Blobs, normals: Sequence[str]) -> None:
        """Both models on cells that neither learned from; what the teacher judged live the segmenter is asked now."""
        _say("holding both models against the experts' labels, on cells that neither learned from")
        fitted_on = {*normals, *await asyncio.to_thread(training_captures, blobs)}
        by_serial = {cell.serial: cell for cell in self.shift.stream}
        live = {v.capture_id for v in self.seen.verdicts if v.weights_kind is WeightsKind.SEGMENTER}
        serials: dict[str, str] = {v.capture_id: v.serial for v in self.seen.verdicts}
        again = [
            (capture, by_serial[serials[capture]])
            for capture in self.seen.sent
            if capture not in fitted_on and capture not in live and capture in serials
        ]
        asked = await ask_again(self.machine.url("inference"), again) if live else {}
        async with httpx.AsyncClient(timeout=10.0) as client:
            weights = (await client.get(f"{self.machine.url('inference')}/v1/weights")).json()
        self.phases.end("measure")
        self.report |= make_report(
            self.seen,
            bus=self.machine.bus,
            asked=asked,
            fitted_on=fitted_on,
            longest_swap_pause_ms=weights["longest_pause_ms"],
            seconds=self.phases.seconds | {"total": round(sum(self.phases.seconds.values()), 1)},
        )
        cells = {capture: by_serial[serial] for capture, serial in serials.items() if serial in by_serial}
        await self._draw(blobs, cells, asked, fitted_on)

    async def _draw(
        self, blobs: Blobs, cells: dict[str, Cell], asked: dict[str, ModelVerdict], fitted_on: set[str]
    ) -> None:
        """The contact sheet of the model that judges at the end."""
        from siad.apps.lab.demo.sheet import write_sheet  # torch takes seconds, which the start need not wait for

        segmenter = {**asked, **segmenter_opinions(self.seen.verdicts)}
        opinions = segmenter or teacher_opinions(self.seen.pseudo_masks)
        judged = {capture: (cells[capture], said) for capture, said in opinions.items() if capture in cells}
        unseen = {capture: one for capture, one in judged.items() if capture not in fitted_on}
        weights = self.report["segmenter" if segmenter else "teacher"]["weights"]
        path = self.machine.data / SHEET
        if await asyncio.to_thread(write_sheet, path, blobs, unseen, weights=weights):
            _say(f"contact sheet, worst misses and false rejects first: {path}")


def demo(
    data: Annotated[
        Path, typer.Option("--data", help="Folder of the demo; what an earlier one left is removed.")
    ] = DATA,
    rate: Annotated[float, typer.Option(min=0.5, max=50.0, help="Cells sent each second.")] = 4.0,
    cells: Annotated[int, typer.Option(min=300, help="Cells sent at most.")] = 1000,
    seed: Annotated[int, typer.Option(help="Which cells, and in which order.")] = 7,
    bus: BusOption = BusKind.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Run the whole loop here on real solar cells: teach, stream, train, swap; then say what happened."""
    try:
        _require_own_servers()
        shift = draw_shift(find_cells(), normals=NORMALS, stream=cells, seed=seed)
        with locked(data):
            for name in ("kafka", "embedded", "store", "ray", "logs"):
                shutil.rmtree(data / name, ignore_errors=True)
            run = DemoRun(Machine(data.resolve(), STAGE_SETTINGS, bus), shift, StreamPace(per_s=rate), PhaseTimes())
            run_machine(run.machine, run, say=_say)
    except (OSError, ValueError, RuntimeError, TransientError, ProblemError) as error:
        console.print(f"[red]{escape(str(error))}", highlight=False)
        raise typer.Exit(1) from error
    if not run.report:
        raise typer.Exit(130)
    path = data / "report.json"
    path.write_text(json.dumps(run.report, indent=2) + "\n")
    if as_json:
        print(json.dumps(run.report, indent=2))
    else:
        console.print(_table(run.report))
        _say(f"report: {path}; logs: {data / 'logs'}")
    if run.report["lost"] or run.report["lost_pseudo_masks"] or run.report["dead_letters"] or not run.report["swaps"]:
        raise typer.Exit(1)


def _require_own_servers() -> None:
    """The demo counts everything that a broker and a store hold, so both must be empty: it starts its own.

    Raises:
        ValueError: the environment names others.
    """
    named = [name for name in ("SIAD_BUS_BOOTSTRAP", "SIAD_STORE_BUCKET") if name in os.environ]
    if named:
        msg = f"the demo starts an empty broker and store of its own; nothing was started. Unset {', '.join(named)}."
        raise ValueError(msg)


def training_captures(blobs: Blobs) -> set[str]:
    """Captures that the segmenter was trained or held out on: members of every training set."""
    from pyarrow import parquet

    captures: set[str] = set()
    sets = (info for info in blobs.list(keys.training_sets_prefix(LINE, PRODUCT)) if keys.training_set_of(info.key))
    for info in sets:  # beside each lies the list of its captures, which retention reads
        table = parquet.read_table(io.BytesIO(blobs.get(info.key).data), columns=["capture_id"])
        captures |= set(table.column("capture_id").to_pylist())
    return captures


async def _is_taught(machine: Machine, blobs: Blobs, *, normals: int) -> bool:
    """Whether inference serves a teacher that was fitted on so many normals."""
    async with httpx.AsyncClient(timeout=10.0) as client:
        serving = (await client.get(f"{machine.url('inference')}/v1/weights")).json()["weights"]
    for one in serving:
        manifest = await asyncio.to_thread(Registry(blobs).manifest, Place(LINE, PRODUCT), one["weights"])
        if len(manifest.normals) >= normals:
            return True
    return False


async def _send(ingest: IngestClient, cell: Cell, intent: Intent) -> str:
    answer = await ingest.send_image(
        cell.path,
        line=LINE,
        intent=intent,
        serial=cell.serial,
        captured_at=datetime.now(UTC),
        idempotency_key=cell.serial,
    )
    return str(answer["capture_id"])


def _table(report: dict[str, Any]) -> Table:
    table = Table(title="SIAD demo: what happened", show_header=False)
    swap = f"{report['swaps']}, longest pause {report['longest_swap_pause_ms']:.1f} ms"
    times = report["seconds_to_verdict"]
    rows = {
        "bus": report["bus"],
        "cells streamed": report["images_sent"],
        "verdicts / pseudo-masks": f"{report['verdicts']} / {report['pseudo_masks']}",
        "lost / duplicated / dead letters": f"{report['lost']} / {report['duplicated']} / {report['dead_letters']}",
        "swaps while the stream ran": swap,
        "seconds to a verdict": ", ".join(f"{name} {seconds:g}" for name, seconds in times.items()),
        "judged by": ", ".join(f"{kind} {count}" for kind, count in report["judged_by"].items()),
        "seconds": ", ".join(f"{phase} {seconds:g}" for phase, seconds in report["seconds"].items()),
    }
    for model in ("teacher", "segmenter"):
        figures = report[model]
        if figures["image_auroc"] is not None:
            rows[f"{model} {figures['weights'][:12]}"] = (
                f"image AUROC {figures['image_auroc']:.3f}, finds {figures['detection_rate']:.0%} of full defects, "
                f"rejects {figures['false_reject_rate']:.1%} of good cells ({figures['captures']} unseen cells)"
            )
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def _say(text: str) -> None:
    console.print(f"[dim]siad[/] {text}", highlight=False)
