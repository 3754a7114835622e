"""What a store does that goes without a word, and comes back."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import pytest

from siad.apps.local.weed import WeedNode
from siad.contracts.errors import ConflictError, TransientError
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import IF_ABSENT, Blobs, PutCondition
from siad.runtime.blobs.s3 import S3Blobs
from tests.fixtures.store import settings_of

T = TypeVar("T")
WRITERS = 4
DOWN_S = 0.3
PAUSE_S = 0.02  # the store is to fall, not this machine


@dataclass
class Falling:
    """A store that can fall and rise."""

    blobs: Blobs
    fall: Callable[[], None]
    rise: Callable[[], None]


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> Falling:
    """An empty bucket of a store of one's own."""
    if request.param == "memory":
        memory = MemoryBlobs()
        return Falling(memory, lambda: setattr(memory, "down", True), lambda: setattr(memory, "down", False))
    node: WeedNode = request.getfixturevalue("own_weed_node")
    # what comes while it starts may stall, and is tried again
    s3 = S3Blobs(settings_of({**node.environment("plant"), "SIAD_STORE_READ_TIMEOUT_S": "2"}))
    s3.ensure_bucket()
    return Falling(s3, node.kill, node.start)


def test_a_store_that_is_down_says_so_whatever_it_is_asked(store: Falling) -> None:
    blobs = store.blobs
    etag = blobs.put("k", b"x")
    store.fall()
    for call in (
        lambda: blobs.get("k"),
        lambda: blobs.head("k"),
        lambda: blobs.put("k", b"y"),
        lambda: blobs.put("k", b"y", condition=PutCondition(etag)),
        lambda: blobs.put("k2", b"y" * (8 * 2**20 + 1), condition=IF_ABSENT),
        lambda: list(blobs.list("")),
        lambda: blobs.delete("k"),
        blobs.probe,
    ):
        with pytest.raises(TransientError, match=r"is unavailable, could not .*s3://(plant|siad)/"):
            call()
    store.rise()
    patiently(blobs.probe)
    assert patiently(lambda: blobs.get("k").data) == b"x"


@dataclass
class Work:
    """Writers that go on through every outage, and remember what the store acknowledged."""

    blobs: Blobs
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    refused: int = 0  # puts that found the store away
    counted: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def wait_for_more(self, count: int) -> None:
        end_s, had = time.monotonic() + 60, len(self.acknowledged)
        while len(self.acknowledged) < had + count:
            assert time.monotonic() < end_s
            time.sleep(0.02)

    def write(self, writer: int) -> None:
        number = 0
        while not self.stop.is_set():
            key, data = f"w/{writer}/{number}", f"{writer} {number}".encode()
            try:
                self.blobs.put(key, data, condition=IF_ABSENT)
            except TransientError:
                self.refused += 1
                time.sleep(PAUSE_S)
                continue  # the same again
            except ConflictError:  # written after all, before it fell: so much may be in doubt, and no more
                assert patiently(partial(self.blobs.get, key)).data == data
            self.acknowledged[key] = data
            number += 1
            time.sleep(PAUSE_S)

    def count(self) -> None:
        while not self.stop.is_set():
            try:
                seen = self.blobs.get("counter")
                assert int(seen.data) >= self.counted, "an acknowledged count was lost"
                self.blobs.put("counter", str(int(seen.data) + 1).encode(), condition=PutCondition(seen.etag))
                self.counted = int(seen.data) + 1
            except TransientError:
                self.refused += 1
                time.sleep(PAUSE_S)
            except ConflictError:  # its own, of which it never heard
                continue

    def read(self) -> None:
        while not self.stop.is_set():
            for key, data in list(self.acknowledged.items())[-3:]:
                assert patiently(partial(self.blobs.get, key)).data == data
                assert patiently(partial(self.blobs.head, key)) is not None
            time.sleep(PAUSE_S)


def test_nothing_acknowledged_is_lost_by_a_store_that_is_killed_at_work(store: Falling) -> None:
    work = Work(store.blobs)
    store.blobs.put("counter", b"0")
    with ThreadPoolExecutor(WRITERS + 2) as pool:
        workers = [pool.submit(work.write, writer) for writer in range(WRITERS)]
        workers += [pool.submit(work.count), pool.submit(work.read)]
        try:
            work.wait_for_more(50)
            store.fall()
            time.sleep(DOWN_S)
            store.rise()
            work.wait_for_more(50)
        finally:
            work.stop.set()
        for worker in workers:
            worker.result()  # raises the error of its thread: TransientError is the only one allowed
    assert work.refused > 0
    assert int(store.blobs.get("counter").data) >= work.counted > 0
    with ThreadPoolExecutor(WRITERS) as pool:
        found = pool.map(store.blobs.get, work.acknowledged)
    assert [blob.data for blob in found] == list(work.acknowledged.values())


def test_a_large_object_that_was_acknowledged_outlives_its_store(own_weed_node: WeedNode) -> None:
    blobs = S3Blobs(settings_of(own_weed_node.environment("plant")))
    blobs.ensure_bucket()
    large = bytes(range(256)) * 4096 * 9  # in two parts
    blobs.put("large", large)
    own_weed_node.kill()
    own_weed_node.start()
    assert patiently(lambda: blobs.get("large").data) == large


def patiently(call: Callable[[], T]) -> T:
    """Call until the store is back: it listens before it has found its volumes again."""
    end_s = time.monotonic() + 60
    while True:
        try:
            return call()
        except TransientError:
            assert time.monotonic() < end_s
            time.sleep(PAUSE_S)
