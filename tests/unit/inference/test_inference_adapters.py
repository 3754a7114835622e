"""Pointers polled, settings looked up, verdicts counted, images and masks in the store."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.inference.adapters.lines import KnownLines
from services.inference.adapters.release_listener import PointerPoller
from services.inference.adapters.store import StoredImages, StoredMasks
from services.inference.adapters.verdicts import CountingBus
from services.inference.domain.judge import CaptureJudgement
from services.inference.domain.releases import ReleasePointer
from services.inference.handlers import on_dead_letter
from siad.contracts.codec import decode, encode
from siad.contracts.documents import LineState, write_line
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import Decision, ImageStored, Intent, LineChanged, SegmenterStatus, VerdictGiven, WeightsKind
from siad.contracts.ids import CaptureId, image_id_of
from siad.contracts.manifest import part_of
from siad.contracts.place import Place
from siad.contracts.topics import LINE, VERDICT
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blob
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Message, Producer
from siad.runtime.clock import SYSTEM_CLOCK
from siad.runtime.state_table import StateTable
from siad.runtime.store.registry import Registry
from siad.runtime.testing.clock import FakeClock
from siad.vision.masks import decode_mask
from siad.vision.threshold_in_use import ThresholdInUse
from tests.manifests import make_manifest

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class CountedBlobs(MemoryBlobs):
    """A store that writes down what is read."""

    gets: list[str] = field(default_factory=list)

    def get(self, key: str) -> Blob:
        self.gets.append(key)
        return super().get(key)


@pytest.fixture
def blobs() -> CountedBlobs:
    return CountedBlobs()


@pytest.fixture
def store(blobs: CountedBlobs) -> Iterator[AsyncBlobs]:
    store = AsyncBlobs(blobs, workers=2)
    yield store
    store.close()


def point(blobs: MemoryBlobs, kind: str, product: str, data: bytes, *, withdrawn: bool = False) -> str:
    manifest = make_manifest(kind=WeightsKind(kind), line="line-1", product=product, parts=(part_of("a", data),))
    registry = Registry(blobs)
    registry.store(manifest, {"a": data})
    status = SegmenterStatus.WITHDRAWN if withdrawn else SegmenterStatus.SERVING
    expected = registry.pointer(manifest.kind, Place("line-1", product))
    registry.point(manifest, expected=expected, released_at=NOON, status=status)
    return manifest.weights


async def test_a_look_at_the_pointers_tells_what_moved_and_reads_nothing_else(
    blobs: CountedBlobs, store: AsyncBlobs
) -> None:
    told: list[ReleasePointer] = []
    poll = PointerPoller(store, told.append)
    with pytest.raises(TransientError):
        await poll.check()
    first = point(blobs, "teacher", "cell", b"1")
    point(blobs, "segmenter", "cell", b"2", withdrawn=True)
    await poll.poll()
    await poll.check()
    assert [(r.kind.value, r.revision, r.withdrawn) for r in told] == [("teacher", 1, False), ("segmenter", 1, True)]
    assert (told[0].weights, told[0].place) == (first, ("line-1", "cell"))
    told.clear()
    blobs.gets.clear()
    await poll.poll()
    assert (told, blobs.gets) == ([], [])
    second = point(blobs, "teacher", "cell", b"3")
    await poll.poll()
    assert [(r.weights, r.revision) for r in told] == [(second, 2)]


async def test_a_damaged_pointer_hides_no_other(blobs: CountedBlobs, store: AsyncBlobs) -> None:
    told: list[ReleasePointer] = []
    point(blobs, "teacher", "b", b"1")
    blobs.put("pointers/teacher/line-1/a.json", b"{}")
    await PointerPoller(store, told.append).poll()
    assert [release.place.product for release in told] == ["b"]


async def test_polling_goes_on_after_the_store_was_away(blobs: CountedBlobs, store: AsyncBlobs) -> None:
    told: list[ReleasePointer] = []
    stop = asyncio.Event()
    blobs.down = True
    poll = PointerPoller(store, told.append)
    running = asyncio.create_task(poll.run(stop, every_s=0.001))
    await asyncio.sleep(0.01)
    blobs.down = False
    point(blobs, "teacher", "cell", b"1")
    await poll.wait_read()
    while not told:
        await asyncio.sleep(0.001)
    stop.set()
    await running


def settings(revision: int, deadline_s: float) -> LineChanged:
    return LineChanged(
        line="line-1",
        revision=revision,
        product="cell",
        false_reject_budget=0.05,
        shards=1,
        deadline_s=deadline_s,
        changed_at=NOON,
    )


@asynccontextmanager
async def known_lines(store: AsyncBlobs, present: LineChanged) -> AsyncIterator[KnownLines]:
    bus, stop = MemoryBus(), asyncio.Event()
    await bus.create_topics([LINE])
    async with bus.producer() as producer:
        await producer.publish([Message(topic=LINE.name, key="line-1", value=encode(present))])
    table = StateTable(LINE, LineChanged, stage="inference")
    following = asyncio.create_task(table.follow(bus, stop))
    await table.wait_ready()
    try:
        yield KnownLines(table, store)
    finally:
        following.cancel()


async def test_the_present_settings_need_no_look_into_the_store(blobs: CountedBlobs, store: AsyncBlobs) -> None:
    async with known_lines(store, settings(3, 1.0)) as lines:
        assert lines.present("line-1") == await lines.settings("line-1", 3) == settings(3, 1.0)
    assert blobs.gets == []


@pytest.mark.parametrize("revision", [2, 4], ids=["older", "newer"])
async def test_any_other_revision_is_looked_up_once(blobs: CountedBlobs, store: AsyncBlobs, revision: int) -> None:
    blobs.put(f"lines/line-1/{revision}.json", write_line(LineState(settings=settings(revision, 2.0))))
    async with known_lines(store, settings(3, 1.0)) as lines:
        for _ in range(3):
            assert (await lines.settings("line-1", revision)).deadline_s == 2.0
    assert blobs.gets == [f"lines/line-1/{revision}.json"]


async def test_a_missing_or_unreadable_revision_is_poison(blobs: CountedBlobs, store: AsyncBlobs) -> None:
    blobs.put("lines/line-1/8.json", b"{}")
    async with known_lines(store, settings(3, 1.0)) as lines:
        for revision in (7, 8):
            with pytest.raises(PoisonError, match=rf"lines/line-1/{revision}\.json"):
                await lines.settings("line-1", revision)


def event(blobs: MemoryBlobs, data: bytes) -> ImageStored:
    blobs.put("images/line-1/x.png", data)
    return ImageStored(
        capture_id=CaptureId("0f" * 16),
        image_id=image_id_of(data),
        image_uri=blobs.uri("images/line-1/x.png"),
        size_bytes=len(data),
        line="line-1",
        product="cell",
        line_revision=1,
        captured_at=NOON,
        received_at=NOON,
        intent=Intent.INSPECT,
        serial="",
    )


async def test_an_image_is_read_verified_and_decoded(blobs: CountedBlobs, store: AsyncBlobs) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    images = StoredImages(store, clock=SYSTEM_CLOCK)
    fetched = await images.fetch(event(blobs, cv2.imencode(".png", pixels)[1].tobytes()))
    assert np.array_equal(fetched.image_HWC, pixels[:, :, None])
    assert fetched.decode_s > 0


async def test_an_image_that_cannot_be_judged_is_poison_and_a_store_away_is_not(
    blobs: CountedBlobs, store: AsyncBlobs
) -> None:
    images = StoredImages(store, clock=SYSTEM_CLOCK)
    good = event(blobs, cv2.imencode(".png", np.zeros((3, 4), np.uint8))[1].tobytes())
    blobs.put("images/line-1/text.png", b"no image")
    text = replace(good, image_uri=blobs.uri("images/line-1/text.png"), image_id=image_id_of(b"no image"))
    for bad in (text, replace(good, image_id=image_id_of(b"")), replace(good, image_uri="s3://other/x")):
        with pytest.raises(PoisonError, match="can't be judged"):
            await images.fetch(bad)
    blobs.delete("images/line-1/x.png")
    with pytest.raises(PoisonError):
        await images.fetch(good)
    blobs.down = True
    with pytest.raises(TransientError):
        await images.fetch(good)


async def test_a_mask_lies_where_its_verdict_says(blobs: CountedBlobs, store: AsyncBlobs) -> None:
    mask_HW = np.zeros((3, 4), np.uint8)
    mask_HW[1, 2] = 255
    masks, stored = StoredMasks(store), event(blobs, b"x")
    judged = CaptureJudgement(decision=Decision.REJECT, weights="w")
    uri = await masks.store(mask_HW, event=stored, judgement=judged)
    assert uri == f"s3://siad/masks/line-1/{stored.capture_id}/w.verdict.png"
    assert np.array_equal(decode_mask(blobs.get(blobs.key_of(uri)).data), mask_HW)
    moved = replace(judged, threshold=ThresholdInUse(image_threshold=1.0, revision=2))
    later = await masks.store(255 - mask_HW, event=stored, judgement=moved)
    assert later == f"s3://siad/masks/line-1/{stored.capture_id}/w.t2.verdict.png", "another threshold, another mask"
    assert np.array_equal(decode_mask(blobs.get(blobs.key_of(uri)).data), mask_HW)


async def test_only_acknowledged_verdicts_are_counted(blobs: CountedBlobs) -> None:
    def counted() -> float:
        labels = {"line": "line-1", "decision": "undecodable"}
        return REGISTRY.get_sample_value("siad_inference_verdicts_total", labels) or 0.0

    bus = MemoryBus()
    await bus.create_topics([VERDICT])
    (verdict,) = on_dead_letter(event(blobs, b"x"), clock=FakeClock(NOON))
    message = Message(topic=VERDICT.name, key="line-1/0", value=encode(verdict))
    before = counted()
    async with CountingBus(bus, FakeClock(NOON)).producer() as producer:
        await publish_while_down(bus, producer, message)
        assert counted() == before
        await producer.publish([message])
    assert counted() == before + 1


async def test_a_published_verdict_says_how_long_it_waited_for_that(blobs: CountedBlobs) -> None:
    bus, clock = MemoryBus(), FakeClock(NOON)
    await bus.create_topics([VERDICT])
    (verdict,) = on_dead_letter(event(blobs, b"x"), clock=clock)
    clock.advance(0.75)
    async with CountingBus(bus, clock).producer() as producer:
        await producer.publish([Message(topic=VERDICT.name, key="line-1/0", value=encode(verdict))])
    (record,) = bus.records(VERDICT.name)
    assert decode(VerdictGiven, record.value) == replace(verdict, publish_wait_s=0.75)


async def publish_while_down(bus: MemoryBus, producer: Producer, message: Message) -> None:
    bus.down = True
    with pytest.raises(TransientError):
        await producer.publish([message])
    bus.down = False
