"""What every stage answers over HTTP."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from prometheus_client import REGISTRY
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from siad.contracts.errors import TransientError
from siad.contracts.ids import SLUG
from siad.runtime import trace
from siad.runtime.health import Health
from siad.runtime.http import make_app
from siad.runtime.problems import Problem
from siad.runtime.testing.clock import FakeClock

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def health() -> Health:
    return Health("paint", clock=FakeClock(), stuck_after_s=60)


@pytest.fixture
def app(health: Health) -> FastAPI:
    app = make_app(stage="paint", health=health)

    class Colour(BaseModel):
        model_config = ConfigDict(extra="forbid")
        name: Annotated[str, Field(pattern=f"^{SLUG.pattern}$")]
        share: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.5

    @app.put("/colours/{line}")
    async def colour(line: str, body: Colour, shade: str = "", tone: str = "") -> dict[str, Any]:
        return body.model_dump() | {"line": line, "shade": shade, "tone": tone}

    @app.get("/colours/{line}")
    async def one_colour(line: str) -> str:
        return line

    @app.get("/coats/{number}")
    async def coat(number: int) -> dict[str, str | None]:
        if number == 1:
            raise Problem(412, "stale-etag", "etag 3 is not the newest", headers={"ETag": "4"}, newest=4)
        if number == 2:
            raise TransientError("bucket siad does not answer")
        if number == 3:
            raise HTTPException(405, "not so")
        if number == 4:
            raise ZeroDivisionError
        span = trace.CURRENT.get()
        bound = structlog.contextvars.get_contextvars()["traceparent"]
        return {"trace": span.trace_id if span else None, "bound": bound}

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://paint") as client:
        yield client


async def test_alive_until_it_is_stuck(client: httpx.AsyncClient, health: Health) -> None:
    assert (await client.get("/healthz")).json() == {"status": "alive", "stage": "paint", "paused": {}}
    health.lag(5)
    assert isinstance(health.clock, FakeClock)
    health.clock.advance(61)
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["detail"] == "5 records wait and no work was completed for 61 s; restart this process"


async def test_ready_says_what_it_waits_for(client: httpx.AsyncClient, health: Health) -> None:
    assert (await client.get("/readyz")).status_code == 200

    async def store() -> None:
        raise TransientError("no bucket")

    health.checks["store"] = store
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["missing"] == {"store": "no bucket"}


async def test_a_problem_reaches_the_client_as_it_stands(client: httpx.AsyncClient) -> None:
    answer = await client.get("/coats/1")
    assert (answer.status_code, answer.headers["etag"]) == (412, "4")
    assert answer.json() == {
        "type": "urn:siad:problem:stale-etag",
        "title": "stale etag",
        "status": 412,
        "detail": "etag 3 is not the newest",
        "newest": 4,
    }


async def test_what_is_away_is_asked_for_again(client: httpx.AsyncClient) -> None:
    answer = await client.get("/coats/2")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "bucket siad does not answer; no data was lost" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/coats/3", 405, "http-error"),
        ("/nowhere", 404, "http-error"),
        ("/coats/4", 500, "bug"),
        ("/coats/x", 422, "invalid-request"),
    ],
)
async def test_every_error_is_a_problem(client: httpx.AsyncClient, path: str, status: int, code: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["type"] == f"urn:siad:problem:{code}"


async def test_an_internal_error_names_the_trace_of_the_log(client: httpx.AsyncClient) -> None:
    trace_id = "ab" * 16
    answer = await client.get("/coats/4", headers={"traceparent": f"00-{trace_id}-{'cd' * 8}-01"})
    assert answer.json()["detail"].endswith(f"see the server log (trace {trace_id})")


async def test_an_invalid_request_is_told_where(client: httpx.AsyncClient) -> None:
    assert (await client.get("/coats/x")).json()["errors"][0]["where"] == "path.number"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ('{"name": "Red!"}', "name 'Red!' is not 1 to 63 of a-z, 0-9 and '-'"),
        ('{"name": "red", "share": 2}', "share 2 is not below 1"),
        ('{"name": "red", "share": "1"}', "share '1' is not a number"),
        ('{"name": "red", "gloss": 1}', "gloss is unknown; known are name, share"),
        ('{"share": 0.1}', "name is missing"),
        ('{"name": 7}', "name 7 is not a text"),
        ('{"name": "' + "x" * 99 + '"}', "name '" + "x" * 59 + "... is not 1 to 63 of a-z, 0-9 and '-'"),
        ("[]", "the body [] is not a JSON object; send one as application/json"),
        ('{"name": ', "the body is not JSON: Expecting value"),
    ],
)
async def test_an_invalid_body_is_told_with_field_value_and_rule(
    client: httpx.AsyncClient, body: str, detail: str
) -> None:
    answer = await client.put("/colours/a", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:siad:problem:invalid-request")
    assert answer.json()["detail"] == f"{detail}; nothing was done. Correct it and send the request again"


@pytest.mark.parametrize(
    ("address", "code", "detail"),
    [
        ("?shad=1", "unknown-parameter", "parameter 'shad' is unknown; nothing was done. Known are shade, tone"),
        ("?b&a=1", "unknown-parameter", "parameters 'a', 'b' are unknown; nothing was done. Known are shade, tone"),
        ("?shade=1&shade=2", "repeated-parameter", "'shade' is given twice, as '1' and as '2'"),
        ("?shade=1&shade=", "repeated-parameter", "'shade' is given twice, as '1' and as ''"),
        ("?shade=%ff", "invalid-request", "the parameter 'shade=%ff' is not UTF-8 written as %XX"),
    ],
)
async def test_a_query_that_the_route_would_misread_is_refused(
    client: httpx.AsyncClient, address: str, code: str, detail: str
) -> None:
    answer = await client.put(f"/colours/a{address}", json={"name": "red"})
    assert (answer.status_code, answer.json()["type"]) == (422, f"urn:siad:problem:{code}")
    assert answer.json()["detail"].startswith(detail)
    assert "nothing was done" in answer.json()["detail"]


async def test_a_query_that_says_one_thing_is_read(client: httpx.AsyncClient) -> None:
    answer = await client.put("/colours/a?shade=b+%C3%A9&shade=b%20%C3%A9&&tone", json={"name": "red"})
    assert (answer.status_code, answer.json()["shade"], answer.json()["tone"]) == (200, "b é", "")
    for address in ("/healthz?verbose", "/readyz?verbose", "/metrics?name=x", "/coats/9?number=3"):
        refused = await client.get(address)
        assert refused.json()["detail"].endswith("This address has no parameters"), address


async def test_a_json_object_with_two_values_of_one_name_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    twice = await client.put("/colours/a", content='{"name": "red", "name": "blue"}', headers=headers)
    assert (twice.status_code, twice.json()["type"]) == (422, "urn:siad:problem:repeated-parameter")
    assert (await client.put("/colours/a", content='{"name": "red", "name": "red"}', headers=headers)).is_success


@pytest.mark.parametrize(
    "address", ["/colours/a%2Fb", "/colours/a%2fb", "/colours/a%5Cb", "/colours/a%00", "/colours/a%0A"]
)
async def test_no_encoded_character_ends_a_part_of_an_address(client: httpx.AsyncClient, address: str) -> None:
    for method in ("GET", "PUT"):
        answer = await client.request(method, address, json={"name": "red"})
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:siad:problem:http-error")


async def test_an_unknown_address_is_told_with_those_that_there_are(client: httpx.AsyncClient) -> None:
    for address in ("/colours/press/3", "/colours/press-3/", "/colours//press-3"):
        answer = await client.put(address, json={"name": "red"})
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:siad:problem:http-error")
        detail = answer.json()["detail"]
        assert detail.startswith(
            f"PUT {address!r} is no address here; nothing was done. The name of a line is one part"
        )
        assert "Addresses: GET /healthz, GET /readyz, GET /metrics, GET /colours/{line}, PUT /colours/{line}" in detail


async def test_a_method_that_is_none_is_told_with_those_that_are(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/colours/a")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, PUT")
    assert answer.json()["detail"] == "DELETE is not possible at '/colours/a'; nothing was done. Use GET or PUT"


async def test_a_request_stays_in_its_trace(client: httpx.AsyncClient) -> None:
    answer = await client.get("/coats/9", headers={"traceparent": TRACEPARENT})
    assert answer.json()["trace"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert answer.json()["bound"] == answer.headers["traceparent"] != TRACEPARENT
    assert (await client.get("/nowhere")).headers["traceparent"].startswith("00-")


async def test_requests_are_counted_by_the_template_of_their_route(client: httpx.AsyncClient) -> None:
    await client.get("/coats/77")
    text = (await client.get("/metrics")).text
    assert 'siad_http_seconds_count{route="/coats/{number}",stage="paint",status="200"}' in text
    assert (
        REGISTRY.get_sample_value("siad_http_seconds_count", {"stage": "paint", "route": "/coats/77", "status": "200"})
        is None
    )
