"""Keeping the capture ledger over a bus and a store in memory, through crashes and takeovers."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from siad.audit import keeper as keeper_module
from siad.audit import reader
from siad.audit import snapshot as snapshot_module
from siad.audit.keeper import LedgerKeeper, LedgerPolicy
from siad.audit.ledger import CaptureLedger
from siad.audit.reader import LETTERS, ReaderLimits
from siad.audit.snapshot import LedgerSnapshot, read_report
from siad.contracts.codec import encode
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.errors import MissingError
from siad.contracts.events import DeadLetter, ImageStored, VerdictGiven
from siad.contracts.ids import record_key
from siad.contracts.keys import books_key, deletion_key
from siad.contracts.topic_grants import BOOKS_GROUP
from siad.contracts.topics import IMAGE, VERDICT
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Bus, Message
from siad.runtime.clock import SYSTEM_CLOCK
from tests.unit.audit.test_ledger import image, letter, verdict

EVER_S = 1e9  # the captures of these tests are years old by the clock
LIMITS = ReaderLimits(poll_s=0.005, window_s=EVER_S)
QUICK = LedgerPolicy(write_every_s=0.0, idle_write_s=0.05, lease_s=1.0, limits=LIMITS)


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
async def bus() -> MemoryBus:
    bus = MemoryBus(partitions=2)
    await bus.create_topics([IMAGE, VERDICT, LETTERS])
    return bus


async def send(bus: Bus, *events: ImageStored | VerdictGiven | DeadLetter) -> None:
    topics = {ImageStored: IMAGE.name, VerdictGiven: VERDICT.name, DeadLetter: LETTERS.name}
    async with bus.producer() as producer:
        for event in events:
            key = "l/0" if isinstance(event, DeadLetter) else record_key(event.line, event.capture_id, 4)
            await producer.publish([Message(topic=topics[type(event)], key=key, value=encode(event))])


def page(blobs: MemoryBlobs) -> tuple[int, int, int, int]:
    """Received, verdicts, missing, dead letters of the one line; zeros before the first snapshot."""
    try:
        reports = LedgerSnapshot.from_json(blobs.get(books_key()).data).reports()
    except MissingError:
        return 0, 0, 0, 0
    return next(((r.received, r.verdict, r.missing, r.dead_letter) for r in reports), (0, 0, 0, 0))


async def keep(bus: MemoryBus, blobs: MemoryBlobs, until: Callable[[], bool], *, policy: LedgerPolicy = QUICK) -> None:
    """One keeper, until it has written what is waited for; then it stops in good order."""
    stop, store = asyncio.Event(), AsyncBlobs(blobs, workers=2)
    keeper = LedgerKeeper(bus, store, missing_after_s=lambda _: 60.0, policy=policy)
    running = asyncio.create_task(keeper.run(stop))
    try:
        async with asyncio.timeout(5):
            while not until() and not running.done():
                await asyncio.sleep(0.005)
    finally:
        stop.set()
        await running
        store.close()


async def test_what_three_topics_say_adds_up(bus: MemoryBus, blobs: MemoryBlobs) -> None:
    await send(bus, *(image(number) for number in range(10)))
    await send(bus, *(verdict(image(number)) for number in range(7)))
    await send(bus, replace(letter(), payload=encode(image(8))), letter(offset=99))
    await keep(bus, blobs, lambda: page(blobs) == (11, 7, 2, 2))
    assert page(blobs) == (11, 7, 2, 2)  # ten and an unreadable one; 7 and 9 are missing


async def test_a_record_that_is_no_image_waits_for_its_burial(bus: MemoryBus, blobs: MemoryBlobs) -> None:
    async with bus.producer() as producer:
        await producer.publish([Message(topic=IMAGE.name, key="l/0", value=b"\xff")])
    place, record = next((r.topic_partition, r) for r in bus.records(IMAGE.name))
    await keep(bus, blobs, lambda: page(blobs)[0] == 1)
    await send(bus, replace(letter(record.offset), partition=place.partition))
    await keep(bus, blobs, lambda: page(blobs) == (1, 0, 0, 1))
    assert page(blobs) == (1, 0, 0, 1)


async def test_another_goes_on_from_the_snapshot_when_the_commit_was_lost(bus: MemoryBus, blobs: MemoryBlobs) -> None:
    await send(bus, *(image(number) for number in range(6)), *(verdict(image(number)) for number in range(4)))
    await keep(bus, blobs, lambda: page(blobs)[:2] == (6, 4))
    bus.group(BOOKS_GROUP).commits.clear()  # killed between snapshot and commit: all is delivered again
    await send(bus, image(6), verdict(image(6)))
    await keep(bus, blobs, lambda: page(blobs)[:2] == (7, 5))
    assert page(blobs) == (7, 5, 2, 0)


async def test_one_of_two_keeps_them_and_the_other_takes_over(bus: MemoryBus, blobs: MemoryBlobs) -> None:
    await send(bus, image(0))
    first = asyncio.create_task(keep(bus, blobs, lambda: page(blobs)[0] == 2))
    second = asyncio.create_task(keep(bus, blobs, lambda: page(blobs)[0] == 3))
    while page(blobs)[0] != 1:
        await asyncio.sleep(0.005)
    await send(bus, image(1))
    await first
    await send(bus, image(2))
    await second
    assert page(blobs)[0] == 3


async def test_an_outage_of_the_broker_is_waited_out(bus: MemoryBus, blobs: MemoryBlobs) -> None:
    await send(bus, image(0))
    bus.down = True
    waiting = asyncio.create_task(keep(bus, blobs, lambda: page(blobs)[0] == 1))
    await asyncio.sleep(0.05)
    bus.down = False
    await waiting
    assert page(blobs)[0] == 1


async def test_images_are_left_unread_while_too_many_wait(bus: MemoryBus, blobs: MemoryBlobs) -> None:
    policy = replace(QUICK, limits=replace(LIMITS, waiting_max=5, records_max=5))
    await send(bus, *(image(number) for number in range(20)))
    await keep(bus, blobs, lambda: page(blobs)[0] >= 5, policy=policy)
    snapshot = LedgerSnapshot.from_json(blobs.get(books_key()).data)
    assert snapshot.ledger.waiting <= 10
    assert snapshot.behind >= 10
    await send(bus, *(verdict(image(number)) for number in range(20)))
    await keep(bus, blobs, lambda: page(blobs) == (20, 20, 0, 0), policy=policy)
    assert page(blobs) == (20, 20, 0, 0)


async def test_an_unreadable_ledger_is_replaced_by_a_new_one(bus: MemoryBus, blobs: MemoryBlobs) -> None:
    blobs.put(books_key(), b"torn")
    await send(bus, image(0))
    await keep(bus, blobs, lambda: blobs.get(books_key()).data != b"torn" and page(blobs)[0] == 1)
    assert page(blobs)[0] == 1


async def test_an_erased_capture_is_not_missing(bus: MemoryBus, blobs: MemoryBlobs) -> None:
    await send(bus, image(0), image(1))
    record = CaptureDeletion.of(image(0), at=SYSTEM_CLOCK.now() + timedelta(0))
    blobs.put(deletion_key("l", record.capture_id), record.to_json())
    await keep(bus, blobs, lambda: page(blobs) == (1, 0, 1, 0))
    assert page(blobs) == (1, 0, 1, 0)


async def test_a_capture_first_heard_of_after_the_window_is_stale(bus: MemoryBus, blobs: MemoryBlobs) -> None:
    policy = replace(QUICK, limits=replace(LIMITS, window_s=60.0))
    await send(bus, image(0))
    await keep(bus, blobs, lambda: page(blobs)[0] == 1 and snapshot(blobs).ledger.horizon_s > 0, policy=policy)
    await send(bus, image(1))
    await keep(bus, blobs, lambda: snapshot(blobs).reports()[0].stale == 1, policy=policy)
    assert page(blobs)[0] == 1


def snapshot(blobs: MemoryBlobs) -> LedgerSnapshot:
    return LedgerSnapshot.from_json(blobs.get(books_key()).data)


async def test_the_ledger_is_folded_and_written_outside_the_event_loop(
    bus: MemoryBus, blobs: MemoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger of a million captures takes seconds; ingest's uploads must not wait for it."""
    threads: dict[str, set[int]] = {}

    def noting(owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return plain(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    await send(bus, image(0))
    await keep(bus, blobs, lambda: page(blobs)[0] == 1)
    noting(reader, "_fold_one")
    noting(snapshot_module, "read_snapshot")
    noting(keeper_module, "read_snapshot")
    for name in ("to_document", "report", "advance"):
        noting(CaptureLedger, name)
    await send(bus, image(1))
    await keep(bus, blobs, lambda: b'"received":2' in blobs.get(books_key()).data)
    store = AsyncBlobs(blobs, workers=1)
    assert await read_report(store) is not None
    store.close()
    assert set(threads) == {"_fold_one", "read_snapshot", "to_document", "report", "advance"}
    assert threading.get_ident() not in set().union(*threads.values())
