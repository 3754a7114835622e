"""The client and the commands, against the real app of ingest in memory."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from siad.apps.cli.line import line_app
from siad.apps.client import CaptureInfo, IngestClient, ProblemError
from siad.apps.uploads import UploadOptions, send_all
from siad.apps.walk import find_images
from siad.contracts.errors import TransientError
from siad.contracts.events import Intent
from siad.contracts.topics import IMAGE
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.testing.clock import FakeClock
from siad.runtime.worker import StageProcess


class Flaky(httpx.AsyncBaseTransport):
    """Fails as told, then hands over."""

    def __init__(self, inner: httpx.AsyncBaseTransport, troubles: list[httpx.Response | Exception]) -> None:
        self.inner, self.troubles, self.asked = inner, troubles, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if not self.troubles:
            return await self.inner.handle_async_request(request)
        trouble = self.troubles.pop(0)
        if isinstance(trouble, Exception):
            raise trouble
        return trouble


@pytest.fixture
def flaky(stage: StageProcess) -> Flaky:
    return Flaky(httpx.ASGITransport(stage.app), [])


@pytest.fixture
async def ingest(flaky: Flaky, clock: FakeClock) -> AsyncIterator[IngestClient]:
    async with IngestClient("http://ingest", transport=flaky, clock=clock, retry_for_s=30) as client:
        await client.put_line("press-1", {"product": "lid"})
        yield client


async def test_lines_are_put_read_listed_and_deleted(ingest: IngestClient) -> None:
    changed = await ingest.put_line("press-1", {"deadline_s": 2.0}, if_match=1)
    assert (changed["revision"], changed["product"]) == (2, "lid")
    assert await ingest.get_line("press-1") == changed
    assert await ingest.list_lines() == [changed]
    await ingest.delete_line("press-1", if_match=2)
    assert await ingest.list_lines() == []


async def test_a_refusal_is_raised_at_once_in_ingests_words(ingest: IngestClient, clock: FakeClock) -> None:
    with pytest.raises(ProblemError, match="line 'press-1' is at revision 1") as refused:
        await ingest.put_line("press-1", {"product": "cup"}, if_match=7)
    assert (refused.value.status, refused.value.code) == (412, "precondition-failed")
    assert clock.slept == []


async def test_an_image_is_sent_with_all_that_is_known(ingest: IngestClient, png: bytes) -> None:
    at = datetime(2025, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)
    info = CaptureInfo(intent=Intent.NORMAL, captured_at=at, serial="7")
    answer = await ingest.send_image(png, line="press-1", info=info)
    assert (answer["intent"], answer["serial"]) == ("normal", "7")
    assert datetime.fromisoformat(answer["captured_at"]) == at


async def test_what_is_away_is_asked_again_and_stays_one_capture(
    ingest: IngestClient, flaky: Flaky, clock: FakeClock, bus: MemoryBus, blobs: MemoryBlobs, png: bytes
) -> None:
    flaky.troubles += [httpx.ConnectError("refused"), httpx.Response(503, headers={"Retry-After": "7"})]
    first = await ingest.send_image(png, line="press-1")
    flaky.troubles.append(httpx.ReadError("cut off"))  # it may have been accepted
    again = await ingest.send_image(png, line="press-1")
    assert first["capture_id"] == again["capture_id"]
    assert clock.slept[1] == 7
    assert len(bus.records(IMAGE.name)) == 2
    assert len(list(blobs.list("captures/"))) == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8400",
        "127.0.0.1:8400",
        "ftp://a",
        "http://",
        "http://[::1",
        "http://a:x",
        "http://a?b",
        "http://a#b",
    ],
)
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is not an address; nothing was sent") as refused:
        IngestClient(url)
    assert repr(url) in str(refused.value)


async def test_patience_ends(ingest: IngestClient, blobs: MemoryBlobs, clock: FakeClock, png: bytes) -> None:
    blobs.down = True
    with pytest.raises(TransientError, match="not done within 30 s: store in memory is unavailable"):
        await ingest.send_image(png, line="press-1")
    assert sum(clock.slept) <= 30
    assert min(clock.slept) == 5  # ingest asked for that much


async def test_a_proxy_in_between_may_answer_without_a_problem(ingest: IngestClient, flaky: Flaky) -> None:
    flaky.troubles.append(httpx.Response(418, text="I'm a teapot"))
    with pytest.raises(ProblemError, match="418 I'm a teapot"):
        await ingest.list_lines()


async def test_files_are_sent_and_what_is_refused_is_told(ingest: IngestClient, tmp_path: Path, png: bytes) -> None:
    for name, data in {"b.png": png, "a.PNG": png + b"\0", "c.png": b"no image", "notes.txt": b"hello"}.items():
        (tmp_path / name).write_bytes(data)
    done: list[None] = []
    paths = find_images([tmp_path]).images
    assert [path.name for path in paths] == ["a.PNG", "b.png", "c.png"]
    sent = await send_all(ingest, paths, UploadOptions(line="press-1"), on_done=lambda: done.append(None))
    assert len(done) == 3
    assert {Path(one["file"]).name for one in sent.accepted} == {"a.PNG", "b.png"}
    assert [one["code"] for one in sent.refused] == ["not-an-image"]


async def test_files_sent_again_are_repeats_unless_they_are_called_new(
    ingest: IngestClient, tmp_path: Path, png: bytes
) -> None:
    path = tmp_path / "part.png"
    path.write_bytes(png)
    said = [
        (await send_all(ingest, [path], UploadOptions(line="press-1", is_new=new))).accepted[0]["is_repeat"]
        for new in (False, False, True, True)
    ]
    assert said == [False, True, False, False]


def test_a_command_without_a_running_machine_says_what_to_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(line_app, ["list", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "siad up" in result.output
