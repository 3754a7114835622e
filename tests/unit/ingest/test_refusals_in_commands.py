"""What ingest refuses, in the words of a command: what happened with the value, and which option to change."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from services.ingest.domain.refusals import RefusalReason
from siad.apps import refusals
from siad.apps.client import CaptureInfo, IngestClient, ProblemError
from siad.apps.refusals import Refusal, explain
from siad.contracts.errors import TransientError
from siad.contracts.events import Intent
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.testing.clock import FakeClock
from siad.runtime.worker import StageProcess

HTTP_WORDS = re.compile(
    r"\b(GET|PUT|POST|DELETE|HTTP|ETag|If-Match|Idempotency-Key|Content-Type|captured_at|header|query|request|body)\b"
    r"|/v1/|[a-z]_[a-z]"
)
GROUP = "'captured_at'"  # of --serial-from-name
OF_IMAGES = {"not-an-image", "truncated", "damaged", "unsupported"}  # their words are of the file alone
NAIVE = datetime(2025, 1, 1)  # noqa: DTZ001 - what a fault of ours would send
KEYED = CaptureInfo(idempotency_key="k")
Act = Callable[[IngestClient, bytes], Awaitable[Any]]


@pytest.fixture
async def ingest(stage: StageProcess, clock: FakeClock) -> AsyncIterator[IngestClient]:
    transport = httpx.ASGITransport(stage.app)
    async with IngestClient("http://ingest", transport=transport, clock=clock, retry_for_s=0) as client:
        await client.put_line("press-1", {"product": "lid"})
        yield client


def at(moment: datetime) -> CaptureInfo:
    return CaptureInfo(captured_at=moment)


async def normal_then_inspected(ingest: IngestClient, png: bytes) -> None:
    await ingest.send_image(png, line="press-1", info=CaptureInfo(intent=Intent.NORMAL))
    await ingest.send_image(png, line="press-1")


async def one_key_twice(ingest: IngestClient, png: bytes) -> None:
    await ingest.send_image(png, line="press-1", info=KEYED)
    await ingest.send_image(png + b"\0", line="press-1", info=KEYED)


REFUSED: list[tuple[Act, str, str]] = [
    (
        lambda i, _: i.get_line("press-9"),
        "unknown-line",
        r"line 'press-9' is unknown; nothing was done\. Register it: siad line put press-9 --product PRODUCT",
    ),
    (lambda i, p: i.send_image(p, line="press-9"), "unknown-line", "siad line put press-9"),
    (lambda i, _: i.put_line("press-9", {}), "product-missing", r"line 'press-9' is new .* Add --product PRODUCT"),
    (
        lambda i, _: i.put_line("press-1", {"product": "Cup!"}),
        "invalid-request",
        r"^--product 'Cup!' is not 1 to 63 of a-z, 0-9 and '-'; nothing was done\. Correct it",
    ),
    (
        lambda i, _: i.put_line("press-1", {"false_reject_budget": 5.0}),
        "invalid-request",
        "^--false-reject-budget 5.0 is not below 1; nothing was done",
    ),
    (
        lambda i, _: i.put_line("press-1", {"deadline_s": -1.0, "shards": 99}),
        "invalid-request",
        "^--shards 99 is more than 64; --deadline-s -1.0 is less than 0; nothing",
    ),
    (
        lambda i, _: i.put_line("press-1", {"input_px": 5}),
        "invalid-line",
        r"--input-px 5 is not 64 to 4096.*; nothing was changed\. Correct the option",
    ),
    (lambda i, _: i.put_line("press-1", {"method": "magic"}), "invalid-line", "magic"),
    (
        lambda i, _: i.put_line("press-1", {"shards": 2}),
        "shards-shrink",
        "can't shrink to 2.*Give --shards a larger number",
    ),
    (
        lambda i, _: i.put_line("press-1", {"product": "cup"}, if_match=7),
        "precondition-failed",
        r"is at revision 1, but .* --if-revision 7; nothing was changed\. See its revision: siad line get press-1",
    ),
    (lambda i, _: i.delete_line("press-1", if_match=7), "precondition-failed", "--if-revision 7"),
    (normal_then_inspected, "capture-is-normal", "as a normal.*send it with --new"),
    (one_key_twice, "idempotency-key-reused", "key 'k' names capture .*send it with --new"),
    (
        lambda i, p: i.send_image(p, line="press-1", info=at(datetime(1999, 12, 31, tzinfo=UTC))),
        "past-time",
        "'1999-12-31T00:00:00.00:00' is before 2000-01-01.*Set the camera's clock",
    ),
    (
        lambda i, p: i.send_image(p, line="press-1", info=at(datetime(2099, 1, 1, tzinfo=UTC))),
        "future-time",
        "time 2099-01-01.* the latest that is accepted; nothing was stored. Set the camera's clock",
    ),
    (
        lambda i, p: i.send_image(p, line="press-1", info=at(NAIVE)),
        "naive-time",
        "has no time zone.*Set the camera's clock",
    ),
    (
        lambda i, p: i.send_image(p, line="press-1", info=CaptureInfo(serial="a\nb")),
        "invalid-serial",
        r"serial 'a\\nb' has 3 characters.*Correct the group 'serial'",
    ),
    (lambda i, _: i.send_image(b"x" * 30_000, line="press-1"), "too-large", "30000 bytes.*Send a smaller image"),
    (lambda i, _: i.send_image(b"x", line="press-1"), "not-an-image", "1 bytes .*; nothing was stored"),
]


@pytest.mark.parametrize(("act", "code", "words"), REFUSED)
async def test_a_refusal_names_the_value_and_the_option(
    ingest: IngestClient, png: bytes, act: Act, code: str, words: str
) -> None:
    with pytest.raises(ProblemError) as refused:
        await act(ingest, png)
    text = str(refused.value)
    assert (refused.value.code, re.search(words, text) is not None) == (code, True), text
    assert HTTP_WORDS.search(text.replace(GROUP, "")) is None, text


def test_every_kind_of_refusal_has_advice_in_terms_of_commands() -> None:
    for reason in RefusalReason:
        advice = refusals._ADVICE.get(reason.value, "")
        assert bool(advice) != (reason.value in OF_IMAGES), reason
        assert HTTP_WORDS.search(advice.replace(GROUP, "")) is None, reason


async def test_an_outage_says_what_is_away_and_that_repeating_is_safe(
    ingest: IngestClient, blobs: MemoryBlobs, png: bytes
) -> None:
    blobs.down = True
    with pytest.raises(TransientError) as failed:
        await ingest.send_image(png, line="press-1")
    assert re.fullmatch(r"store in memory is unavailable, .*; no data was lost\. Repeating is safe", str(failed.value))


async def test_another_server_is_told_by_the_address_to_check() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, text="<html>nginx</html>")

    async with IngestClient("http://elsewhere", transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(ProblemError, match=r"404 Not Found: <html>nginx</html>\. Check --url: it must be"):
            await client.get_line("press-1")


def test_an_unknown_kind_of_refusal_keeps_ingests_words_of_what_happened() -> None:
    refusal = Refusal(code="new-kind", detail="the moon is full; nothing was stored. Send header X")
    assert explain(refusal) == "the moon is full; nothing was stored"
    assert (
        explain(Refusal(code="bug", detail="internal error KeyError; see the log"))
        == "internal error KeyError; see the log"
    )
