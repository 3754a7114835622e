"""The broker's data is deleted: the stages start on an empty one, and everything that is in the bucket goes on."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.trainer.adapters.ledger import ParquetLedger
from services.trainer.domain.ledger import rows_of
from siad.apps.client import CaptureInfo, IngestClient
from siad.apps.console_client import CaptureAnswer, ConsoleClient
from siad.apps.local.kafka.node import KafkaNode
from siad.apps.local.ports import free_ports
from siad.contracts.codec import decode, encode
from siad.contracts.events import PseudoMaskCreated, VerdictGiven
from siad.contracts.ids import CaptureId, ImageId, WeightsId
from siad.contracts.place import Place
from siad.contracts.topics import PSEUDO_MASK, VERDICT
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.kafka.bus import KafkaBus
from siad.runtime.bus.port import Message
from tests import synthetic
from tests.e2e.harness import Plant, wait_for
from tests.fixtures.kafka import quick_settings, require_kafka
from tests.synthetic import LINE, PRODUCT, bundle, part_image, png

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

WAIT_S = 150.0  # on a busy machine


@pytest.fixture
def node(tmp_path: Path) -> Iterator[KafkaNode]:
    """A broker whose data the test deletes."""
    require_kafka()
    node = KafkaNode(tmp_path / "kafka", free_ports(1)[0])
    node.start()
    yield node
    node.stop()


async def test_nothing_that_matters_is_lost_with_the_broker(
    node: KafkaNode, store_env: Mapping[str, str], s3_blobs: S3Blobs, tmp_path: Path
) -> None:
    weights = synthetic.release(s3_blobs, bundle(seed=5)).weights
    plant = plant_of(node, store_env, tmp_path)
    async with running(plant, weights), IngestClient(plant["ingest"].url) as ingest:
        await ingest.put_line(LINE, {"product": PRODUCT, "deadline_s": 30})
        before = await send(ingest, node, range(6))
        async with ConsoleClient(plant["console"].url) as console:
            await console.correct(LINE, before[0], CaptureAnswer(verdict="good", author="pat"))
        await label(node, before)
        await until_in_ledger(s3_blobs, {*before})
        await until_counted(plant, 6)

    node.stop()
    shutil.rmtree(tmp_path / "kafka")
    node.start()

    async with running(plant, weights), IngestClient(plant["ingest"].url) as ingest:
        assert (await ingest.get_line(LINE))["deadline_s"] == 30
        after = await send(ingest, node, range(6, 12))
        await label(node, after)
        await until_in_ledger(s3_blobs, {*before, *after})
        async with ConsoleClient(plant["console"].url) as console:
            (answer,) = await console.corrections(LINE, before[0])
        assert answer["verdict"] == "good"
        await until_counted(plant, 12)


def plant_of(node: KafkaNode, store_env: Mapping[str, str], folder: Path) -> Plant:
    """Every stage but the scorer, in whose place the test writes pseudo-masks."""
    plant = Plant(folder, {"SIAD_BUS_BOOTSTRAP": node.bootstrap, "RAY_ADDRESS": "127.0.0.1:9", **store_env})
    plant.add("ingest", announce_every_s="1")
    plant.add("labeler", scorer_url="http://127.0.0.1:9")
    plant.add("trainer", captures_min="1000000")
    plant.add("inference", poll_s="1")
    plant.add("console")
    return plant


@asynccontextmanager
async def running(plant: Plant, weights: str) -> AsyncIterator[None]:
    """Run every stage; the labeler is not ready, for its scorer is away."""
    for stage in plant.stages.values():
        stage.start()
    try:
        for name in ("ingest", "trainer", "inference", "console"):
            await plant[name].wait_ready()

        async def is_serving() -> bool:
            return weights in (await plant["inference"].get("/v1/weights")).text

        await wait_for(is_serving, WAIT_S, "the teacher to serve", on_fail=plant["labeler"].tail)
        yield
    finally:
        await asyncio.gather(*(stage.stop() for stage in plant.stages.values()))


async def send(ingest: IngestClient, node: KafkaNode, numbers: Iterable[int]) -> list[CaptureId]:
    """Send images and wait for their verdicts."""
    sent = []
    for number in numbers:
        answer = await ingest.send_image(
            png(part_image(number)), line=LINE, info=CaptureInfo(idempotency_key=f"{number}")
        )
        sent.append(CaptureId(answer["capture_id"]))
    judged: set[str] = set()
    bus = KafkaBus(quick_settings(node.bootstrap))
    async with (
        asyncio.timeout(WAIT_S),
        bus.consumer([VERDICT.name], group=f"test-{sent[0]}", start="earliest") as consumer,
    ):
        while not judged >= {*sent}:
            records = await consumer.poll(max_records=100, timeout_s=0.5)
            judged |= {decode(VerdictGiven, one.value).capture_id for one in records}
    return sent


async def label(node: KafkaNode, captures: Sequence[CaptureId]) -> None:
    """Publish a pseudo-mask of each capture, in one batch."""
    now = datetime.now(UTC)
    events = [
        PseudoMaskCreated(
            capture_id=capture,
            image_id=ImageId("1" * 64),
            image_uri="s3://siad/images/1.png",
            line=LINE,
            product=PRODUCT,
            captured_at=now,
            received_at=now,
            mask_uri="s3://siad/masks/1.png",
            mask_sha256="c" * 64,
            weights=WeightsId("a" * 64),
            score=1.0,
            threshold=2.0,
            defect_ratio=0.0,
            regions=(),
            confidence=1.0,
        )
        for capture in captures
    ]
    async with KafkaBus(quick_settings(node.bootstrap)).producer() as producer:
        await producer.publish([Message(topic=PSEUDO_MASK.name, key=f"{LINE}/0", value=encode(one)) for one in events])


async def until_in_ledger(blobs: S3Blobs, captures: set[CaptureId]) -> None:
    """Wait until the trainer's ledger has exactly these captures."""
    found: set[CaptureId] = set()

    async def is_written() -> bool:
        nonlocal found
        found = {
            CaptureId(row.capture_id)
            for row in rows_of(await ParquetLedger(AsyncBlobs(blobs)).read(Place(LINE, PRODUCT)))
        }
        return found == captures

    await wait_for(
        is_written, WAIT_S, f"{len(captures)} captures in the ledger", on_fail=lambda: f"it has {len(found)}"
    )


async def until_counted(plant: Plant, captures: int) -> None:
    """Wait until the capture ledger balances."""
    counted: list[object] = []

    async def is_balanced() -> bool:
        lines = (await plant["ingest"].get("/v1/books")).json()["lines"]
        counted[:] = [(line["received"], line["verdict"], line["waiting"]) for line in lines]
        return counted == [(captures, captures, 0)]

    await wait_for(is_balanced, WAIT_S, f"{captures} captures with a verdict", on_fail=lambda: f"{counted}")
