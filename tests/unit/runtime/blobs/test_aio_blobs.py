"""The store, awaited: the same answers, on threads of its own."""

import asyncio
import contextvars
import threading
from collections.abc import Iterator

import pytest

from siad.contracts.errors import ConflictError, CorruptError, MissingError, TransientError
from siad.contracts.ids import sha256_hex
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import IF_ABSENT, PutCondition

CAPTURE: contextvars.ContextVar[str] = contextvars.ContextVar("CAPTURE", default="none")


@pytest.fixture
def store() -> Iterator[AsyncBlobs]:
    store = AsyncBlobs(MemoryBlobs(), workers=2)
    yield store
    store.close()


async def test_it_answers_as_the_store_beneath(store: AsyncBlobs) -> None:
    etag = await store.put("a/1", b"x", condition=IF_ABSENT)
    await store.put("a/2", b"y", content_type="image/png", tags={"keep": "normal"})
    assert (await store.get("a/1")).data == b"x"
    assert await store.put("a/1", b"z", condition=PutCondition(etag)) != etag
    assert [info.key for info in await store.list_all("a/")] == ["a/1", "a/2"]
    assert [info.key for info in await store.list_all("a/", start_after="a/1")] == ["a/2"]
    assert await store.get_verified("a/2", sha256=sha256_hex(b"y")) == b"y"
    assert store.key_of(store.uri("a/1")) == "a/1"
    await store.delete("a/1")
    assert await store.head("a/1") is None
    await store.probe()


async def test_errors_come_through_as_they_are(store: AsyncBlobs) -> None:
    await store.put("k", b"x")
    with pytest.raises(MissingError):
        await store.get("nowhere")
    with pytest.raises(ConflictError):
        await store.put("k", b"y", condition=IF_ABSENT)
    with pytest.raises(CorruptError):
        await store.get_verified("k", sha256="0" * 64)
    assert isinstance(store.blobs, MemoryBlobs)
    store.blobs.down = True
    for call in (store.get("k"), store.head("k"), store.list_all(""), store.delete("k"), store.probe()):
        with pytest.raises(TransientError):
            await call


async def test_no_more_calls_are_under_way_than_it_has_workers(store: AsyncBlobs) -> None:
    both, lock, most = threading.Barrier(2), threading.Lock(), [0, 0]

    def call() -> None:
        with lock:
            most[0] += 1
            most[1] = max(most)
        both.wait(5)  # the loop is free meanwhile, or the second would never come
        with lock:
            most[0] -= 1

    await asyncio.gather(*(store.run(call) for _ in range(6)))
    assert most[1] == 2


async def test_what_a_call_logs_keeps_the_capture_of_who_asked(store: AsyncBlobs) -> None:
    CAPTURE.set("c1")
    assert await store.run(CAPTURE.get) == "c1"


async def test_closing_drops_what_has_not_begun() -> None:
    store, go = AsyncBlobs(MemoryBlobs(), workers=1), threading.Event()
    first = asyncio.ensure_future(store.run(go.wait, 5))
    second = asyncio.ensure_future(store.run(go.wait, 5))
    await asyncio.sleep(0.01)
    store.close()
    go.set()
    assert await first
    with pytest.raises(asyncio.CancelledError):
        await second
