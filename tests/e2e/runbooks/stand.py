"""A running machine with real images, a Prometheus, and a transcript."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import cv2
import httpx

from benchmarks.soak_processes import below
from siad.apps.client import CaptureInfo, IngestClient
from siad.apps.local.machine import Machine
from siad.contracts.fit_settings import FitSettings
from siad.contracts.place import Place
from siad.models.bundle import Bundle
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.vision.images import Image, decode_image
from tests.e2e.runbooks.monitor import Alerts
from tests.synthetic import release

NORMALS: Final = 12
INPUT_PX: Final = 128  # a small network: plays are about faults, not about defects
PRODUCT: Final = "cube"
STEADY_PER_S: Final = 1.0
SHOWN: Final = 6  # lines of a command's output in a transcript
WIDTH: Final = 118  # characters of a line in a transcript
Change = Callable[[Image], Image]


def png(image_HWC: Image) -> bytes:
    """Encode an image as a camera would send it."""
    done, data = cv2.imencode(".png", image_HWC[:, :, ::-1] if image_HWC.shape[2] == 3 else image_HWC)
    assert done, "an image of 8 bits can be written"
    return bytes(data)


@dataclass(slots=True)
class Stand:
    """What a play works on."""

    machine: Machine
    alerts: Alerts
    client: IngestClient
    images: Path  # a folder in MVTec-AD's layout
    lines: list[str] = field(default_factory=list)  # of the transcript
    failed: set[str] = field(default_factory=set)  # alerts that did not fire or end, of a play that went on
    normals: list[Image] = field(default_factory=list)
    _good: list[Image] = field(default_factory=list)
    _sent: int = 0

    def blobs(self) -> Blobs:
        """Open the store of the machine."""
        return open_blobs(StoreSettings.of({k: v for k, v in self.machine.env.items() if k.startswith("SIAD_STORE_")}))

    def load(self) -> None:
        """Decode the good images, in random order; the first are normals."""
        paths = sorted((self.images / "train/good").iterdir())
        random.Random(0).shuffle(paths)
        decoded = [decode_image(path.read_bytes()) for path in paths]
        self.normals, self._good = decoded[:NORMALS], decoded[NORMALS:]

    def good(self, number: int) -> list[Image]:
        """So many good images, from the first on."""
        return list(islice(cycle(self._good), number))

    def defective(self, number: int) -> list[Image]:
        """So many images with a real defect."""
        paths = sorted(path for path in (self.images / "test").glob("*/*") if path.parent.name != "good")
        return [decode_image(path.read_bytes()) for path in islice(cycle(paths), number)]

    def note(self, text: str) -> None:
        """Add to the transcript, with the time of day."""
        for number, line in enumerate(text.splitlines()):
            head = time.strftime("%H:%M:%S", time.gmtime()) if number == 0 else " " * 8
            self.lines.append(f"{head}  {line}"[:WIDTH].rstrip())
            print(self.lines[-1], flush=True)

    async def teach(self, lines: Iterable[str]) -> None:
        """Register lines, and release a teacher of the normals for each."""
        named = [f"{number:032x}" for number in range(len(self.normals))]
        normals = Normals.ordered(self.normals, named, Place("any", PRODUCT))
        settings = FitSettings(false_reject_budget=0.05, input_px=INPUT_PX)
        fitted = await asyncio.to_thread(fit_teacher, normals, settings)
        blobs = self.blobs()
        for line in lines:
            await self.client.put_line(line, {"product": PRODUCT, "input_px": INPUT_PX, "learning": "off"})
            one = Bundle(replace(fitted.manifest, line=line), fitted.parts)
            await asyncio.to_thread(release, blobs, one)

    async def until_taught(self, lines: Iterable[str], within_s: float) -> None:
        """Wait until inference serves a teacher for each line."""
        left = set(lines)
        async with asyncio.timeout(within_s), httpx.AsyncClient(base_url=self.machine.url("inference")) as http:
            while left:
                with suppress(httpx.TransportError):  # it starts again
                    left -= {one["line"] for one in (await http.get("/v1/weights")).json()["weights"]}
                await asyncio.sleep(1.0)

    async def send(self, line: str, images: Sequence[Image], *, change: Change | None = None) -> list[str]:
        """Send images to inspect, one after the other; returns the captures."""
        captures = []
        for image in images:
            self._sent += 1
            data = png(change(image) if change else image)
            info = CaptureInfo(idempotency_key=f"{line}-{self._sent}")
            captures.append((await self.client.send_image(data, line=line, info=info))["capture_id"])
        return captures

    async def stream(self, line: str) -> None:
        """Send good images without end."""
        for image in cycle(self._good):
            await self.send(line, [image])
            await asyncio.sleep(1 / STEADY_PER_S)

    async def expect(self, name: str, within_s: float, *, line: str = "") -> None:
        """Wait for an alert, and note it with its summary."""
        self.note(f"firing {name}: {await self.alerts.until_firing(name, within_s, line=line)}")

    async def cleared(self, name: str, within_s: float, *, line: str = "") -> None:
        """Wait for the end of an alert, and note it."""
        await self.alerts.until_clear(name, within_s, line=line)
        self.note(f"{name} no longer fires")

    async def siad(self, *arguments: str, keep: str = "") -> str:
        """Run a command of the page, and note the first lines of what it prints.

        Args:
            arguments: of `siad`, without ``--data``.
            keep: only lines with this text are noted.
        """
        self.note(f"$ siad {' '.join(arguments)}")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "siad.apps.cli", *arguments, "--data", str(self.machine.data)),
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        text = output.decode(errors="replace").replace(str(self.machine.data), "var/siad")
        shown = [line.rstrip() for line in text.splitlines() if line.strip() and keep in line]
        for line in shown[:SHOWN]:
            self.lines.append(f"{' ' * 10}{line}"[:WIDTH].rstrip())
        return text

    def stage_pid(self, stage: str) -> int:
        """Process of a stage."""
        pid = self.machine.stages[stage].pid
        assert pid is not None, f"{stage} does not run"
        return pid

    def node_pids(self, node: str) -> list[int]:
        """Processes of a node, its children included."""
        process: Any = self.machine.nodes[node]
        pid = process._process.pid
        return [pid, *below(pid)]

    def freeze(self, pids: Iterable[int]) -> None:
        """Stop processes without ending them, as a hanging disk or machine does."""
        _signal(pids, signal.SIGSTOP)

    def thaw(self, pids: Iterable[int]) -> None:
        """Let processes go on."""
        _signal(pids, signal.SIGCONT)

    def kill(self, pids: Iterable[int]) -> None:
        """Kill processes; the supervisor of the machine starts them again."""
        _signal(pids, signal.SIGKILL)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
