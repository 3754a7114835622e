"""API keys before the routes of a stage: let in, refused, and never told."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import httpx
import pytest
from structlog.testing import capture_logs

from siad.contracts.access import Scope
from siad.contracts.access_keys import api_key_key
from siad.contracts.errors import TransientError
from siad.runtime.access.api_keys import ApiKeys, KeyRequest
from siad.runtime.access.settings import AccessSettings
from siad.runtime.access.table import CONFIGURE, INGEST, VIEW, RouteNeed
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.boot import protect
from siad.runtime.settings import StageSettings
from siad.runtime.testing.clock import FakeClock
from siad.runtime.worker import StageProcess, no_adapters, serve

REFRESHED_S, FOUND_S = 2.0, 0.5  # a change counts by then; a new key does
ROUTES: dict[str, RouteNeed] = {
    "GET /v1/lines": VIEW,
    "PUT /v1/lines/{line}": CONFIGURE,
    "POST /v1/lines/{line}/images": INGEST,
}
Make = Callable[..., str]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def stage(blobs: MemoryBlobs, clock: FakeClock) -> StageProcess:
    stage = StageProcess("ingest", StageSettings(), clock=clock, access=AccessSettings(auth="required"))
    protect(stage, AsyncBlobs(blobs, workers=1), ROUTES)

    @stage.app.get("/v1/lines")
    async def lines() -> str:
        return "lines"

    @stage.app.put("/v1/lines/{line}")
    async def put(line: str) -> str:
        return line

    @stage.app.post("/v1/lines/{line}/images")
    async def images(line: str) -> str:
        return line

    @stage.app.get("/v1/forgotten")
    async def forgotten() -> str:
        return "no entry"

    return stage


@pytest.fixture
async def client(stage: StageProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(stage.app), base_url="http://stage") as client:
        yield client


@pytest.fixture
def make(blobs: MemoryBlobs, clock: FakeClock) -> Make:
    def make(*scopes: Scope, lines: tuple[str, ...] = (), days: float = 0) -> str:
        expires_at = clock.now() + timedelta(days=days) if days else None
        request = KeyRequest(name="camera", scopes=scopes, lines=lines, expires_at=expires_at, created_by="ann")
        return ApiKeys(blobs).create(request, now=clock.now())[0]

    return make


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def kind_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, str(response.json()["type"]).removeprefix("urn:siad:problem:")


async def test_without_a_key_only_health_and_description_answer(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/lines")
    assert kind_of(response) == (401, "signed-out")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert all(word in response.json()["detail"] for word in ("nothing was done", "siad key create", "SIAD_API_KEY"))
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert (await client.get(path)).status_code == 200, path


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (Scope.READ, ["GET /v1/lines"]),
        (Scope.INGEST, ["POST /v1/lines/press-1/images"]),
        (Scope.INSPECT, []),
        (Scope.ADMIN, ["GET /v1/lines", "PUT /v1/lines/press-1", "POST /v1/lines/press-1/images", "GET /v1/forgotten"]),
    ],
)
async def test_a_scope_opens_its_routes(
    client: httpx.AsyncClient, make: Make, scope: Scope, allowed: list[str]
) -> None:
    headers = bearer(make(scope))
    for asked in ("GET /v1/lines", "PUT /v1/lines/press-1", "POST /v1/lines/press-1/images", "GET /v1/forgotten"):
        method, _, path = asked.partition(" ")
        response = await client.request(method, path, headers=headers)
        assert response.status_code == (200 if asked in allowed else 403), asked
        if response.status_code == 403:
            assert "nothing was done" in response.json()["detail"]


async def test_a_key_of_one_line_opens_no_other(client: httpx.AsyncClient, make: Make) -> None:
    headers = bearer(make(Scope.INGEST, Scope.READ, lines=("press-1",)))
    assert (await client.post("/v1/lines/press-1/images", headers=headers)).status_code == 200
    refused = await client.post("/v1/lines/press-2/images", headers=headers)
    assert kind_of(refused) == (403, "not-allowed")
    assert "may not ingest on line 'press-2'" in refused.json()["detail"]
    assert (await client.get("/v1/lines", headers=headers)).status_code == 403  # of every line


async def test_an_expired_key_is_refused(client: httpx.AsyncClient, make: Make, clock: FakeClock) -> None:
    headers = bearer(make(Scope.READ, days=1))
    assert (await client.get("/v1/lines", headers=headers)).status_code == 200
    await clock.sleep(24 * 3600)
    response = await client.get("/v1/lines", headers=headers)
    assert kind_of(response) == (401, "ended-key")
    assert "expired at" in response.json()["detail"]


async def test_a_revoked_key_is_refused_within_two_seconds(
    client: httpx.AsyncClient, make: Make, clock: FakeClock, blobs: MemoryBlobs
) -> None:
    key = make(Scope.READ)
    assert (await client.get("/v1/lines", headers=bearer(key))).status_code == 200
    assert ApiKeys(blobs).revoke(key[5:10], now=clock.now())[1]
    await clock.sleep(REFRESHED_S)
    assert kind_of(await client.get("/v1/lines", headers=bearer(key))) == (401, "ended-key")
    assert not ApiKeys(blobs).revoke(key, now=clock.now())[1]  # a repeat by the whole key


async def test_a_new_key_works_at_once(client: httpx.AsyncClient, make: Make, clock: FakeClock) -> None:
    await client.get("/v1/lines", headers=bearer(make(Scope.READ)))
    key = make(Scope.READ)
    await clock.sleep(FOUND_S)
    assert (await client.get("/v1/lines", headers=bearer(key))).status_code == 200


@pytest.mark.parametrize("change", ["", "x", "siad_", "secret", "id", "admin", "basic"])
async def test_another_text_is_no_key(client: httpx.AsyncClient, make: Make, change: str) -> None:
    key = make(Scope.ADMIN)
    head, ident, secret = key.split("_", 2)
    texts = {
        "secret": f"{head}_{ident}_{secret[::-1]}",
        "id": f"{head}_{ident[::-1]}_{secret}",
        "admin": "admin:admin",
    }
    headers = {"Authorization": f"Basic {key}"} if change == "basic" else bearer(texts.get(change, change))
    status, code = kind_of(await client.get("/v1/lines", headers=headers))
    assert (status, code) == (401, "signed-out" if change == "basic" else "unknown-key")


async def test_keys_go_on_while_the_store_is_away(
    client: httpx.AsyncClient, make: Make, clock: FakeClock, blobs: MemoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make(Scope.READ)
    list_ = MemoryBlobs.list

    def away(*_: object, **__: object) -> None:
        raise TransientError("the store is unavailable")

    monkeypatch.setattr(MemoryBlobs, "list", away)
    response = await client.get("/v1/lines", headers=bearer(key))
    assert kind_of(response) == (503, "try-again")
    assert response.headers["Retry-After"] == "5"
    monkeypatch.setattr(MemoryBlobs, "list", list_)
    await clock.sleep(1)
    assert (await client.get("/v1/lines", headers=bearer(key))).status_code == 200
    monkeypatch.setattr(MemoryBlobs, "list", away)
    await clock.sleep(3600)
    assert (await client.get("/v1/lines", headers=bearer(key))).status_code == 200


async def test_a_damaged_key_gives_no_access_and_no_other_is_hurt(
    client: httpx.AsyncClient, make: Make, blobs: MemoryBlobs
) -> None:
    good, bad = make(Scope.READ), make(Scope.READ)
    blobs.put(api_key_key(bad.split("_")[1]), b"{")
    assert (await client.get("/v1/lines", headers=bearer(bad))).status_code == 401
    assert (await client.get("/v1/lines", headers=bearer(good))).status_code == 200


async def test_a_secret_is_neither_stored_nor_logged(client: httpx.AsyncClient, make: Make, blobs: MemoryBlobs) -> None:
    key = make(Scope.INSPECT)
    secret = key.split("_", 2)[2]
    with capture_logs() as logs:
        for text in (key, key[:-1], f"{key}x"):
            response = await client.get("/v1/lines", headers=bearer(text))
            assert secret not in response.text
    assert [one["actor"] for one in logs if one["event"] == "audit"] == [f"key {key.split('_')[1]}", "", ""]
    assert secret not in repr(logs)
    assert all(secret.encode() not in blobs.get(info.key).data for info in blobs.list(""))


async def test_a_stage_without_a_guard_does_not_start() -> None:
    stage = StageProcess("ingest", StageSettings(http_port=0), access=AccessSettings(auth="required"))
    with pytest.raises(RuntimeError, match="no guard before its routes"):
        await serve(stage, no_adapters)


def test_the_setting_has_two_values() -> None:
    assert not AccessSettings.load({"SIAD_INGEST_HTTP_PORT": "1"}).is_required
    assert AccessSettings.load({"SIAD_AUTH": "required"}).is_required
    with pytest.raises(ValueError, match="SIAD_AUTH='yes' refused"):
        AccessSettings.load({"SIAD_AUTH": "yes"})
