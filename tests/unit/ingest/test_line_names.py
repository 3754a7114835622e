"""Whatever is asked under a name, no other line is touched: by the server, and by the client before it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest.app import assemble
from services.ingest.settings import IngestSettings
from siad.apps.client import IngestClient, ProblemError
from siad.contracts import keys
from siad.contracts.ids import SLUG
from siad.contracts.topics import TOPICS
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.testing.clock import FakeClock
from siad.runtime.worker import StageProcess
from tests.fuzzing import bounded, long_fuzz

LINES = ("tmp-1", "tmp-2", "images")
PIECES = (
    *("tmp-1", "tmp-2", "images", "x", "TMP-1", "tmp", "1", "-", "/", "..", ".", "//", "../tmp-1", "/../tmp-1", "\\"),
    *("#", "#2", "?", "?a=b", ";", ";x=1", "&", "=", "+", " ", "\n", "\r", "\t", "\0", "%", "%2F", "%2e%2e", "%23"),
    *(
        "%00",
        "%0a",
        "\u00e9",
        "e\u0301",
        "\uff54",
        "\u2215",
        "\u202e",
        "\U0001f600",
        "\ufeff",
        "%ff",
        "%c0%af",
        "~",
        ":",
    ),
)
NAMES = st.binary(min_size=1, max_size=4).map(lambda data: "".join(PIECES[byte % len(PIECES)] for byte in data))


class World:
    """Ingest with some lines, asked by raw addresses as a server reads them from the wire."""

    def __init__(self, stage: StageProcess, blobs: MemoryBlobs) -> None:
        self.stage, self.blobs = stage, blobs

    async def ask(self, method: str, address: str, body: bytes = b"") -> int:
        raw, _, query = address.encode("utf-8", "surrogateescape").partition(b"?")
        media_type = b"application/octet-stream" if method == "POST" else b"application/json"
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(raw.decode("latin-1")),
            "raw_path": raw,
            "query_string": query,
            "root_path": "",
            "headers": [(b"host", b"ingest"), (b"content-type", media_type)],
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.stage.app(scope, receive, send)
        return int(sent[0]["status"])

    def revisions(self) -> dict[str, bytes]:
        return {name: self.blobs.get(keys.line_pointer_key(name)).data for name in self.names()}

    def names(self) -> set[str]:
        return {keys.name_of(one.key) for one in self.blobs.list(keys.line_pointers_prefix())}


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    bus, blobs, settings = MemoryBus(), MemoryBlobs(), IngestSettings()
    await bus.create_topics(TOPICS)
    stage = StageProcess("ingest", settings, clock=FakeClock())
    async with assemble(stage, settings, bus=bus, blobs=blobs):
        yield World(stage, blobs)


async def register(one: World) -> None:
    """Put the lines back as they were at first, at the next revision."""
    for line in LINES:
        assert await one.ask("PUT", f"/v1/lines/{line}", b'{"product": "lid", "deadline_s": 0}') in (200, 201)


@long_fuzz
def test_no_address_touches_a_line_of_another_name(png: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with asyncio.Runner() as runner:
        context = world()
        one = runner.run(context.__aenter__())
        runner.run(register(one))

        @bounded
        @given(name=NAMES, method=st.sampled_from(["PUT", "DELETE", "POST"]))
        @example("tmp-1#2", "DELETE")
        @example("x/../tmp-1", "PUT")
        @example("tmp-1/", "DELETE")
        @example("tmp-1%2Fimages", "POST")
        @example("tmp-2/images", "POST")
        def touches_no_other(name: str, method: str) -> None:
            before, path = one.revisions(), name.partition("?")[0]
            body = png if method == "POST" else b'{"product": "cup", "deadline_s": 1}'
            status = runner.run(one.ask(method, f"/v1/lines/{name}", body))
            after = one.revisions()
            assert status < 500
            changed = {line for line in after if after[line] != before.get(line)}
            assert changed <= {path}
            captures = {info.key.split("/")[1] for info in one.blobs.list("captures/")}
            assert {f"{line}/images" for line in captures} <= {path}
            assert captures or (name, method) != ("tmp-2/images", "POST")  # the example that is an upload
            for info in list(one.blobs.list("captures/")):
                one.blobs.delete(info.key)
            for line in changed:
                assert SLUG.fullmatch(line)
                body = b'{"product": "lid", "deadline_s": 0}'
                assert runner.run(one.ask("PUT", f"/v1/lines/{line}", body)) in (200, 201)

        touches_no_other()
        runner.run(context.__aexit__(None, None, None))
        capfd.readouterr()  # the log of some hundred requests


@long_fuzz
def test_the_client_sends_no_request_under_a_name_that_is_none(capfd: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        return httpx.Response(404, json={"type": "urn:siad:problem:unknown-line", "detail": "unknown"})

    with asyncio.Runner() as runner:
        client = IngestClient("http://ingest", transport=httpx.MockTransport(answer))

        @bounded
        @given(name=NAMES, which=st.integers(0, 3))
        @example("tmp-1#2", 0)
        @example("x/../tmp-1", 1)
        @example("tmp-1\n", 2)
        @example("", 3)
        def is_checked(name: str, which: int) -> None:
            asked.clear()
            acts = (
                lambda: client.delete_line(name),
                lambda: client.put_line(name, {}),
                lambda: client.get_line(name),
                lambda: client.send_image(b"", line=name),
            )
            if SLUG.fullmatch(name):
                with pytest.raises(ProblemError):
                    runner.run(acts[which]())
                assert asked[0].partition("?")[0] == f"/v1/lines/{name}" + ("/images" if which == 3 else "")
                return
            with pytest.raises(ValueError, match=r"is not a valid name: use 1 to 63 .*; nothing was sent") as refused:
                runner.run(acts[which]())
            assert (asked, repr(name) in str(refused.value)) == ([], True)

        is_checked()
        runner.run(client.__aexit__(None, None, None))
