"""The console on a real bus and a real store: what it shows, takes, publishes and still knows after a restart."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.console.app import assemble
from services.console.settings import ConsoleSettings
from siad.contracts import keys
from siad.contracts.codec import decode, encode
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.events import PseudoMaskCreated, VerdictGiven
from siad.contracts.topics import CORRECTION, PSEUDO_MASK, VERDICT
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.embedded.bus import EmbeddedBus
from siad.runtime.bus.port import Bus, Message
from siad.runtime.worker import StageProcess, serve
from tests.fixtures.kafka import quick_settings
from tests.unit.console.world import LINE_NAME, mask_png, name_of, pseudo_mask, put_capture, verdict

REVIEW = f"/v1/lines/{LINE_NAME}/review"
LIST = f"/v1/lines/{LINE_NAME}/captures"


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Bus:
    if request.param == "embedded":
        return EmbeddedBus(quick_settings(f"embedded://{tmp_path}/bus.sqlite"))
    kafka_bus: Bus = request.getfixturevalue("kafka_bus")
    return kafka_bus


@asynccontextmanager
async def console(bus: Bus, blobs: S3Blobs, **settings_of: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A running console that has read its topics."""
    settings = ConsoleSettings(http_port=0, drain_s=2.0, announce_every_s=0.1, **settings_of)
    stage = StageProcess("console", settings)
    serving = asyncio.create_task(serve(stage, lambda stage: assemble(stage, settings, bus=bus, blobs=blobs)))
    try:
        while stage.port is None and not serving.done():
            await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stage.port}", timeout=20) as http:
            while (await http.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)
            yield http
    finally:
        stage.stop.set()
        await serving


async def publish(bus: Bus, events: Sequence[VerdictGiven | PseudoMaskCreated]) -> None:
    async with bus.producer() as producer:
        topics = {VerdictGiven: VERDICT.name, PseudoMaskCreated: PSEUDO_MASK.name}
        messages = [Message(topic=topics[type(one)], key=f"{one.line}/0", value=encode(one)) for one in events]
        await producer.publish(messages)


async def published(bus: Bus) -> list[CaptureCorrected]:
    """Every correction on the bus."""
    found: list[CaptureCorrected] = []
    async with bus.tail(CORRECTION.name, last=10_000) as reader:
        async for records in reader.backlog():
            found += [decode(CaptureCorrected, record.value) for record in records]
    return found


async def review(http: httpx.AsyncClient, *, captures: int) -> dict[str, str]:
    """Captures that are shown and why, once the console holds so many."""
    while (shown := (await http.get(REVIEW, params={"count": 100})).json())["captures"] != captures:
        await asyncio.sleep(0.05)
    return {item["capture_id"]: item["selection"] for item in shown["items"]}


async def test_answers_are_taken_published_and_known_after_a_restart(bus: Bus, s3_blobs: S3Blobs) -> None:
    s3_blobs.put(keys.line_pointer_key(LINE_NAME), b"{}")
    receipts = [put_capture(s3_blobs, number) for number in range(1, 12)]
    async with asyncio.timeout(60):
        async with console(bus, s3_blobs) as http:
            assert (await http.get("/v1/lines/press-9/review")).status_code == 404
            judged = [verdict(number, number / 5, image_uri=receipts[number - 1].image_uri) for number in range(1, 11)]
            await publish(bus, [*judged, pseudo_mask(11, 1.9)])
            shown = await review(http, captures=11)
            assert sorted(shown) == [name_of(number) for number in range(1, 12)]
            assert list(shown.values()).count("random") == 2
            for number, (capture_id, selection) in enumerate(shown.items()):
                address = f"/v1/lines/{LINE_NAME}/captures/{capture_id}/corrections"
                mask = mask_png() if number % 2 else b""
                params = {"verdict": "defect" if number % 2 else "good", "author": "ann"}
                response = await http.post(address, params=params, content=mask)
                assert response.status_code == 201, response.text
                assert response.json()["selection"] == selection
            assert await review(http, captures=11) == {}
            (estimates,) = (await http.get(f"{REVIEW}/estimates")).json()["estimates"]
            assert estimates["answers"] >= 2
        # between two processes: one answer is erased, and one is stored by a process that was killed before its event
        record = CaptureDeletion.of(receipts[0], at=receipts[0].received_at)
        s3_blobs.put(keys.deletion_key(LINE_NAME, name_of(1)), record.to_json())
        for info in list(s3_blobs.list(keys.corrections_prefix(LINE_NAME, name_of(1)))):
            s3_blobs.delete(info.key)
        (held,) = [one for one in await published(bus) if one.capture_id == name_of(2)]
        orphan = CaptureCorrected.from_json(held.to_json().replace(b'"revision": 1', b'"revision": 2'))
        s3_blobs.put(keys.correction_key(LINE_NAME, name_of(2), 2), orphan.to_json())
        async with console(bus, s3_blobs) as http:
            assert await review(http, captures=10) == {}
            while len(events := await published(bus)) < 12:
                await asyncio.sleep(0.05)
            assert [one for one in events if one.capture_id == name_of(2)] == [held, orphan]
            assert len(events) == 12
            found = await http.get(f"/v1/lines/{LINE_NAME}/captures/{name_of(2)}/corrections")
            assert [one["revision"] for one in found.json()["corrections"]] == [1, 2]
            gone = await http.get(f"/v1/lines/{LINE_NAME}/captures/{name_of(1)}/corrections")
            assert gone.status_code == 410
    assert len(await published(bus)) == 12


async def listed(http: httpx.AsyncClient, *, captures: int) -> list[dict[str, Any]]:
    """The list of the line, once it has so many captures."""
    while True:
        found: list[dict[str, Any]] = (await http.get(LIST, params={"limit": 200})).json()["captures"]
        if len(found) == captures:
            return found
        await asyncio.sleep(0.05)


async def test_a_projection_goes_on_after_a_restart_and_is_the_same_when_built_again(
    s3_blobs: S3Blobs, tmp_path: Path
) -> None:
    bus = EmbeddedBus(quick_settings(f"embedded://{tmp_path}/bus.sqlite"))  # Kafka keeps records of other tests
    s3_blobs.put(keys.line_pointer_key(LINE_NAME), b"{}")
    uris = {number: put_capture(s3_blobs, number).image_uri for number in range(1, 41)}
    verdicts = {number: verdict(number, number / 10, image_uri=uri) for number, uri in uris.items()}
    file = tmp_path / "console" / "projection.sqlite"
    lasting = {"database_url": f"sqlite:///{file}", "history_records": 1}  # history is for memory alone
    async with asyncio.timeout(90):
        async with console(bus, s3_blobs, **lasting) as http:
            await publish(bus, [verdicts[number] for number in range(1, 31)])
            await listed(http, captures=30)
            for number, said in ((3, "good"), (5, "unsure"), (7, "good"), (7, "defect")):
                address = f"{LIST}/{name_of(number)}/corrections"
                assert (await http.post(address, params={"verdict": said, "author": "ann"})).status_code == 201
        await publish(bus, [*(verdicts[number] for number in range(31, 40)), pseudo_mask(40, 1.9)])
        async with console(bus, s3_blobs, **lasting) as http:
            kept = await listed(http, captures=40)
            assert [one["answer"]["revision"] for one in kept if one["capture_id"] == name_of(7)] == [2]
            assert (await http.get(REVIEW)).json()["answered"] == 3
        moved = file.rename(tmp_path / "before.sqlite")
        async with console(bus, s3_blobs, **lasting) as http:
            while await listed(http, captures=40) != kept:  # verdicts and answers are read side by side
                await asyncio.sleep(0.05)
            assert (await http.get(REVIEW)).json()["answered"] == 3
        assert moved.exists()
    states = {one["capture_id"]: one["state"] for one in kept if one["state"] != "open"}
    assert states == {name_of(3): "answered", name_of(5): "skipped", name_of(7): "answered"}
