"""What ingest's answers mean for a file, and the command's own refusals."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from siad.apps.cli.__main__ import app
from siad.apps.client import IngestClient
from siad.apps.edge.journal import Journal, journal_path
from siad.apps.edge.plan import FileStamp, FileState, JournalEntry
from siad.apps.edge.upload import FileUpload, IngestUploader, UploadOutcome, UploadResponse, outcome_of
from siad.contracts.events import Intent

ACCEPTED = {"capture_id": "c" * 32, "is_repeat": False}


def problem(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, content=json.dumps({"type": f"urn:siad:problem:{code}", "detail": "told"}))


async def hand(answer: Callable[[httpx.Request], httpx.Response], upload: FileUpload) -> UploadResponse:
    transport = httpx.MockTransport(answer)
    async with IngestClient("http://ingest", retry_for_s=0, transport=transport) as client:
        return await IngestUploader(client, line="press-1", intent=Intent.NORMAL)(upload)


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (415, "not-an-image", UploadOutcome.REFUSED),
        (422, "idempotency-key-reused", UploadOutcome.REFUSED),
        (409, "capture-is-normal", UploadOutcome.REFUSED),
        (413, "too-large", UploadOutcome.REFUSED),
        (400, "cut-off", UploadOutcome.RETRY),
        (408, "too-slow", UploadOutcome.RETRY),
        (429, "http-error", UploadOutcome.RETRY),
        (500, "bug", UploadOutcome.RETRY),
        (401, "no-account", UploadOutcome.UNAVAILABLE),
        (403, "not-allowed", UploadOutcome.UNAVAILABLE),
        (404, "unknown-line", UploadOutcome.UNAVAILABLE),
    ],
)
def test_a_refusal_is_of_the_file_or_of_the_moment_or_of_all(status: int, code: str, outcome: UploadOutcome) -> None:
    assert outcome_of(status, code) is outcome


async def test_all_that_is_known_goes_along_under_its_key() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202, json=ACCEPTED)

    at = datetime(2026, 5, 4, 12, tzinfo=UTC)
    said = await hand(answer, FileUpload(data=b"image", key="k", serial="SN1", captured_at=at))
    assert said == UploadResponse(outcome=UploadOutcome.ACCEPTED, capture_id="c" * 32)
    assert (seen[0].content, seen[0].headers["idempotency-key"]) == (b"image", "k")
    assert dict(seen[0].url.params) == {"intent": "normal", "serial": "SN1", "captured_at": at.isoformat()}


async def test_a_note_of_ingest_is_kept() -> None:
    said = await hand(lambda _: httpx.Response(202, json=ACCEPTED | {"note": "page 2"}), FileUpload(data=b"", key="k"))
    assert said.note == "page 2"


@pytest.mark.parametrize(("is_guessed", "outcome"), [(True, UploadOutcome.ACCEPTED), (False, UploadOutcome.REFUSED)])
async def test_a_file_systems_wrong_clock_costs_no_image_and_a_senders_does(
    is_guessed: bool, outcome: UploadOutcome
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "captured_at" in request.url.params:
            return problem(422, "future-time")
        return httpx.Response(202, json=ACCEPTED)

    at = datetime(2099, 1, 1, tzinfo=UTC)
    assert (
        await hand(answer, FileUpload(data=b"", key="k", captured_at=at, is_time_guessed=is_guessed))
    ).outcome is outcome


async def test_who_does_not_answer_is_away_at_once() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    said = await hand(answer, FileUpload(data=b"", key="k"))
    assert said.outcome is UploadOutcome.UNAVAILABLE
    assert said.detail.startswith("ingest does not respond at http://ingest")


def run(*args: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["watch", *map(str, args)])
    return result.exit_code, result.output


def test_what_can_not_be_meant_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    there = (tmp_path / "in", "--data", tmp_path, "--url", "http://127.0.0.1:9")
    for args, said in (
        (("--line", "Press 1"), "'Press 1' is not a valid name"),
        (("--line", "a", "--move-to", tmp_path / "in"), "Name another folder"),
        (("--line", "a", "--serial-from-name", "SN"), "no group 'serial'"),
        (("--line", "a", "--serial-from-name", "(?P<serial>.)", "--zone", "UTC"), "has no effect without a group"),
        (("--line", "a", "--zone", "UTC"), "has no effect without a group"),
        (("--line", "a", "--serial-from-name", "(?P<serial>.)(?P<captured_at>.)", "--zone", "Mars"), "'Mars' is not a"),
    ):
        status, text = run(*there, *args)
        assert (status, said in text) == (1, True), text
    assert run(tmp_path / "none", "--line", "a")[0] == 2


def test_refused_lists_what_still_lies_there_as_it_was(tmp_path: Path) -> None:
    folder = (tmp_path / "in").resolve()
    folder.mkdir()
    assert run(folder, "--refused", "--data", tmp_path)[0] == 0
    with Journal(journal_path(tmp_path, folder), "press-1") as journal:
        for name in ("still.png", "changed.png", "gone.png"):
            (folder / name).write_bytes(b"x")
            found = (folder / name).stat()
            stamp = FileStamp(found.st_size, found.st_mtime_ns)
            known = JournalEntry(
                stamp=stamp, sha256="a" * 64, state=FileState.REFUSED, code="damaged", detail="no pixels"
            )
            journal.record(name, known, now_s=1.0)
    (folder / "changed.png").write_bytes(b"xy")
    (folder / "gone.png").unlink()
    assert run(folder, "--refused", "--data", tmp_path) == (1, "still.png\tpress-1\tdamaged\tno pixels\n")
