"""What every stage answers over HTTP."""

from collections.abc import AsyncIterator

import httpx
import pytest
import structlog
from fastapi import FastAPI
from prometheus_client import REGISTRY
from starlette.exceptions import HTTPException

from siad.contracts.errors import TransientError
from siad.runtime import trace
from siad.runtime.health import Health
from siad.runtime.http import Problem, make_app
from siad.runtime.testing.clock import FakeClock

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def health() -> Health:
    return Health("paint", clock=FakeClock(), stuck_after_s=60)


@pytest.fixture
def app(health: Health) -> FastAPI:
    app = make_app(stage="paint", health=health)

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
