"""Corrections over HTTP: what is stored, what is refused, and how the refusal reads."""

import json
from collections.abc import AsyncIterator
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from services.console.app import assemble
from services.console.settings import ConsoleSettings
from siad.contracts import keys
from siad.contracts.deletion import CaptureDeletion, LineDeletion
from siad.contracts.events import Intent
from siad.contracts.ids import sha256_hex
from siad.contracts.marked_objects import ObjectFate
from siad.runtime.worker import StageProcess
from siad.vision.masks import decode_mask
from tests.unit.console.world import HEIGHT, LINE_NAME, WIDTH, Plant, at_noon, mask_png, name_of, put_capture

ADDRESS = f"/v1/lines/{LINE_NAME}/captures/{name_of(1)}/corrections"


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.create()
    put_capture(plant.blobs, 1)
    return plant


@pytest.fixture
async def client(plant: Plant) -> AsyncIterator[httpx.AsyncClient]:
    settings = ConsoleSettings(mask_max_bytes=100_000)
    stage = StageProcess("console", settings, clock=plant.clock)
    async with assemble(stage, settings, bus=plant.bus, blobs=plant.blobs):
        transport = httpx.ASGITransport(stage.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
            yield client


async def post(client: httpx.AsyncClient, verdict: str, *, mask: bytes = b"", **options: Any) -> httpx.Response:
    params = {"verdict": verdict, "author": "ann", **options.pop("params", {})}
    return await client.post(options.pop("address", ADDRESS), params=params, content=mask, **options)


async def test_a_defect_with_its_mask_is_stored_and_published(client: httpx.AsyncClient, plant: Plant) -> None:
    response = await post(client, "defect", mask=mask_png())
    assert response.status_code == 201, response.text
    assert response.headers["ETag"] == '"1"'
    (record,) = plant.records()
    assert plant.published() == [record]
    assert (record.revision, record.verdict, record.author, record.serial) == (1, "defect", "ann", "n1")
    stored = plant.blobs.get(plant.blobs.key_of(record.mask_uri)).data
    assert sha256_hex(stored) == record.mask_sha256
    assert np.array_equal(decode_mask(stored), decode_mask(mask_png()))


async def test_a_mask_may_say_where_the_person_is_not_sure(client: httpx.AsyncClient, plant: Plant) -> None:
    mask_HW = decode_mask(mask_png()).copy()
    mask_HW[20:25, 20:25] = 128
    assert (await post(client, "defect", mask=bytes(cv2.imencode(".png", mask_HW)[1]))).status_code == 201
    (record,) = plant.records()
    stored = plant.blobs.get(plant.blobs.key_of(record.mask_uri)).data
    assert set(np.unique(decode_mask(stored, may_ignore=True))) == {0, 128, 255}


async def test_an_answer_is_undone_by_another_and_all_are_kept(client: httpx.AsyncClient, plant: Plant) -> None:
    for verdict, revision in (("good", 1), ("defect", 2), ("unsure", 3), ("good", 4)):
        response = await post(client, verdict)
        assert (response.status_code, response.json()["revision"]) == (201, revision)
    found = (await client.get(ADDRESS)).json()["corrections"]
    assert [(one["revision"], one["verdict"]) for one in found] == [
        (1, "good"), (2, "defect"), (3, "unsure"), (4, "good"),
    ]  # fmt: skip
    assert [one.revision for one in plant.published()] == [1, 2, 3, 4]


async def test_a_repeat_changes_nothing(client: httpx.AsyncClient, plant: Plant) -> None:
    first = await post(client, "defect", mask=mask_png())
    again = await post(client, "defect", mask=mask_png(), headers={"If-Match": '"0"'})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert len(plant.records()) == len(plant.published()) == 1
    assert (await post(client, "defect", mask=mask_png(), params={"author": "bob"})).status_code == 201


async def test_of_two_people_the_later_one_is_told_of_the_other(client: httpx.AsyncClient, plant: Plant) -> None:
    assert (await client.get(ADDRESS)).headers["ETag"] == '"0"'
    headers = {"If-Match": '"0"'}
    assert (await post(client, "good", headers=headers)).status_code == 201
    refused = await post(client, "defect", headers=headers, params={"author": "bob"})
    assert refused.status_code == 412
    assert "for revision 0 of capture" in refused.json()["detail"]
    assert "is at revision 1" in refused.json()["detail"]
    assert len(plant.records()) == 1
    assert (await post(client, "defect", headers={"If-Match": '"1"'})).status_code == 201
    assert (await post(client, "good", headers={"If-Match": "one"})).json()["type"].endswith("invalid-etag")


def bits16() -> bytes:
    return bytes(cv2.imencode(".png", np.full((HEIGHT, WIDTH), 65535, np.uint16))[1])


@pytest.mark.parametrize(
    ("verdict", "mask", "status", "code", "words"),
    [
        ("defect", mask_png((HEIGHT, WIDTH + 1)), 422, "mask-size-differs", "41x30 px and the image of capture"),
        ("defect", mask_png(value=0), 422, "mask-empty", "marks no pixel as defective"),
        ("defect", mask_png(value=128), 422, "mask-empty", "call the capture good"),
        ("defect", mask_png(value=7), 422, "mask-unreadable", "also has [7]"),
        ("defect", b"not a mask", 422, "mask-unreadable", "nothing was stored"),
        ("defect", mask_png()[:-30], 422, "mask-unreadable", "nothing was stored"),
        ("defect", bits16(), 422, "mask-unreadable", "grey 8-bit PNG"),
        ("defect", mask_png((16, 8193)), 413, "mask-too-large", "at most 8192 px"),
        ("defect", b"x" * 100_001, 413, "too-large", "100000 are allowed"),
        ("good", mask_png(), 422, "mask-without-defect", "is called good"),
        ("unsure", mask_png(), 422, "mask-without-defect", "is called unsure"),
    ],
)
async def test_a_mask_that_can_not_be_meant_is_refused(
    client: httpx.AsyncClient, plant: Plant, verdict: str, mask: bytes, status: int, code: str, words: str
) -> None:
    response = await post(client, verdict, mask=mask)
    assert (response.status_code, response.json()["type"]) == (status, f"urn:siad:problem:{code}"), response.text
    assert words in response.json()["detail"]
    assert list(plant.blobs.list(keys.corrections_prefix())) == []
    assert plant.published() == []


async def test_a_capture_that_is_not_there_is_named(client: httpx.AsyncClient, plant: Plant) -> None:
    address = f"/v1/lines/{LINE_NAME}/captures/{name_of(9)}/corrections"
    for response in (await post(client, "good", address=address), await client.get(address)):
        assert (response.status_code, response.json()["type"]) == (404, "urn:siad:problem:unknown-capture")
    receipt = put_capture(plant.blobs, 2)
    record = CaptureDeletion.of(receipt, at=plant.clock.now())
    plant.blobs.put(keys.deletion_key(LINE_NAME, name_of(2)), record.to_json())
    address = f"/v1/lines/{LINE_NAME}/captures/{name_of(2)}/corrections"
    for response in (await post(client, "good", address=address), await client.get(address)):
        assert (response.status_code, response.json()["type"]) == (410, "urn:siad:problem:forgotten")


async def test_a_capture_of_an_erased_line_is_forgotten(client: httpx.AsyncClient, plant: Plant) -> None:
    record = LineDeletion(line=LINE_NAME, before_at=at_noon(60), forgotten_at=at_noon(61))
    plant.blobs.put(keys.line_deletion_key(LINE_NAME), record.to_json())
    assert (await post(client, "good")).status_code == 410


async def test_a_capture_without_its_image_teaches_nothing(client: httpx.AsyncClient, plant: Plant) -> None:
    for info in list(plant.blobs.list(keys.images_prefix(LINE_NAME))):
        plant.blobs.delete(info.key)
    for mask in (b"", mask_png()):
        response = await post(client, "defect", mask=mask)
        assert (response.status_code, response.json()["type"]) == (410, "urn:siad:problem:image-expired")
    assert plant.records() == []


async def test_a_normal_is_removed_in_another_way(client: httpx.AsyncClient, plant: Plant) -> None:
    put_capture(plant.blobs, 3, intent=Intent.NORMAL)
    response = await post(client, "defect", address=f"/v1/lines/{LINE_NAME}/captures/{name_of(3)}/corrections")
    assert response.status_code == 409
    assert f"siad forget capture {name_of(3)} --line {LINE_NAME}" in response.json()["detail"]


@pytest.mark.parametrize(
    ("params", "status"),
    [({"verdict": "bad"}, 422), ({"author": "  "}, 422), ({"author": "a\nb"}, 422), ({"author": "x" * 129}, 422),
     ({"colour": "red"}, 422), ({"selection": "best"}, 422)],
)  # fmt: skip
async def test_invalid_parameters_are_named(client: httpx.AsyncClient, params: dict[str, str], status: int) -> None:
    response = await post(client, "good", params=params)
    assert response.status_code == status
    assert next(iter(params)) in response.json()["detail"]


MARK = {"x": 5, "y": 5, "width": 5, "height": 5, "area_px": 25, "origin": "machine", "fate": "kept"}


async def post_work(client: httpx.AsyncClient, work: str, *, mask: bytes = b"", verdict: str = "defect") -> Any:
    files = {"image": ("mask.png", mask or mask_png(), "image/png")}
    params = {"verdict": verdict, "author": "ann"}
    return await client.post(ADDRESS, params=params, files=files, data={"work": work})


async def test_what_became_of_each_mark_is_stored_with_the_mask(client: httpx.AsyncClient, plant: Plant) -> None:
    work = {"objects": [MARK | {"class_name": "dent"}], "active_s": 4.5, "keys": 2, "presses": 1}
    response = await post_work(client, json.dumps(work))
    assert response.status_code == 201, response.text
    assert {name: response.json()[name] for name in work} == work
    [record] = plant.records()
    assert [(mark.fate, mark.class_name) for mark in record.objects] == [(ObjectFate.KEPT, "dent")]
    assert (await post_work(client, json.dumps(work))).status_code == 200
    other = work | {"objects": [MARK | {"class_name": "scratch"}]}
    assert (await post_work(client, json.dumps(other))).json()["revision"] == 2, "another class is another answer"


@pytest.mark.parametrize(
    ("work", "named"),
    [
        ("no JSON", "work refused"),
        (json.dumps({"objects": [MARK | {"area_px": 26}]}), "does not fit into its box"),
        (json.dumps({"objects": [MARK | {"fate": "eaten"}]}), "fate"),
        (json.dumps({"objects": [MARK | {"class_name": " a"}]}), "class ' a'"),
        (json.dumps({"objects": [MARK] * 201}), "at most 200"),
        (json.dumps({"active_s": -1}), "effort"),
    ],
)
async def test_a_work_that_can_not_be_read_stores_nothing(
    client: httpx.AsyncClient, plant: Plant, work: str, named: str
) -> None:
    response = await post_work(client, work)
    assert (response.status_code, response.json()["type"]) == (422, "urn:siad:problem:invalid-work")
    assert named in response.json()["detail"]
    assert plant.records() == []


async def test_the_store_away_is_told_as_a_retry(client: httpx.AsyncClient, plant: Plant) -> None:
    plant.blobs.down = True
    response = await post(client, "good")
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    plant.blobs.down = False
    assert (await post(client, "good")).status_code == 201
