"""The console's page over HTTP: sign-in, what browsers may do, images and masks."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.console.app import assemble
from services.console.settings import ConsoleSettings
from services.console.web.files import PageFile, PageFiles
from siad.contracts import keys
from siad.contracts.deletion import CaptureDeletion
from siad.runtime.worker import StageProcess
from tests.unit.console.world import (
    LINE_NAME,
    OTHER,
    WEIGHTS,
    Plant,
    at_noon,
    image_png,
    mask_png,
    name_of,
    put_capture,
)

BROWSER = {"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "same-origin"}
HOST = "127.0.0.1:8405"
OWN = BROWSER | {"Origin": f"http://{HOST}"}
CAPTURE = f"/v1/lines/{LINE_NAME}/captures/{name_of(1)}"


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.create()
    put_capture(plant.blobs, 1)
    plant.blobs.put(keys.mask_key(LINE_NAME, name_of(1), WEIGHTS), mask_png())
    return plant


@pytest.fixture
async def client(plant: Plant) -> AsyncIterator[httpx.AsyncClient]:
    stage = StageProcess("console", settings := ConsoleSettings(), clock=plant.clock)
    async with assemble(stage, settings, bus=plant.bus, blobs=plant.blobs):
        await stage.preparations["projection"]()
        transport = httpx.ASGITransport(stage.app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            yield client


async def link(client: httpx.AsyncClient) -> str:
    response = await client.post("/v1/sign-in-links", params={"person": "ann"})
    assert response.status_code == 201, response.text
    return str(response.json()["path"]).removeprefix("/#sign-in=")


async def sign_in(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/v1/session", json={"token": token}, headers=OWN)


async def test_a_link_opens_one_session(client: httpx.AsyncClient) -> None:
    token = await link(client)
    assert (await client.get("/v1/session", headers=BROWSER)).status_code == 401
    assert (await client.get("/v1/lines", headers=BROWSER)).status_code == 401
    response = await sign_in(client, token)
    assert (response.status_code, response.json()["person"]) == (201, "ann")
    cookie = response.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert token.lower() not in cookie
    assert (await client.get("/v1/session", headers=BROWSER)).json()["person"] == "ann"
    assert (await client.get("/v1/lines", headers=BROWSER)).status_code == 200
    again = await sign_in(client, token)
    assert (again.status_code, again.json()["type"]) == (401, "urn:siad:problem:link-unusable")


async def test_a_closed_session_is_closed(client: httpx.AsyncClient) -> None:
    await sign_in(client, await link(client))
    cookie = dict(client.cookies)
    assert (await client.delete("/v1/session", headers=OWN)).status_code == 204
    client.cookies.update(cookie)
    assert (await client.get("/v1/lines", headers=BROWSER)).status_code == 401


async def test_programs_of_this_machine_need_no_session(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/lines")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (BROWSER, "foreign-origin"),
        (BROWSER | {"Origin": "http://evil.example"}, "foreign-origin"),
        (BROWSER | {"Origin": "http://127.0.0.1:9000"}, "foreign-origin"),
        ({"Origin": "http://evil.example"}, "foreign-origin"),
        (BROWSER | {"Origin": "http://evil.example", "Host": "evil.example"}, "host-refused"),
        (OWN, "links-refused"),
    ],
)
async def test_other_pages_get_no_link(client: httpx.AsyncClient, headers: dict[str, str], code: str) -> None:
    response = await client.post("/v1/sign-in-links", headers=headers)
    assert (response.status_code, response.json()["type"]) == (403, f"urn:siad:problem:{code}")


async def test_another_page_can_store_no_correction_with_the_cookie(client: httpx.AsyncClient, plant: Plant) -> None:
    await sign_in(client, await link(client))
    address = f"{CAPTURE}/corrections?verdict=good&author=ann"
    refused = await client.post(address, headers=BROWSER | {"Origin": "http://127.0.0.1:9000"})
    assert refused.status_code == 403
    assert plant.records() == []
    assert (await client.post(address, headers=OWN)).status_code == 201


async def test_an_image_is_sent_once(client: httpx.AsyncClient) -> None:
    response = await client.get(f"{CAPTURE}/image")
    assert (response.status_code, response.content) == (200, image_png())
    assert response.headers["Content-Type"] == "image/png"
    assert "immutable" in response.headers["Cache-Control"]
    again = await client.get(f"{CAPTURE}/image", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_an_erased_or_unknown_image_is_not_shown(client: httpx.AsyncClient, plant: Plant) -> None:
    unknown = await client.get(f"/v1/lines/{LINE_NAME}/captures/{name_of(7)}/image")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:siad:problem:unknown-image")
    record = CaptureDeletion.of(put_capture(plant.blobs, 1), at=at_noon(9))
    plant.blobs.put(keys.deletion_key(LINE_NAME, name_of(1)), record.to_json())
    assert (await client.get(f"{CAPTURE}/image")).status_code == 404


async def test_masks_are_found_by_the_last_part_of_their_address(client: httpx.AsyncClient, plant: Plant) -> None:
    response = await client.get(f"{CAPTURE}/masks/{WEIGHTS}")
    assert (response.status_code, response.content) == (200, mask_png())
    assert (await client.get(f"{CAPTURE}/masks/{WEIGHTS}.verdict")).status_code == 404
    plant.blobs.put(keys.verdict_mask_key(LINE_NAME, name_of(1), WEIGHTS), mask_png(value=0))
    assert (await client.get(f"{CAPTURE}/masks/{WEIGHTS}.verdict")).content == mask_png(value=0)


async def test_masks_of_a_threshold_that_was_set_are_found(client: httpx.AsyncClient, plant: Plant) -> None:
    key = keys.verdict_mask_key(LINE_NAME, name_of(1), WEIGHTS, 12)
    plant.blobs.put(key, mask_png(value=0))
    name = key.rsplit("/", 1)[1].removesuffix(".png")
    assert (await client.get(f"{CAPTURE}/masks/{name}")).content == mask_png(value=0)


async def test_the_map_of_the_teacher_stands_in_for_that_of_other_weights(
    client: httpx.AsyncClient, plant: Plant
) -> None:
    assert (await client.get(f"{CAPTURE}/score-maps/{WEIGHTS}")).status_code == 404
    plant.blobs.put(keys.score_map_key(LINE_NAME, name_of(1), OTHER), b"teacher")
    assert (await client.get(f"{CAPTURE}/score-maps/{WEIGHTS}")).content == b"teacher"
    plant.blobs.put(keys.score_map_key(LINE_NAME, name_of(1), WEIGHTS), b"own")
    assert (await client.get(f"{CAPTURE}/score-maps/{WEIGHTS}")).content == b"own"


def test_files_beyond_the_page_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    page = tmp_path / "dist"
    (page / "assets").mkdir(parents=True)
    (page / "assets" / "a.js").write_text("1")
    files = PageFiles(page)
    assert not files.is_built
    found = files.read("assets/a.js")
    assert found is not None
    assert (found.data, found.media_type) == (b"1", "text/javascript")
    assert files.read("assets/../../secret") is None
    assert files.read("assets") is None


async def test_a_page_that_is_not_built_says_how(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PageFiles, "read", lambda *_: None)
    response = await client.get("/")
    assert response.status_code == 503
    assert "make web" in response.text


async def test_an_unknown_address_is_the_page_for_browsers_and_json_for_programs(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PageFile(b"<!doctype html>", "text/html", '"1"')
    monkeypatch.setattr(PageFiles, "read", lambda _, name: page if name == "index.html" else None)
    opened = await client.get("/status", headers=BROWSER | {"Accept": "text/html,*/*"})
    assert (opened.status_code, opened.content) == (404, page.data)
    assert "default-src 'none'" in opened.headers["Content-Security-Policy"]
    for path, accept in (("/status", "*/*"), ("/v1/lines", "text/html")):
        response = await client.get(path, headers={"Accept": accept})
        assert response.headers["Content-Type"].startswith("application/"), path
        assert response.content != page.data
