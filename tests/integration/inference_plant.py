"""Inference between a broker and a store in memory, with real weights and real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from services.inference.app import assemble
from services.inference.settings import InferenceSettings
from siad.contracts.codec import decode, encode
from siad.contracts.events import SegmenterReleased, SegmenterStatus, TeacherReleased, VerdictGiven, WeightsKind
from siad.contracts.pointer import Pointer
from siad.contracts.topics import IMAGE, LINE, SEGMENTER, TEACHER, VERDICT, dead_letter
from siad.models.bundle import Bundle
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Message
from siad.runtime.worker import StageProcess, serve
from tests import synthetic
from tests.synthetic import bundle, image_message, part_image, png, store_capture

TOPICS = [LINE, IMAGE, TEACHER, SEGMENTER, VERDICT, dead_letter("inference")]
T1, T2 = bundle(seed=1), bundle(seed=2)
S1 = bundle(WeightsKind.SEGMENTER, seed=3)
T1_ID, T2_ID, S1_ID = T1.manifest.weights, T2.manifest.weights, S1.manifest.weights


@dataclass
class Plant:
    """One broker, one store, and inference between them."""

    bus: MemoryBus = field(default_factory=lambda: MemoryBus(partitions=2))
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    http: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)
    sent: int = 0

    async def send(self, *messages: Message) -> None:
        async with self.bus.producer() as producer:
            await producer.publish(messages)

    async def make_line(self, **changes: Any) -> None:
        settings = synthetic.settings(**changes)
        await self.send(Message(topic=LINE.name, key=settings.line, value=encode(settings)))

    async def release(self, place: Bundle, *, status: SegmenterStatus = SegmenterStatus.SERVING) -> None:
        await self.tell(synthetic.release(self.blobs, place, status=status))

    async def tell(self, pointer: Pointer) -> None:
        told: dict[str, Any] = {
            "line": pointer.line,
            "product": pointer.product,
            "revision": pointer.revision,
            "weights": pointer.weights,
            "released_at": pointer.released_at,
        }
        if pointer.kind is WeightsKind.TEACHER:
            value, topic = encode(TeacherReleased(**told)), TEACHER.name
        else:
            value, topic = encode(SegmenterReleased(**told, status=pointer.status)), SEGMENTER.name
        await self.send(Message(topic=topic, key=f"{pointer.line}/{pointer.product}", value=value))

    async def capture(self, data: bytes | None = None, *, defect: bool = False, **changes: Any) -> str:
        self.sent += 1
        data = data or png(part_image(self.sent, defect=defect))
        event = store_capture(self.blobs, data, key=str(self.sent))
        event = replace(event, **changes)
        await self.send(image_message(event))
        return event.capture_id

    def verdicts(self) -> dict[str, VerdictGiven]:
        return {v.capture_id: v for v in (decode(VerdictGiven, r.value) for r in self.bus.records(VERDICT.name))}

    async def verdict(self, capture: str) -> VerdictGiven:
        async with asyncio.timeout(10):
            while (found := self.verdicts().get(capture)) is None:
                await asyncio.sleep(0.01)
        return found

    async def until_serving(self, weights: str) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while True:
                told: dict[str, Any] = (await self.http.get("/v1/weights")).json()
                if weights in [one["weights"] for one in told["weights"]]:
                    return told
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def running(self, **changes: Any) -> AsyncIterator[StageProcess]:
        settings = InferenceSettings(**{"http_port": 0, "poll_s": 0.2, "drain_s": 2.0, **changes})
        stage = StageProcess("inference", settings)
        serving = asyncio.create_task(
            serve(stage, lambda stage: assemble(stage, settings, bus=self.bus, blobs=self.blobs))
        )
        try:
            while stage.port is None and not serving.done():
                await asyncio.sleep(0.01)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stage.port}", timeout=20) as self.http:
                async with asyncio.timeout(20):
                    while (await self.http.get("/readyz")).status_code != 200 and not serving.done():
                        await asyncio.sleep(0.02)
                yield stage
        finally:
            stage.stop.set()
            await serving
