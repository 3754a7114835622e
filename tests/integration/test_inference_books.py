"""The capture ledger of a stream that inference judges; erased captures have no effect on either."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from siad.audit.keeper import LedgerKeeper, LedgerPolicy
from siad.audit.ledger import LineReport
from siad.audit.snapshot import read_report
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.events import ImageStored, Intent
from siad.contracts.keys import deletion_key
from siad.contracts.topics import VERDICT, dead_letter
from siad.runtime.blobs.aio import AsyncBlobs
from siad.v1 import events_pb2
from tests.integration.inference_plant import T1, TOPICS, Plant
from tests.synthetic import image_message, part_image, png, store_capture


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.bus.create_topics(TOPICS)
    await plant.make_line()
    await plant.release(T1)
    return plant


@asynccontextmanager
async def judging(plant: Plant) -> AsyncIterator[None]:
    """Inference, and beside it the keeper of the capture ledger, as ingest runs it."""
    stop, store = asyncio.Event(), AsyncBlobs(plant.blobs, workers=2)
    policy = LedgerPolicy(write_every_s=0.1)
    keeper = LedgerKeeper(plant.bus, store, missing_after_s=lambda _: 60.0, policy=policy)
    async with plant.running():
        keeping = asyncio.create_task(keeper.run(stop))
        try:
            yield
        finally:
            stop.set()
            await keeping
            store.close()


async def account_with(plant: Plant, **wanted: int) -> LineReport:
    """The report of the one line, once it shows the wanted counts."""
    store = AsyncBlobs(plant.blobs, workers=1)
    try:
        async with asyncio.timeout(20):
            while True:
                report = await read_report(store)
                for line in report.lines if report else []:
                    if all(getattr(line, name) == count for name, count in wanted.items()):
                        return line
                await asyncio.sleep(0.05)
    finally:
        store.close()


async def test_every_capture_has_a_verdict_a_dead_letter_or_is_a_normal(plant: Plant) -> None:
    async with judging(plant):
        captures = [await plant.capture(), await plant.capture(defect=True), await plant.capture(b"no image")]
        await plant.capture(intent=Intent.NORMAL)
        for capture in captures:
            await plant.verdict(capture)
        account = await account_with(plant, received=3, verdict=3, normal=1)
    assert (account.waiting, account.missing, account.dead_letter) == (0, 0, 0)  # the dead letter has a verdict, too
    assert len(plant.bus.records(dead_letter("inference").name)) == 1


async def test_a_capture_that_can_be_named_though_its_event_is_none_counts_once(plant: Plant) -> None:
    event = stored(plant)
    message = image_message(event)
    fields = events_pb2.ImageStored.FromString(message.value or b"")
    fields.line_revision = 0  # no such revision
    bad = replace(message, value=fields.SerializeToString())
    async with judging(plant):
        await plant.send(bad)
        await plant.verdict(event.capture_id)
        account = await account_with(plant, verdict=1)
    assert (account.received, account.waiting, account.dead_letter) == (1, 0, 0)


async def test_an_erased_capture_has_no_effect(plant: Plant) -> None:
    kept_bytes, gone = stored(plant), stored(plant)
    erase(plant, kept_bytes)
    erase(plant, gone, bytes_too=True)
    await plant.send(image_message(kept_bytes), image_message(gone))
    async with judging(plant):
        await plant.verdict(await plant.capture())
        await account_with(plant, received=1, verdict=1)
    assert len(plant.bus.records(VERDICT.name)) == 1
    assert plant.bus.records(dead_letter("inference").name) == []


async def test_a_capture_erased_while_inference_handles_it_is_no_dead_letter(plant: Plant) -> None:
    async with judging(plant):
        await plant.verdict(await plant.capture())  # the line's deletions are now cached
        event = stored(plant)
        erase(plant, event, bytes_too=True)
        await plant.send(image_message(event))
        await plant.verdict(await plant.capture())
        await account_with(plant, verdict=2)
    assert plant.bus.records(dead_letter("inference").name) == []
    assert len(plant.bus.records(VERDICT.name)) == 2


def stored(plant: Plant) -> ImageStored:
    """A capture whose event was not sent yet."""
    plant.sent += 1
    return store_capture(plant.blobs, png(part_image(plant.sent)), key=str(plant.sent))


def erase(plant: Plant, event: ImageStored, *, bytes_too: bool = False) -> None:
    record = CaptureDeletion.of(event, at=datetime(2026, 1, 2, tzinfo=UTC))
    plant.blobs.put(deletion_key(event.line, event.capture_id), record.to_json())
    if bytes_too:
        plant.blobs.delete(plant.blobs.key_of(event.image_uri))
