"""Phases of a running `siad up`: what captures cost each role.

Every process below this one is watched; CPU is read from /proc. A phase lasts until all that was sent is judged,
so that a backlog counts. Idle cost is measured with every line registered.
"""

import asyncio
import itertools
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import cv2
import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.soak_processes import below, name_of, rss_mb
from benchmarks.store_traffic import StoreTraffic
from siad.apps.client import CaptureInfo, IngestClient
from siad.apps.local.machine import Machine
from siad.contracts.fit_settings import FitSettings
from siad.contracts.place import Place
from siad.models.bundle import Bundle, open_bundle
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.vision.images import decode_image
from tests.synthetic import release

TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
IDLE_S: Final = 30.0
NORMALS: Final = 10
PRODUCT: Final = "part"
STAGES: Final = ("ingest", "labeler", "console", "trainer", "inference")
DRAIN_S: Final = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What one phase did and used."""

    lines: int
    captures: int
    megapixels: float
    seconds: float
    cpu_s: Mapping[str, float]  # by role
    memory_mb: Mapping[str, float]  # at the end
    requests: Mapping[str, int]  # to the store, by method
    sent_bytes: int
    received_bytes: int
    broker_bytes: int  # that the broker's logs grew

    @property
    def cores(self) -> float:
        """Cores in use, on average."""
        return sum(self.cpu_s.values()) / self.seconds


def role_of(process: str) -> str:
    """Role of the model that a process belongs to."""
    if process in STAGES:
        return process
    known = {"broker (Kafka)": "broker", "store (SeaweedFS)": "store"}
    if process in known:
        return known[process]
    return "scorer" if process.startswith(("Ray", "scorer")) else "other"


@dataclass(slots=True)
class Meter:
    """Reads processes, store traffic and logs before and after a phase."""

    machine: Machine
    traffic: StoreTraffic
    _roles: dict[int, str] = field(default_factory=dict)  # by process, since names of ended ones can't be read

    async def phase(self, client: IngestClient, sent: Mapping[str, Sequence[bytes]], *, megapixels: float) -> Phase:
        """Send images, wait until all is done, and measure.

        With nothing to send it waits, which measures the idle cost.

        Args:
            client: of ingest.
            sent: images by line.
            megapixels: of each image.
        """
        before = await self._read()
        began_s = time.monotonic()
        captures = 0
        async with asyncio.TaskGroup() as group:
            for line, images in sent.items():
                group.create_task(_send(client, line, images))
                captures += len(images)
        await (self._drained(captures, before.judged) if captures else asyncio.sleep(IDLE_S))
        seconds = time.monotonic() - began_s
        after = await self._read()
        cpu_s: dict[str, float] = defaultdict(float)
        for pid, used_s in after.cpu_s.items():
            cpu_s[self._roles[pid]] += used_s - before.cpu_s.get(pid, 0.0)
        memory: dict[str, float] = defaultdict(float)
        for pid in after.cpu_s:
            memory[self._roles[pid]] += rss_mb(pid) or 0.0
        return Phase(
            lines=len(sent),
            captures=captures,
            megapixels=megapixels,
            seconds=round(seconds, 1),
            cpu_s={role: round(used, 2) for role, used in sorted(cpu_s.items()) if role != "other"},
            memory_mb={role: round(found) for role, found in sorted(memory.items()) if role != "other"},
            requests={name: after.requests[name] - before.requests.get(name, 0) for name in after.requests},
            sent_bytes=after.sent_bytes - before.sent_bytes,
            received_bytes=after.received_bytes - before.received_bytes,
            broker_bytes=after.broker_bytes - before.broker_bytes,
        )

    async def _read(self) -> "_Reading":
        cpu_s = cpu_by_process()
        for pid in cpu_s:
            if self._roles.get(pid, "other") == "other":
                self._roles[pid] = role_of(name_of(pid))
        size = await asyncio.to_thread(_size_of_logs, self.machine.data / "kafka")
        return _Reading(
            cpu_s=cpu_s,
            requests=dict(self.traffic.requests),
            sent_bytes=self.traffic.sent_bytes,
            received_bytes=self.traffic.received_bytes,
            broker_bytes=size,
            judged=await self._metric("inference", "siad_inference_verdicts_total"),
        )

    async def _metric(self, stage: str, name: str) -> float:
        async with httpx.AsyncClient(base_url=self.machine.url(stage), timeout=60) as http:
            text = (await http.get("/metrics")).text
        families = text_string_to_metric_families(text)
        return sum(one.value for family in families for one in family.samples if one.name == name)

    async def _drained(self, captures: int, before: float) -> None:
        async with asyncio.timeout(DRAIN_S):
            while await self._metric("inference", "siad_inference_verdicts_total") - before < captures:
                await asyncio.sleep(1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    cpu_s: Mapping[int, float]
    requests: Mapping[str, int]
    sent_bytes: int
    received_bytes: int
    broker_bytes: int
    judged: float


def cpu_by_process() -> dict[int, float]:
    """CPU seconds of every process below this one."""
    found = {}
    for pid in below(os.getpid()):
        with suppress(OSError, IndexError):
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = sum(int(word) for word in words[11:13]) * TICK_S
    return found


def _size_of_logs(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.log") if path.is_file())


async def teach(machine: Machine, client: IngestClient, lines: Mapping[str, Sequence[bytes]]) -> dict[str, Bundle]:
    """Register lines, and release a teacher of the first images for each.

    Returns:
        The teacher of each line.
    """
    blobs = open_blobs(StoreSettings.of({k: v for k, v in os.environ.items() if k.startswith("SIAD_STORE_")}))
    fitted: dict[int, Bundle] = {}  # one fit for equal images
    made = {}
    for line, images in lines.items():
        await client.put_line(line, {"product": PRODUCT, "learning": "off"})
        if id(images) not in fitted:
            decoded = [decode_image(data) for data in images[:NORMALS]]
            named = [f"{number:032x}" for number in range(NORMALS)]
            normals = Normals.ordered(decoded, named, Place(line, PRODUCT))
            fitted[id(images)] = await asyncio.to_thread(fit_teacher, normals, FitSettings(false_reject_budget=0.05))
        one = fitted[id(images)]
        made[line] = Bundle(replace(one.manifest, line=line), one.parts)
        await asyncio.to_thread(release, blobs, made[line])
    left = set(lines)
    async with asyncio.timeout(DRAIN_S), httpx.AsyncClient(base_url=machine.url("inference"), timeout=60) as http:
        while left:
            left -= {found["line"] for found in (await http.get("/v1/weights")).json()["weights"]}
            await asyncio.sleep(1.0)
    return made


def label_s(teacher: Bundle, images: Sequence[bytes]) -> float:
    """CPU of one pseudo-mask in this process, as a scorer draws it."""
    predictor = open_bundle(teacher.manifest, teacher.parts)
    predictor.predict([decode_image(images[0])])  # loads and compiles
    began_s = time.process_time()
    for data in images[1:]:
        (finding,) = predictor.predict([decode_image(data)])
        done, _ = cv2.imencode(".png", np.asarray(finding.mask_HW, np.uint8) * 255)
        assert done, "a mask of 8 bits can be written"
    return (time.process_time() - began_s) / (len(images) - 1)


_numbers = itertools.count()


async def _send(client: IngestClient, line: str, images: Iterable[bytes]) -> None:
    for data in images:
        await client.send_image(data, line=line, info=CaptureInfo(idempotency_key=f"{line}-{next(_numbers)}"))
