"""Inference keeps the books, and treats what was forgotten as done."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from siad.contracts.deletion import CaptureDeletion
from siad.contracts.events import ImageStored, Intent
from siad.contracts.keys import deletion_key
from siad.contracts.topics import VERDICT, dead_letter
from siad.v1 import events_pb2
from tests.integration.test_inference_stage import T1, TOPICS, Plant
from tests.synthetic import image_message, part_image, png, store_capture


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.bus.create_topics(TOPICS)
    await plant.make_line()
    await plant.release(T1)
    return plant


async def books_with(plant: Plant, **wanted: int) -> dict[str, Any]:
    """The one line's page, once it says so."""
    async with asyncio.timeout(20):
        while True:
            told = (await plant.http.get("/v1/books")).json()
            for page in told["lines"]:
                if wanted.items() <= page.items():
                    return dict(page)
            await asyncio.sleep(0.05)


async def test_what_came_was_judged_buried_or_is_a_normal(plant: Plant) -> None:
    async with plant.running(books_every_s=0.1):
        captures = [await plant.capture(), await plant.capture(defect=True), await plant.capture(b"no image")]
        await plant.capture(intent=Intent.NORMAL)
        for capture in captures:
            await plant.verdict(capture)
        page = await books_with(plant, received=3, verdict=3, normal=1)
        metrics = (await plant.http.get("/metrics")).text
    assert (page["waiting"], page["missing"], page["dead_letter"]) == (0, 0, 0)  # the buried one was answered, too
    assert len(plant.bus.records(dead_letter("inference").name)) == 1
    assert f'siad_books_captures{{line="{page["line"]}",state="received"}} 3.0' in metrics


async def test_a_capture_that_can_be_named_though_its_event_is_none_counts_once(plant: Plant) -> None:
    event = stored(plant)
    message = image_message(event)
    said = events_pb2.ImageStored.FromString(message.value or b"")
    said.line_revision = 0  # no capture can be judged by that
    bad = replace(message, value=said.SerializeToString())
    async with plant.running(books_every_s=0.1):
        await plant.send(bad)
        await plant.verdict(event.capture_id)
        page = await books_with(plant, verdict=1)
    assert (page["received"], page["waiting"], page["dead_letter"]) == (1, 0, 0)


async def test_a_forgotten_capture_is_done_without_effect(plant: Plant) -> None:
    kept_bytes, gone = stored(plant), stored(plant)
    forget(plant, kept_bytes)
    forget(plant, gone, bytes_too=True)
    await plant.send(image_message(kept_bytes), image_message(gone))
    async with plant.running(books_every_s=0.1):
        await plant.verdict(await plant.capture())
        await books_with(plant, received=1, verdict=1)
    assert len(plant.bus.records(VERDICT.name)) == 1
    assert plant.bus.records(dead_letter("inference").name) == []


async def test_a_capture_forgotten_under_the_hands_of_inference_is_not_buried(plant: Plant) -> None:
    async with plant.running(books_every_s=0.1):
        await plant.verdict(await plant.capture())  # what is forgotten of the line was looked up a moment ago
        event = stored(plant)
        forget(plant, event, bytes_too=True)
        await plant.send(image_message(event))
        await plant.verdict(await plant.capture())
        await books_with(plant, verdict=2)
    assert plant.bus.records(dead_letter("inference").name) == []
    assert len(plant.bus.records(VERDICT.name)) == 2


def stored(plant: Plant) -> ImageStored:
    """A capture whose event was not sent yet."""
    plant.sent += 1
    return store_capture(plant.blobs, png(part_image(plant.sent)), key=str(plant.sent))


def forget(plant: Plant, event: ImageStored, *, bytes_too: bool = False) -> None:
    record = CaptureDeletion.of(event, at=datetime(2026, 1, 2, tzinfo=UTC))
    plant.blobs.put(deletion_key(event.line, event.capture_id), record.to_json())
    if bytes_too:
        plant.blobs.delete(plant.blobs.key_of(event.image_uri))
