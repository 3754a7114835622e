"""Inference as a process, on a real broker and a real store: a stream, a swap in its middle, and weights refused."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from siad.contracts.codec import decode, encode
from siad.contracts.events import Decision, SegmenterReleased, TeacherReleased, VerdictGiven, WeightsKind
from siad.contracts.ids import CaptureId
from siad.contracts.keys import part_key
from siad.contracts.topics import LINE, SEGMENTER, TEACHER, TOPICS, VERDICT
from siad.models.bundle import Bundle
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Bus, Message, Producer
from tests import synthetic
from tests.e2e.harness import Plant, StageProcess
from tests.fixtures.kafka import BUSES, OwnBus, own_bus, quick_settings
from tests.synthetic import bundle, image_message, part_image, png, store_capture

pytestmark = pytest.mark.slow


@pytest.fixture(params=BUSES)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnBus]:
    """A broker of its own: these tests own the names of the topics."""
    with own_bus(request.param, tmp_path) as bus:
        yield bus


@dataclass
class Stream:
    """Sends captures, gathers verdicts."""

    blobs: S3Blobs
    producer: Producer
    bus: Bus
    sent: dict[CaptureId, bool] = field(default_factory=dict)  # capture -> has a defect
    verdicts: list[VerdictGiven] = field(default_factory=list)

    async def send(self, count: int, *, pause_s: float = 0.0) -> None:
        for _ in range(count):
            number = len(self.sent)
            defect = number % 4 == 0
            data = png(part_image(number, defect=defect))
            event = await asyncio.to_thread(store_capture, self.blobs, data, key=f"{number}")
            self.sent[event.capture_id] = defect
            await self.producer.publish([image_message(event)])
            await asyncio.sleep(pause_s)

    async def release(self, place: Bundle) -> None:
        pointer = await asyncio.to_thread(synthetic.release, self.blobs, place)
        kind = TeacherReleased if pointer.kind is WeightsKind.TEACHER else SegmenterReleased
        status = {} if pointer.kind is WeightsKind.TEACHER else {"status": pointer.status}
        event = kind(
            line=pointer.line,
            product=pointer.product,
            revision=pointer.revision,
            weights=pointer.weights,
            released_at=pointer.released_at,
            **status,
        )
        topic = TEACHER if pointer.kind is WeightsKind.TEACHER else SEGMENTER
        key = f"{pointer.line}/{pointer.product}"
        await self.producer.publish([Message(topic=topic.name, key=key, value=encode(event))])

    async def gather(self) -> None:
        async with self.bus.consumer([VERDICT.name], group="test", start="earliest") as consumer:
            while True:
                for record in await consumer.poll(max_records=500, timeout_s=0.2):
                    self.verdicts.append(decode(VerdictGiven, record.value))

    async def until_all_judged(self) -> None:
        async with asyncio.timeout(60):
            while not self.sent.keys() <= {verdict.capture_id for verdict in self.verdicts}:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def streaming(bus: Bus, blobs: S3Blobs) -> AsyncIterator[Stream]:
    await bus.create_topics(list(TOPICS))
    async with bus.producer() as producer:
        stream = Stream(blobs, producer, bus)
        settings = synthetic.settings()
        await producer.publish([Message(topic=LINE.name, key=settings.line, value=encode(settings))])
        gathering = asyncio.create_task(stream.gather())
        try:
            yield stream
        finally:
            gathering.cancel()


async def until_serving(stage: StageProcess, weights: str) -> None:
    async with asyncio.timeout(30):
        while weights not in (await stage.get("/v1/weights")).text:
            await asyncio.sleep(0.05)


async def until_refused(stage: StageProcess, weights: str) -> None:
    async with asyncio.timeout(30):
        while weights not in [entry["weights"] for entry in stage.logged("weights_refused")]:
            await asyncio.sleep(0.05)


async def test_a_segmenter_takes_over_in_mid_stream_and_damaged_weights_do_not(
    broker: OwnBus, store_env: Mapping[str, str], s3_blobs: S3Blobs, tmp_path: Path
) -> None:
    teacher, segmenter, damaged = (
        bundle(kind, seed=seed)
        for seed, kind in enumerate((WeightsKind.TEACHER, WeightsKind.SEGMENTER, WeightsKind.SEGMENTER), start=11)
    )
    plant = Plant(tmp_path, {"SIAD_BUS_BOOTSTRAP": broker.bootstrap, **store_env})
    inference = plant.add("inference", poll_s="1")
    bus = open_bus(quick_settings(broker.bootstrap))
    async with streaming(bus, s3_blobs) as stream:
        await stream.release(teacher)
        await stream.send(10)  # before any stage judges
        async with plant.running():
            await stream.send(30, pause_s=0.01)
            sending = asyncio.create_task(stream.send(80, pause_s=0.02))
            await stream.release(segmenter)
            await until_serving(inference, segmenter.manifest.weights)
            await sending
            part = damaged.manifest.part("memory.safetensors")
            await asyncio.to_thread(synthetic.release, s3_blobs, damaged)
            await asyncio.to_thread(s3_blobs.put, part_key(part.sha256), b"x" * part.size_bytes)
            await until_refused(inference, damaged.manifest.weights)
            await stream.send(20)
            await stream.until_all_judged()
            metrics = await inference.metrics()
            told = (await inference.get("/v1/weights")).json()
        assert await inference.stop() == 0
    judged = {verdict.capture_id: verdict for verdict in stream.verdicts}
    assert len(stream.verdicts) == len(judged) == len(stream.sent) == 140
    assert {capture: v.decision is Decision.REJECT for capture, v in judged.items()} == stream.sent
    order = [judged[capture].weights for capture in stream.sent]
    assert order[:10] == [teacher.manifest.weights] * 10
    assert order[-20:] == [segmenter.manifest.weights] * 20
    assert set(order) == {teacher.manifest.weights, segmenter.manifest.weights}
    assert (told["swaps"], told["weights"][0]["previous"]) == (1, teacher.manifest.weights)
    (swap,) = inference.logged("weights_swapped")
    assert swap["pause_ms"] == told["longest_pause_ms"]
    assert 0 < swap["pause_ms"] < 50
    assert metrics["siad_inference_swap_pause_seconds_count"] == 1.0
    assert sum(v for name, v in metrics.items() if name.startswith("siad_inference_verdicts_total")) == 140
    traced = [entry for entry in inference.logged("judged") if len(entry["traceparent"]) == 55 and entry["capture_id"]]
    assert {entry["capture_id"] for entry in traced} == judged.keys()
