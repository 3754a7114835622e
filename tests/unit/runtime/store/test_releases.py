"""The publisher of releases: one for teachers and segmenters, and every event carries its trace."""

from datetime import UTC, datetime

import pytest

from siad.contracts.codec import decode
from siad.contracts.errors import ConflictError
from siad.contracts.events import SegmenterReleased, SegmenterStatus, TeacherReleased, WeightsKind
from siad.contracts.manifest import part_of
from siad.contracts.place import Place
from siad.contracts.topics import SEGMENTER, TEACHER, TOPICS, Topic
from siad.runtime import trace
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.store.registry import Registry
from siad.runtime.store.releases import ReleasePublisher
from tests.manifests import make_manifest

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
PLACE = Place("l", "p")
KINDS = [(WeightsKind.TEACHER, TEACHER), (WeightsKind.SEGMENTER, SEGMENTER)]


async def released(kind: WeightsKind, bus: MemoryBus) -> None:
    blobs, data = MemoryBlobs(), b"bank"
    manifest = make_manifest(kind=kind, parts=(part_of("bank", data),))
    Registry(blobs).store(manifest, {"bank": data})
    await bus.create_topics(TOPICS)
    async with bus.producer() as producer:
        releases = ReleasePublisher(AsyncBlobs(blobs), producer)
        assert await releases.pointer(kind, PLACE) is None
        pointer = await releases.point(PLACE, manifest.weights, expected=None, at=NOON)
        assert await releases.pointer(kind, PLACE) == pointer
        assert await releases.pointers(kind) == [pointer]
        assert await releases.manifest(pointer) == manifest
        with pytest.raises(ConflictError):
            await releases.point(PLACE, manifest.weights, expected=None, at=NOON)
        await releases.announce(pointer)


@pytest.mark.parametrize(("kind", "topic"), KINDS)
async def test_a_release_is_announced_under_its_place(kind: WeightsKind, topic: Topic) -> None:
    bus = MemoryBus()
    await released(kind, bus)
    (record,) = bus.records(topic.name)
    assert record.key == b"l/p"
    if kind is WeightsKind.TEACHER:
        assert decode(TeacherReleased, record.value).revision == 1
    else:
        assert decode(SegmenterReleased, record.value).status is SegmenterStatus.SERVING


@pytest.mark.parametrize(("kind", "topic"), KINDS)
async def test_a_release_carries_the_trace_at_hand(kind: WeightsKind, topic: Topic) -> None:
    bus, span = MemoryBus(), trace.TraceSpan.root()
    token = trace.CURRENT.set(span)
    try:
        await released(kind, bus)
    finally:
        trace.CURRENT.reset(token)
    (record,) = bus.records(topic.name)
    assert dict(record.headers)["traceparent"] == span.traceparent.encode()
