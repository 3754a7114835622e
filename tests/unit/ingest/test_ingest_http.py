"""What ingest answers over HTTP, on a bus and a store in memory."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from services.ingest import metrics
from siad.contracts.codec import decode
from siad.contracts.documents import read_line, read_receipt
from siad.contracts.events import ImageStored, Intent, LineChanged
from siad.contracts.ids import image_id_of, record_key
from siad.contracts.topics import IMAGE, LINE
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.testing.clock import FakeClock
from tests.image_files import HEIGHT_PX, WIDTH_PX, image_files

URL = "/v1/lines/press-1"
IMAGES = f"{URL}/images"
PNG = {"Content-Type": "image/png"}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def line(client: httpx.AsyncClient) -> httpx.Response:
    return await client.put(URL, json={"product": "lid"})


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    return answer.status_code, body["type"].removeprefix("urn:siad:problem:")


def images_told(bus: MemoryBus) -> list[ImageStored]:
    return [decode(ImageStored, record.value) for record in bus.records(IMAGE.name)]


# lines


async def test_a_new_line_is_stored_then_told(line: httpx.Response, bus: MemoryBus, blobs: MemoryBlobs) -> None:
    assert (line.status_code, line.headers["etag"], line.headers["location"]) == (201, '"1"', URL)
    (record,) = bus.records(LINE.name)
    told = decode(LineChanged, record.value)
    assert (record.key, told.product, told.shards, told.false_reject_budget) == (b"press-1", "lid", 8, 0.05)
    assert read_line(blobs.get("pointers/lines/press-1.json").data).settings == told
    assert blobs.get("lines/press-1/1.json").data == blobs.get("pointers/lines/press-1.json").data


@pytest.mark.usefixtures("line")
async def test_a_line_can_be_read_changed_and_put_back(client: httpx.AsyncClient) -> None:
    read = await client.get(URL)
    answer = await client.put(URL, json=read.json() | {"deadline_s": 2})
    assert (answer.status_code, answer.headers["etag"], answer.json()["deadline_s"]) == (200, '"2"', 2.0)
    late = await client.put(URL, json=read.json() | {"deadline_s": 3})  # its revision is the old one
    assert problem_of(late) == (412, "precondition-failed")
    assert "is at revision 2" in late.json()["detail"]


@pytest.mark.usefixtures("line")
async def test_of_two_changes_to_one_revision_one_wins(client: httpx.AsyncClient) -> None:
    race = [client.put(URL, json={"product": name}, headers={"If-Match": '"1"'}) for name in ("cup", "pot", "tin")]
    answers = await asyncio.gather(*race)
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert (await client.get(URL)).json() == winner.json()


async def test_without_a_condition_every_change_comes_through(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    race = [client.put(URL, json={"product": name}) for name in ("cup", "pot", "tin", "jar")]
    answers = await asyncio.gather(*race)
    revisions = {answer.json()["revision"] for answer in answers}
    assert len(revisions) == 4  # those that lost a race leave gaps
    last = decode(LineChanged, bus.records(LINE.name)[-1].value)
    assert last.revision == max(revisions) == (await client.get(URL)).json()["revision"]


@pytest.mark.usefixtures("line")
async def test_a_repeated_change_is_told_again_and_changes_nothing(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    for _ in range(2):
        answer = await client.put(URL, json={"product": "cup"}, headers={"If-Match": '"1"'})
        assert (answer.status_code, answer.json()["revision"]) == (200, 2)
    assert [decode(LineChanged, record.value).revision for record in bus.records(LINE.name)] == [1, 2, 2]


@pytest.mark.usefixtures("line")
async def test_create_only_refuses_a_line_that_is_there(client: httpx.AsyncClient) -> None:
    answer = await client.put(URL, json={"product": "lid"}, headers={"If-None-Match": "*"})
    assert problem_of(answer) == (412, "precondition-failed")


@pytest.mark.usefixtures("line")
async def test_a_reader_that_has_the_newest_gets_no_body(client: httpx.AsyncClient) -> None:
    answer = await client.get(URL, headers={"If-None-Match": '"1"'})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"1"')
    assert (await client.get(URL, headers={"If-None-Match": '"7"'})).status_code == 200


@pytest.mark.usefixtures("line")
async def test_a_deleted_line_is_a_tombstone_and_its_revisions_go_on(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    assert problem_of(await client.delete(URL, headers={"If-Match": '"7"'})) == (412, "precondition-failed")
    for _ in range(2):
        assert (await client.delete(URL)).status_code == 204
    assert [record.value is None for record in bus.records(LINE.name)] == [False, True, True]
    assert problem_of(await client.get(URL)) == (404, "unknown-line")
    assert problem_of(await client.post(IMAGES, content=b"x", headers=PNG)) == (404, "unknown-line")
    back = await client.put(URL, json={"product": "cup"}, headers={"If-None-Match": "*"})
    assert (back.status_code, back.json()["revision"]) == (201, 3)


async def test_lines_are_listed_by_name_without_those_that_are_gone(client: httpx.AsyncClient) -> None:
    for name in ("b", "a", "c"):
        await client.put(f"/v1/lines/{name}", json={"product": "lid"})
    await client.delete("/v1/lines/b")
    assert [line["line"] for line in (await client.get("/v1/lines")).json()["lines"]] == ["a", "c"]


BAD_SETTINGS: list[tuple[str, dict[str, Any], str]] = [
    (URL, {}, "product-missing"),
    (URL, {"product": "A Lid"}, "invalid-request"),
    (URL, {"product": "lid", "shard": 3}, "invalid-request"),
    (URL, {"product": "lid", "shards": 0}, "invalid-request"),
    (URL, {"product": "lid", "shards": True}, "invalid-request"),
    (URL, {"product": "lid", "false_reject_budget": 1}, "invalid-request"),
    (URL, {"product": "lid", "deadline_s": -1}, "invalid-request"),
    (URL, {"product": "lid", "line": "press-2"}, "invalid-line"),
    ("/v1/lines/Press_1", {"product": "lid"}, "invalid-request"),
    (f"/v1/lines/{'a' * 64}", {"product": "lid"}, "invalid-request"),
]


async def test_unusable_settings_are_refused(client: httpx.AsyncClient, blobs: MemoryBlobs) -> None:
    for url, body, problem in BAD_SETTINGS:  # in one app: to build one takes longer than to ask it
        assert problem_of(await client.put(url, json=body)) == (422, problem), (url, body)
        assert not list(blobs.list(""))


async def test_shards_may_grow_and_not_shrink(client: httpx.AsyncClient) -> None:
    await client.put(URL, json={"product": "lid", "shards": 4})
    assert (await client.put(URL, json={"shards": 8})).json()["shards"] == 8
    assert problem_of(await client.put(URL, json={"shards": 4})) == (422, "shards-shrink")


# images


@pytest.mark.usefixtures("line")
async def test_an_image_is_stored_and_told(
    client: httpx.AsyncClient, bus: MemoryBus, blobs: MemoryBlobs, png: bytes
) -> None:
    answer = await client.post(IMAGES, content=png, headers=PNG | {"traceparent": TRACEPARENT})
    assert answer.status_code == 202
    said = answer.json()
    assert (said["width_px"], said["height_px"], said["channels"], said["bits"]) == (40, 30, 1, 8)
    assert said["image_uri"] == f"s3://siad/images/press-1/2026-01-01/{image_id_of(png)}.png"
    assert blobs.get(blobs.key_of(said["image_uri"])).data == png
    (event,) = images_told(bus)
    (record,) = bus.records(IMAGE.name)
    assert read_receipt(blobs.get(f"captures/press-1/{event.capture_id}.json").data) == event
    assert (event.product, event.line_revision, event.intent, event.size_bytes) == ("lid", 1, Intent.INSPECT, len(png))
    assert event.captured_at == event.received_at  # the sender said nothing
    assert record.key.decode() == record_key("press-1", event.capture_id, 8)
    headers = dict(record.headers)
    assert headers["traceparent"].decode().split("-")[1] == TRACEPARENT.split("-")[1]
    assert not list(blobs.list("normals/"))


@pytest.mark.usefixtures("line")
async def test_a_form_says_the_same_as_a_raw_body(client: httpx.AsyncClient, bus: MemoryBus, png: bytes) -> None:
    said = {"intent": "inspect", "serial": "7", "captured_at": "2026-01-01T01:00:00+02:00"}
    form = await client.post(IMAGES, files={"image": ("part 7.png", png)}, data=said)
    raw = await client.post(IMAGES, content=png, params=said, headers={"Content-Type": "application/octet-stream"})
    assert (form.status_code, raw.status_code) == (202, 202)
    assert form.json() | {"is_repeat": True} == raw.json()
    first, again = images_told(bus)
    assert first == again
    assert (first.serial, first.captured_at.isoformat()) == ("7", "2025-12-31T23:00:00+00:00")


@pytest.mark.usefixtures("line")
async def test_a_repeat_gives_the_first_answer_also_on_another_day_and_under_other_settings(
    client: httpx.AsyncClient, clock: FakeClock, bus: MemoryBus, blobs: MemoryBlobs, png: bytes
) -> None:
    headers = PNG | {"Idempotency-Key": "exposure 9"}
    first = await client.post(IMAGES, content=png, headers=headers)
    clock.advance(86_400)
    await client.put(URL, json={"product": "cup"})
    again = await client.post(IMAGES, content=png, headers=headers)
    assert (first.json()["is_repeat"], again.json()["is_repeat"]) == (False, True)
    assert again.json() == first.json() | {"is_repeat": True}
    assert len(set(images_told(bus))) == 1
    assert len(list(blobs.list("images/"))) == len(list(blobs.list("captures/"))) == 1


@pytest.mark.usefixtures("line")
async def test_one_image_may_be_two_captures(client: httpx.AsyncClient, blobs: MemoryBlobs, png: bytes) -> None:
    answers = [
        (await client.post(IMAGES, content=png, headers=PNG | {"Idempotency-Key": key})).json() for key in ("1", "2")
    ]
    assert answers[0]["capture_id"] != answers[1]["capture_id"]
    assert answers[0]["image_uri"] == answers[1]["image_uri"]
    assert len(list(blobs.list("images/"))) == 1


@pytest.mark.usefixtures("line")
async def test_equal_bytes_are_a_new_capture_at_another_time_or_of_another_part_and_a_repeat_is_not(
    client: httpx.AsyncClient, blobs: MemoryBlobs, png: bytes
) -> None:
    first, later = "2025-12-31T10:00:00Z", "2025-12-31T10:00:01Z"
    claims: tuple[dict[str, str], ...] = (
        {},
        {"captured_at": first},
        {"captured_at": later},
        {"serial": "7"},
        {"serial": "8"},
    )
    for is_repeat in (False, True):
        answers = [(await client.post(IMAGES, content=png, headers=PNG, params=claim)).json() for claim in claims]
        assert [answer["is_repeat"] for answer in answers] == [is_repeat] * len(claims)
        assert len({answer["capture_id"] for answer in answers}) == len(claims)
    same = await client.post(IMAGES, content=png, headers=PNG, params={"captured_at": "2025-12-31T12:00:00+02:00"})
    assert (same.json()["capture_id"], same.json()["is_repeat"]) == (answers[1]["capture_id"], True)
    assert len(list(blobs.list("captures/"))) == len(claims)


@pytest.mark.usefixtures("line")
async def test_a_normal_is_kept_once_under_its_product(
    client: httpx.AsyncClient, blobs: MemoryBlobs, bus: MemoryBus, png: bytes
) -> None:
    for _ in range(2):
        answer = await client.post(IMAGES, content=png, headers=PNG, params={"intent": "normal"})
        assert (answer.status_code, answer.json()["intent"]) == (202, "normal")
    (info,) = blobs.list("normals/")
    assert info.key == f"normals/press-1/lid/{answer.json()['capture_id']}.json"
    assert read_receipt(blobs.get(info.key).data) == images_told(bus)[0]
    assert problem_of(await client.post(IMAGES, content=png, headers=PNG)) == (409, "capture-is-normal")


@pytest.mark.usefixtures("line")
async def test_what_was_inspected_may_be_called_normal_later(
    client: httpx.AsyncClient, blobs: MemoryBlobs, bus: MemoryBus, png: bytes
) -> None:
    await client.post(IMAGES, content=png, headers=PNG)
    answer = await client.post(IMAGES, content=png, headers=PNG, params={"intent": "normal"})
    assert answer.status_code == 202
    assert len(list(blobs.list("normals/press-1/lid/"))) == 1
    assert [event.intent for event in images_told(bus)] == [Intent.INSPECT] * 2  # the first word stands


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize(
    ("extension", "stored_as", "depth", "channels"),
    [
        (".jpg", "jpg", np.uint8, 3),
        (".png", "png", np.uint16, 1),
        (".png", "png", np.uint8, 3),
        (".bmp", "bmp", np.uint8, 3),
        (".tiff", "tif", np.uint16, 3),
        (".webp", "webp", np.uint8, 3),
    ],
)
async def test_every_format_keeps_its_bytes_and_its_name(
    client: httpx.AsyncClient, blobs: MemoryBlobs, extension: str, stored_as: str, depth: type, channels: int
) -> None:
    data = cv2.imencode(extension, np.full((8, 16, channels), 77, depth))[1].tobytes()
    answer = await client.post(IMAGES, content=data)  # no Content-Type: the bytes say what they are
    said = answer.json()
    assert (answer.status_code, said["width_px"], said["height_px"], said["channels"]) == (202, 16, 8, channels)
    assert said["bits"] == 8 * np.dtype(depth).itemsize
    assert said["image_uri"].endswith(f"{said['image_id']}.{stored_as}")
    assert blobs.get(blobs.key_of(said["image_uri"])).data == data


@pytest.mark.usefixtures("line")
async def test_the_same_upload_many_times_at_once_is_one_capture(
    client: httpx.AsyncClient, blobs: MemoryBlobs, bus: MemoryBus, png: bytes
) -> None:
    answers = await asyncio.gather(*(client.post(IMAGES, content=png, params={"intent": "normal"}) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["capture_id"] for answer in answers}) == 1
    assert len(list(blobs.list("captures/"))) == len(list(blobs.list("normals/"))) == 1
    assert len(set(images_told(bus))) == 1


@pytest.mark.usefixtures("line")
async def test_the_answer_says_which_of_several_images_was_used(client: httpx.AsyncClient, png: bytes) -> None:
    (several,) = (file.data for file in image_files() if file.holds == "grey, with a reduced copy")
    said = (await client.post(IMAGES, content=several)).json()
    assert (said["width_px"], said["height_px"]) == (WIDTH_PX, HEIGHT_PX)
    assert said["note"] == "page 2 of 2 was used: the other is a reduced copy"
    assert (await client.post(IMAGES, content=png)).json()["note"] == ""


@pytest.mark.usefixtures("line")
async def test_a_key_names_one_image(client: httpx.AsyncClient, png: bytes, blobs: MemoryBlobs) -> None:
    headers = PNG | {"Idempotency-Key": "k"}
    await client.post(IMAGES, content=png, headers=headers)
    before = [info.key for info in blobs.list("")]
    answer = await client.post(IMAGES, content=png + b"\0", headers=headers)  # bytes after the end are no harm
    assert problem_of(answer) == (422, "idempotency-key-reused")
    assert image_id_of(png) in answer.json()["detail"]
    assert [info.key for info in blobs.list("")] == before


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 5000):
        yield data[at : at + 5000]


BAD_UPLOADS: list[tuple[Callable[[bytes], dict[str, Any]], tuple[int, str]]] = [
    (lambda png: {"content": b"GIF89a" + png, "headers": PNG}, (415, "unsupported")),
    (lambda _: {"content": b"", "headers": PNG}, (415, "not-an-image")),
    (lambda png: {"content": png[:-20], "headers": PNG}, (422, "truncated")),
    (lambda png: {"content": png, "headers": {"Content-Type": "text/plain"}}, (415, "unsupported-media-type")),
    (lambda png: {"data": {"image": "x"}}, (415, "unsupported-media-type")),  # a form of addresses
    (lambda png: {"content": b"x" * 20_001, "headers": PNG}, (413, "too-large")),
    (lambda png: {"content": chunks(b"x" * 30_000), "headers": PNG}, (413, "too-large")),
    (lambda png: {"files": {"image": b"x" * 20_001}}, (413, "too-large")),
    (lambda png: {"files": {"image": b"x" * 200_001}}, (413, "too-large")),
    (lambda png: {"files": {"picture": png}}, (422, "no-image")),
    (lambda png: {"files": [("image", png), ("image", png)]}, (422, "invalid-form")),
    (lambda png: {"content": png, "headers": {"Content-Type": "multipart/form-data"}}, (422, "invalid-form")),
    (lambda png: {"files": {"image": png}, "data": {"colour": "red"}}, (422, "unknown-parameter")),
    (lambda png: {"content": png, "headers": PNG, "params": {"product": "cup"}}, (422, "unknown-parameter")),
    (lambda png: {"content": png, "params": [("serial", "1"), ("serial", "2")]}, (422, "repeated-parameter")),
    (lambda png: {"files": {"image": png}, "data": {"serial": b"\xe9"}}, (422, "invalid-form")),
    (lambda png: {"files": {"image": png}, "data": {"serial": ["1", "2"]}}, (422, "repeated-parameter")),
    (
        lambda png: {"files": {"image": png}, "data": {"serial": "1"}, "params": {"serial": "2"}},
        (422, "repeated-parameter"),
    ),
    (lambda png: {"content": png, "params": {"captured_at": "2025-12-31T23:00:00"}}, (422, "naive-time")),
    (lambda png: {"content": png, "params": {"captured_at": "2026-01-01T00:00:06Z"}}, (422, "future-time")),
    (lambda png: {"content": png, "headers": {"Idempotency-Key": ""}}, (422, "invalid-idempotency-key")),
]


@pytest.mark.usefixtures("line")
async def test_a_refusal_is_told_and_leaves_nothing(
    client: httpx.AsyncClient, blobs: MemoryBlobs, bus: MemoryBus, png: bytes
) -> None:
    for request_of, problem in BAD_UPLOADS:
        answer = await client.post(IMAGES, **request_of(png))
        assert problem_of(answer) == problem, answer.text
        assert re.search("othing was (stored|done)", answer.json()["detail"])
        assert [info.key for info in blobs.list("")] == ["lines/press-1/1.json", "pointers/lines/press-1.json"]
        assert not bus.records(IMAGE.name)


@pytest.mark.usefixtures("line")
async def test_a_bomb_is_refused_unopened(client: httpx.AsyncClient, png: bytes) -> None:
    bomb = png[:16] + (60_000).to_bytes(4, "big") * 2 + png[24:]  # 3.6 billion pixels, says its header
    status, _ = problem_of(await client.post(IMAGES, content=bomb, headers=PNG))
    assert status in (413, 422)


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize("away", ["bus", "blobs"])
async def test_while_broker_or_store_is_away_the_sender_is_asked_to_wait(
    client: httpx.AsyncClient, bus: MemoryBus, blobs: MemoryBlobs, png: bytes, away: str
) -> None:
    server: Any = {"bus": bus, "blobs": blobs}[away]
    server.down = True
    refused = await client.post(IMAGES, content=png, headers=PNG)
    assert problem_of(refused) == (503, "try-again")
    assert refused.headers["retry-after"] == "5"
    assert problem_of(await client.put(URL, json={"product": "cup"})) == (503, "try-again")
    server.down = False
    accepted = await client.post(IMAGES, content=png, headers=PNG)
    assert accepted.status_code == 202
    assert len(images_told(bus)) == 1


@pytest.mark.usefixtures("line")
async def test_while_the_store_denies_access_the_sender_learns_what_to_check(
    client: httpx.AsyncClient, bus: MemoryBus, blobs: MemoryBlobs, png: bytes
) -> None:
    blobs.denied = True
    refused = await client.post(IMAGES, content=png, headers=PNG)
    assert problem_of(refused) == (503, "store-refuses")
    assert "access denied" in refused.json()["detail"]
    assert refused.headers["retry-after"] == "30"
    blobs.denied = False
    assert (await client.post(IMAGES, content=png, headers=PNG)).status_code == 202
    assert len(images_told(bus)) == 1


@pytest.mark.usefixtures("line")
async def test_too_many_uploads_are_sent_away_and_the_rest_come_through(client: httpx.AsyncClient, png: bytes) -> None:
    go_on = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield png[:100]
        await go_on.wait()
        yield png[100:]

    held = [asyncio.create_task(client.post(IMAGES, content=slowly())) for _ in range(3)]  # all the places there are
    waiting = asyncio.create_task(client.post(IMAGES, content=png))
    try:
        async with asyncio.timeout(20):
            while not metrics.WAITING._value.get():
                await asyncio.sleep(0.001)
        away = await client.post(IMAGES, content=png)
    finally:
        go_on.set()  # also where the test fails: an upload that waits for ever would hold up its end
        answers = await asyncio.gather(*held, waiting)
    assert problem_of(away) == (503, "try-again")
    assert "uploads wait for admission" in away.json()["detail"]
    assert {answer.status_code for answer in answers} == {202}


@pytest.mark.usefixtures("line")
async def test_uploads_are_counted_by_their_fate(client: httpx.AsyncClient, png: bytes) -> None:
    async def counted(name: str) -> float:
        lines = (await client.get("/metrics")).text.splitlines()
        return sum(float(one.rsplit(" ", 1)[1]) for one in lines if one.startswith(name))

    names = ("siad_ingest_images_total", "siad_ingest_repeats_total", 'siad_ingest_refused_total{reason="truncated"}')
    before = [await counted(name) for name in names]
    for data in (png, png, png[:-20]):
        await client.post(IMAGES, content=data, headers=PNG)
    assert [await counted(name) - old for name, old in zip(names, before, strict=True)] == [2, 1, 1]


async def test_the_interface_describes_itself(client: httpx.AsyncClient) -> None:
    description = (await client.get("/openapi.json")).json()
    paths = description["paths"]
    body = paths["/v1/lines/{line}"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    request = description["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    assert request["additionalProperties"] is False  # unknown members are refused
    assert "multipart/form-data" in paths["/v1/lines/{line}/images"]["post"]["requestBody"]["content"]
    assert {"get", "put", "delete"} <= paths["/v1/lines/{line}"].keys()
