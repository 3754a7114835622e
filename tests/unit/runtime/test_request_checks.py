"""Whatever a query says, a route reads it as it stands, or the request is refused."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI
from hypothesis import example, given
from hypothesis import strategies as st

from siad.runtime.health import Health
from siad.runtime.http import make_app
from siad.runtime.testing.clock import FakeClock
from tests.fuzzing import bounded, long_fuzz

PIECES = (
    *(b"shade", b"tone", b"shade=", b"tone=", b"shade=1", b"shade=2", b"tone=1", b"Shade=1", b"shad", b"", b"=", b"&"),
    *(
        b"&",
        b"&",
        b";",
        b"+",
        b"%20",
        b"%2B",
        b"%26",
        b"%3D",
        b"%00",
        b"%c3%a9",
        b"%ff",
        b"%",
        b"%zz",
        b"\xc3\xa9",
        b"\xff",
    ),
)
QUERIES = st.binary(max_size=8).map(lambda data: b"".join(PIECES[byte % len(PIECES)] for byte in data))


def make() -> FastAPI:
    app = make_app(stage="paint", health=Health("paint", clock=FakeClock(), stuck_after_s=60))

    @app.get("/colours")
    async def colours(shade: str = "none", tone: str = "none") -> dict[str, str]:
        return {"shade": shade, "tone": tone}

    return app


async def ask(app: FastAPI, query: bytes) -> tuple[int, Any]:
    sent: list[Any] = []
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/colours",
        "raw_path": b"/colours",
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"paint")],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(one.get("body", b"") for one in sent[1:]))


def read(query: bytes) -> list[tuple[str, str]] | None:
    """Names and values, by the standard library; None where they are not UTF-8, written as %XX."""
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        return None


@long_fuzz
def test_a_query_is_read_as_it_stands_or_refused() -> None:
    app = make()
    with asyncio.Runner() as runner:

        @bounded
        @given(query=QUERIES)
        @example(b"shade=1&shade=2")
        @example(b"shade=1&shade=1&tone=%c3%a9+%2B")
        @example(b"shade=%ff")
        @example(b"shade=\xc3\xa9")
        def is_read(query: bytes) -> None:
            status, body = runner.run(ask(app, query))
            pairs = read(query)
            is_single = pairs is not None and len(dict(pairs)) == len(set(pairs))
            if pairs is None or not is_single or {name for name, _ in pairs} - {"shade", "tone"}:
                assert status == 422
                assert "nothing was done" in body["detail"]
            else:
                assert (status, body) == (200, {"shade": "none", "tone": "none"} | dict(pairs))

        is_read()
