"""Ingest as a process, on a real broker and a real store: killed, cut off from both, and asked by the command line."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from siad.apps.cli.line import line_app
from siad.apps.cli.send import send
from siad.apps.client import CaptureInfo, IngestClient
from siad.apps.local.weed import WeedNode
from siad.contracts.codec import decode
from siad.contracts.documents import read_line, read_receipt
from siad.contracts.events import ImageStored, Intent, LineChanged
from siad.contracts.topics import IMAGE, LINE
from siad.runtime.blobs.port import PutCondition
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from tests.e2e.harness import Plant, StageProcess
from tests.fixtures.kafka import BUSES, OwnBus, own_bus, quick_settings
from tests.fixtures.store import settings_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=BUSES)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBus]:
    """A broker of its own: these tests own the names of the topics, and kill it."""
    with own_bus(request.param, tmp_path_factory.mktemp("broker")) as bus:
        yield bus


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeedNode]:
    """A store of its own: these tests kill it."""
    node = WeedNode(tmp_path_factory.mktemp("weed"))
    node.start()
    yield node
    node.stop()


@pytest.fixture
def store_env(weed: WeedNode, tmp_path: Path) -> Mapping[str, str]:
    return weed.environment(f"t-{tmp_path.parent.name}-{tmp_path.name}".replace("_", "-").lower()[:60].rstrip("-"))


@pytest.fixture
def blobs(store_env: Mapping[str, str]) -> S3Blobs:
    blobs = S3Blobs(settings_of(store_env))
    blobs.ensure_bucket()
    return blobs


@pytest.fixture
async def ingest(broker: OwnBus, store_env: Mapping[str, str], tmp_path: Path) -> AsyncIterator[StageProcess]:
    env = {"SIAD_BUS_BOOTSTRAP": broker.bootstrap, "SIAD_BUS_PUBLISH_TIMEOUT_S": "3", **store_env}
    stage = Plant(tmp_path, env).add("ingest", accept_timeout_s="6", announce_every_s="1")
    stage.start()
    await stage.wait_ready()
    yield stage
    assert await stage.stop() == 0


@pytest.fixture
async def client(ingest: StageProcess) -> AsyncIterator[IngestClient]:
    async with IngestClient(ingest.url) as client:
        yield client


def picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


async def images_of(broker: OwnBus, line: str, *, count: int) -> list[ImageStored]:
    """Every image event of a line, once there are ``count`` captures."""
    events: list[ImageStored] = []
    bus = open_bus(quick_settings(broker.bootstrap))
    async with asyncio.timeout(30), bus.consumer([IMAGE.name], group=f"test-{line}", start="earliest") as consumer:
        while len({event.capture_id for event in events}) < count:
            records = await consumer.poll(max_records=500, timeout_s=0.5)
            decoded = [decode(ImageStored, record.value) for record in records]
            events += [event for event in decoded if event.line == line]
    return events


async def line_told(broker: OwnBus, line: str) -> LineChanged | None:
    async with open_bus(quick_settings(broker.bootstrap)).state(LINE.name) as reader:
        record = (await reader.snapshot()).get(line)
    return None if record is None else decode(LineChanged, record.value)


async def test_killed_in_mid_stream_it_loses_nothing_and_keeps_one_receipt_each(
    ingest: StageProcess, client: IngestClient, broker: OwnBus, blobs: S3Blobs
) -> None:
    await client.put_line("killed", {"product": "lid"})
    gate = asyncio.Semaphore(4)

    async def send(number: int) -> str:
        async with gate:
            intent = Intent.NORMAL if number % 5 == 0 else Intent.INSPECT
            info = CaptureInfo(intent=intent, idempotency_key=f"{number}")
            answer = await client.send_image(picture(number), line="killed", info=info)
            return str(answer["capture_id"])

    async def kill() -> None:
        for _ in range(2):
            await asyncio.sleep(0.5)
            ingest.kill()
            ingest.start()
            await ingest.wait_ready()

    captures, _ = await asyncio.gather(asyncio.gather(*(send(number) for number in range(100))), kill())
    assert ingest.starts == 3
    assert len(set(captures)) == 100
    receipts = {
        receipt.capture_id: receipt
        for info in blobs.list("captures/killed/")
        for receipt in [read_receipt(blobs.get(info.key).data)]
    }
    assert receipts.keys() == set(captures)
    for receipt in receipts.values():
        assert blobs.head(blobs.key_of(receipt.image_uri)) is not None
    assert len(list(blobs.list("normals/killed/lid/"))) == 20
    events = await images_of(broker, "killed", count=100)
    assert {event.capture_id: event for event in events} == receipts  # every event of a capture says the same
    assert len(set(events)) == 100
    per_key = Counter(event.line_revision for event in events)
    assert set(per_key) == {1}


async def test_of_many_racing_changes_those_that_win_follow_each_other(
    client: IngestClient, ingest: StageProcess, broker: OwnBus, blobs: S3Blobs
) -> None:
    await client.put_line("raced", {"product": "p0"})
    async with httpx.AsyncClient(base_url=ingest.url, timeout=30) as http:
        race = [
            http.put("/v1/lines/raced", json={"product": f"p{number}"}, headers={"If-Match": '"1"'})
            for number in range(1, 9)
        ]
        answers = await asyncio.gather(*race)
    won = [answer for answer in answers if answer.status_code == 200]
    assert [answer.status_code for answer in answers].count(412) == 7
    pointer = read_line(blobs.get("pointers/lines/raced.json").data).settings
    assert won[0].json()["product"] == pointer.product
    assert await line_told(broker, "raced") == pointer


@pytest.mark.parametrize("server", ["store", "broker"])
async def test_while_store_or_broker_is_dead_senders_wait_and_then_all_is_there(
    ingest: StageProcess, client: IngestClient, broker: OwnBus, weed: WeedNode, blobs: S3Blobs, server: str
) -> None:
    name = f"away-{server}"
    await client.put_line(name, {"product": "lid"})
    await client.send_image(picture(0), line=name)
    node: WeedNode | OwnBus = weed if server == "store" else broker
    node.kill()
    try:
        async with httpx.AsyncClient(base_url=ingest.url, timeout=30) as http:
            refused = await http.post(f"/v1/lines/{name}/images", content=picture(1))
            changed = await http.put(f"/v1/lines/{name}", json={"product": "cup"})
            ready, alive = await http.get("/readyz"), await http.get("/healthz")
        for answer in (refused, changed):
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.elapsed.total_seconds() < 10
        assert (ready.status_code, alive.status_code) == (503, 200)
        waiting = asyncio.create_task(client.send_image(picture(1), line=name))
        await asyncio.sleep(0.5)
    finally:
        node.start()  # here: it would end with a thread that started it
    accepted = await waiting
    events = await images_of(broker, name, count=2)
    assert accepted["capture_id"] in {event.capture_id for event in events}
    assert len(list(blobs.list(f"captures/{name}/"))) == 2
    await client.put_line(name, {"product": "cup"})
    told = await line_told(broker, name)
    assert told is not None
    assert told.product == "cup"


async def test_a_change_without_its_event_is_told_without_being_asked(
    client: IngestClient, broker: OwnBus, blobs: S3Blobs
) -> None:
    await client.put_line("crashed", {"product": "lid"})
    pointer = blobs.get("pointers/lines/crashed.json")
    raw = json.loads(pointer.data) | {"product": "cup", "revision": 2}
    blobs.put("pointers/lines/crashed.json", json.dumps(raw).encode(), condition=PutCondition(pointer.etag))  # and died
    async with asyncio.timeout(20):
        while (told := await line_told(broker, "crashed")) is None or told.product != "cup":
            await asyncio.sleep(0.2)


async def test_a_body_that_is_too_large_is_answered_before_it_is_read(ingest: StageProcess) -> None:
    async with httpx.AsyncClient(base_url=ingest.url, timeout=30) as http:
        await http.put("/v1/lines/large", json={"product": "lid"})
        declared = await http.post("/v1/lines/large/images", content=bytes(70 * 2**20))

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(70):
                yield bytes(2**20)

        streamed = await http.post("/v1/lines/large/images", content=chunks())
        form = await http.post("/v1/lines/large/images", files={"image": bytes(70 * 2**20)})
    for answer in (declared, streamed, form):
        assert (answer.status_code, answer.json()["title"]) == (413, "too large")


async def test_the_commands_do_what_they_say(ingest: StageProcess, tmp_path: Path) -> None:
    siad = typer.Typer()
    siad.add_typer(line_app, name="line")
    siad.command()(send)

    def run(*args: str) -> tuple[int, str]:
        result = CliRunner().invoke(siad, [*args, "--url", ingest.url])
        return result.exit_code, result.stdout

    def all_commands() -> None:
        code, said = run("line", "put", "told", "--product", "lid", "--deadline-s", "2.5", "--json")
        assert (code, json.loads(said)["deadline_s"]) == (0, 2.5)
        assert run("line", "put", "told", "--product", "cup", "--if-revision", "7")[0] == 1
        assert "told" in run("line", "list")[1]
        folder = tmp_path / "parts"
        folder.mkdir()
        for number in range(3):
            (folder / f"{number}.png").write_bytes(picture(number))
        code, said = run("send", str(folder), "--line", "told", "--intent", "normal")
        assert (code, said.strip()) == (0, "3 images accepted by line told, 0 refused")
        (folder / "3.png").write_bytes(b"no image")
        code, said = run("send", str(folder), "--line", "told", "--intent", "normal", "--json")
        sent = json.loads(said)
        assert (code, [one["is_repeat"] for one in sent["accepted"]]) == (1, [True] * 3)
        assert [one["code"] for one in sent["refused"]] == ["not-an-image"]
        assert run("line", "delete", "told")[0] == 0
        assert run("line", "get", "told")[0] == 1

    await asyncio.to_thread(all_commands)
