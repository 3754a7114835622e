"""Bytes of pictures: ETags, ranges, thumbnails and windows."""

from collections.abc import AsyncIterator

import cv2
import httpx
import numpy as np
import pytest

from services.console.app import assemble
from services.console.settings import ConsoleSettings
from siad.contracts import keys
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.ids import image_id_of
from siad.runtime.worker import StageProcess
from tests.unit.console.world import LINE_NAME, Plant, image_png, name_of, put_capture

CAPTURE = f"/v1/lines/{LINE_NAME}/captures/{name_of(1)}"


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.create()
    put_capture(plant.blobs, 1)
    return plant


@pytest.fixture
async def client(plant: Plant) -> AsyncIterator[httpx.AsyncClient]:
    settings = ConsoleSettings()
    stage = StageProcess("console", settings, clock=plant.clock)
    async with assemble(stage, settings, bus=plant.bus, blobs=plant.blobs):
        transport = httpx.ASGITransport(stage.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
            yield client


def pixels(data: bytes) -> np.ndarray:
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return np.asarray(found)


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [("bytes=0-9", 0, 10), ("bytes=20-", 20, None), ("bytes=-5", -5, None), ("bytes=3-999999", 3, None)],
)
async def test_a_range_is_a_part_of_the_picture(
    client: httpx.AsyncClient, asked: str, begin: int, end: int | None
) -> None:
    whole = image_png()
    response = await client.get(f"{CAPTURE}/image", headers={"Range": asked})
    assert response.status_code == 206
    assert response.content == whole[begin:end]
    first = begin % len(whole)
    last = first + len(response.content) - 1
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=9-3", "lines=1-2", "bytes=-", "bytes=x-y", "bytes=" + "9" * 50]
)
async def test_what_is_no_single_range_gives_all(client: httpx.AsyncClient, asked: str) -> None:
    response = await client.get(f"{CAPTURE}/image", headers={"Range": asked})
    assert (response.status_code, response.content) == (200, image_png())
    assert response.headers["Accept-Ranges"] == "bytes"


async def test_a_range_behind_the_end_and_one_of_another_copy(client: httpx.AsyncClient) -> None:
    response = await client.get(f"{CAPTURE}/image", headers={"Range": "bytes=999999-"})
    assert (response.status_code, response.json()["type"]) == (416, "urn:siad:problem:range-not-satisfiable")
    other = {"Range": "bytes=0-3", "If-Range": '"another"'}
    assert (await client.get(f"{CAPTURE}/image", headers=other)).status_code == 200


async def test_a_current_copy_is_not_sent_again(client: httpx.AsyncClient) -> None:
    for path in ("image", "thumbnail"):
        response = await client.get(f"{CAPTURE}/{path}")
        assert "immutable" in response.headers["Cache-Control"]
        etag = response.headers["ETag"]
        for known in (etag, f'"x", W/{etag}', "*"):
            again = await client.get(f"{CAPTURE}/{path}", headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
        assert (await client.get(f"{CAPTURE}/{path}", headers={"If-None-Match": '"x"'})).status_code == 200


async def test_sixteen_bits_are_shown_through_the_window_that_is_asked_for(
    client: httpx.AsyncClient, plant: Plant
) -> None:
    samples = np.linspace(1000, 4000, 64).astype(np.uint16).reshape(8, 8)
    data = bytes(cv2.imencode(".tiff", samples)[1])
    receipt = put_capture(plant.blobs, 1)
    key = keys.image_key(LINE_NAME, receipt.received_at, image_id_of(data), "tif")
    plant.blobs.put(key, data)
    plant.blobs.delete(keys.capture_key(LINE_NAME, name_of(1)))
    put_capture(plant.blobs, 1, image_uri=plant.blobs.uri(key), image_id=image_id_of(data))
    shown = await client.get(f"{CAPTURE}/image", params={"low": 2000, "high": 3000})
    assert shown.headers["Content-Type"] == "image/png"
    expected = np.clip(np.rint((samples.astype(np.float32) - 2000) * 0.255), 0, 255)
    assert np.array_equal(pixels(shown.content).reshape(8, 8, -1)[:, :, 0], expected)
    automatic = await client.get(f"{CAPTURE}/image")
    assert automatic.headers["ETag"] != shown.headers["ETag"]
    small = await client.get(f"{CAPTURE}/thumbnail")
    assert (small.headers["Content-Type"], pixels(small.content).shape[:2]) == ("image/jpeg", (8, 8))
    refused = await client.get(f"{CAPTURE}/image", params={"low": 9, "high": 9})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:siad:problem:invalid-window")


async def test_an_erased_capture_has_no_thumbnail(client: httpx.AsyncClient, plant: Plant) -> None:
    assert (await client.get(f"{CAPTURE}/thumbnail")).status_code == 200
    record = CaptureDeletion.of(put_capture(plant.blobs, 1), at=plant.clock.now())
    plant.blobs.put(keys.deletion_key(LINE_NAME, name_of(1)), record.to_json())
    assert (await client.get(f"{CAPTURE}/thumbnail")).status_code == 404
