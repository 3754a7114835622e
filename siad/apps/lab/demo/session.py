"""One demo on a running machine: fit, stream, drain, measure."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from siad.apps.client import CaptureInfo, IngestClient
from siad.apps.console_client import ConsoleClient
from siad.apps.lab.demo.cells import LINE, PRODUCT, Cell, DemoShift
from siad.apps.lab.demo.measure import DemoResult, Measurement
from siad.apps.lab.demo.observe import observe_then_measure, wait_complete
from siad.apps.lab.demo.output import DemoOutput
from siad.apps.lab.demo.report import DemoObservations
from siad.apps.lab.demo.reviewer import answer_cells, wait_for
from siad.apps.lab.demo.stream import PhaseTimes, StreamPace, send_normals, stream
from siad.apps.local.machine import Machine
from siad.apps.local.run import wait_ready
from siad.contracts.events import Intent, WeightsKind
from siad.contracts.place import Place
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.settings import BusSettings
from siad.runtime.store.registry import Registry

NORMALS = 20
BUDGET = 0.1  # fraction of good cells that may be rejected; of 20 normals it is an estimate
SHEET = "sheet.png"
ANSWERS = 20  # of the simulated reviewer
LEARN_S = 100.0  # for a model that learned from the answers; the demo goes on without one
TEST = 60  # cells of each label that are never sent
DRAIN_S = 120.0  # for captures in flight when the stream ends
STAGE_SETTINGS = {
    "SIAD_TRAINER_CAPTURES_MIN": "150",  # 40 s of stream, so that the swap happens while it runs
    "SIAD_TRAINER_COOLDOWN_S": "60",  # a refused candidate gets a successor while cells last, and answers a run
    "SIAD_TRAINER_PLAN_EVERY_S": "2",
    "SIAD_AUTH": "off",  # the demo asks the stages of its own machine
}


@dataclass(slots=True)
class DemoRun:
    """One run of the demo."""

    shift: DemoShift
    pace: StreamPace
    output: DemoOutput
    times: PhaseTimes = field(default_factory=PhaseTimes)
    observations: DemoObservations = field(default_factory=DemoObservations)
    result: DemoResult | None = None  # None: it was interrupted

    async def __call__(self, machine: Machine) -> None:
        """Run all phases; ``result`` holds the outcome."""
        await wait_ready(machine, self.output.notify)
        self.times.end("start")
        os.environ.update(machine.env)
        blobs, normals = open_blobs(StoreSettings.load()), list[str]()
        measurement = Measurement(
            blobs=blobs,
            inference_url=machine.url("inference"),
            bus=machine.bus,
            sheet=machine.data / SHEET,
            cells=self.shift.stream,
            test=self.shift.test,
            observations=self.observations,
            times=self.times,
        )

        async def work() -> None:
            async with IngestClient(machine.url("ingest")) as ingest:
                # every cell is labelled, so that teacher and segmenter are compared on all of them
                settings = {"product": PRODUCT, "false_reject_budget": BUDGET, "labelled_share": 1.0}
                await ingest.put_line(LINE, settings)
                normals.extend(await self._fit(ingest, machine, blobs))
                await self._stream(ingest)
            await self._drain()
            await self._answer(machine.url("console"))
            self.output.notify("comparing all models with the experts' labels, on cells that were never sent")

        self.result = await observe_then_measure(
            open_bus(BusSettings.load()), self.observations, work=work, measure=lambda: measurement.run(normals)
        )
        if self.result.sheet is not None:
            self.output.notify(f"contact sheet, worst misses and false rejects first: {self.result.sheet}")

    async def _fit(self, ingest: IngestClient, machine: Machine, blobs: Blobs) -> list[str]:
        """Send the normals, and wait for the teacher."""

        async def send(cell: Cell, intent: Intent) -> str:
            return await _send(ingest, cell, intent)

        async def is_fitted() -> bool:
            return await _is_fitted(machine.url("inference"), blobs, normals=len(self.shift.normals))

        count = len(self.shift.normals)
        self.output.notify(f"line {LINE}: sending {count} normal cells without labels; the teacher is fitted on them")
        normals = await send_normals(self.shift.normals, send=send, is_fitted=is_fitted)
        self.times.end("teach")
        self.output.notify(f"the teacher serves, {self.times.seconds['teach']:g} s after the first normal")
        return normals

    async def _stream(self, ingest: IngestClient) -> None:
        async def send(cell: Cell, intent: Intent) -> str:
            return await _send(ingest, cell, intent)

        cells = self.shift.stream
        with self.output.stream_progress(cells=len(cells), after_swap=self.pace.after_swap) as bars:
            await stream(cells, pace=self.pace, send=send, observations=self.observations, on_progress=bars.show)
        self.times.end("stream")

    async def _drain(self) -> None:
        self.output.notify("the stream has ended; waiting for captures in flight")
        if not await wait_complete(self.observations, timeout_s=DRAIN_S):
            self.output.notify(f"[red]some captures are not done after {DRAIN_S:g} s; the report counts them as lost")
        self.times.end("drain")

    async def _answer(self, console_url: str) -> None:
        """Have the simulated reviewer answer, and wait for what learns from it."""
        seen = self.observations
        seen.answered_at = datetime.now(UTC)
        async with ConsoleClient(console_url) as console:
            seen.answers = await answer_cells(console, self.shift.stream, count=ANSWERS)
        self.output.notify(f"simulated reviewer (the experts' labels): {seen.answers} answers; waiting for what learns")
        since = seen.answered_at
        learned = await wait_for(
            lambda: any(one.kind is WeightsKind.SEGMENTER and one.released_at > since for one in seen.releases),
            timeout_s=LEARN_S,
        )
        if not learned:
            self.output.notify(f"no segmenter was released within {LEARN_S:g} s: the gate refused it, or it trains yet")
        self.times.end("answer")


def require_own_servers(env: Mapping[str, str]) -> None:
    """Refuse a broker or store of the user.

    The demo counts everything in broker and store, so it starts empty ones.

    Raises:
        ValueError: the environment names a broker or a store.
    """
    named = [name for name in ("SIAD_BUS_BOOTSTRAP", "SIAD_STORE_BUCKET") if name in env]
    if named:
        msg = f"the demo starts an empty broker and store of its own; nothing was started. Unset {', '.join(named)}"
        raise ValueError(msg)


async def _is_fitted(inference_url: str, blobs: Blobs, *, normals: int) -> bool:
    """Whether inference serves a teacher that was fitted on so many normals."""
    async with httpx.AsyncClient(timeout=10.0) as client:
        serving = (await client.get(f"{inference_url}/v1/weights")).json()["weights"]
    for one in serving:
        manifest = await asyncio.to_thread(Registry(blobs).manifest, Place(LINE, PRODUCT), one["weights"])
        if len(manifest.normals) >= normals:
            return True
    return False


async def _send(ingest: IngestClient, cell: Cell, intent: Intent) -> str:
    info = CaptureInfo(intent=intent, serial=cell.serial, captured_at=datetime.now(UTC), idempotency_key=cell.serial)
    response = await ingest.send_image(cell.path, line=LINE, info=info)
    return str(response["capture_id"])
