"""`siad data export`: a whole file or none, and what it lacks."""

import io
import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from typer.testing import CliRunner

from siad.apps.cli import data
from siad.apps.cli.__main__ import app
from siad.apps.console_client import ConsoleClient


def archive() -> bytes:
    out = io.BytesIO()
    summary = {
        "captures": 3, "normals": 1, "left_out": {"open": 2}, "iou": 0.98765, "iou_least": 0.9, "unsure_px": 7,
    }  # fmt: skip
    with ZipFile(out, "w") as target:
        target.writestr("export.json", json.dumps(summary))
    return out.getvalue()


ARCHIVE = archive()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Response]:
    """Answers of the console, in order."""
    waiting: list[httpx.Response] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/lines/press-1/export"
        assert dict(request.url.params) == {"format": "yolo", "state": "answered"}
        return waiting.pop(0)

    def client(address: str) -> ConsoleClient:
        return ConsoleClient(address, transport=httpx.MockTransport(answer))

    monkeypatch.setattr(data, "ConsoleClient", client)
    return waiting


def run(path: Path, *more: str) -> tuple[int, str]:
    command = ["data", "export", "press-1", "--to", "yolo", "--state", "answered", "--out", str(path), *more]
    found = CliRunner().invoke(app, [*command, "--url", "http://console"])
    return found.exit_code, found.output


def test_the_file_is_whole_and_the_losses_are_told(answers: list[httpx.Response], tmp_path: Path) -> None:
    path = tmp_path / "caps.zip"
    answers.append(httpx.Response(200, content=ARCHIVE))
    status, text = run(path)
    assert status == 0, text
    assert path.read_bytes() == ARCHIVE
    assert "3 captures, 1 of them normals" in text
    assert "left out: 2 not answered" in text
    assert "IoU with the masks 0.9877, of the worst 0.9000" in text
    assert [one.name for one in tmp_path.iterdir()] == ["caps.zip"]


def test_what_was_cut_off_or_refused_replaces_nothing(answers: list[httpx.Response], tmp_path: Path) -> None:
    path = tmp_path / "caps.zip"
    path.write_bytes(b"earlier")
    answers.append(httpx.Response(200, content=ARCHIVE[:-30]))
    status, text = run(path)
    assert (status, "cut off" in text) == (1, True), text
    problem = {"type": "urn:siad:problem:nothing-to-export", "detail": "no capture of line 'press-1' fits"}
    answers.append(httpx.Response(404, json=problem))
    status, text = run(path)
    assert (status, "no capture of line 'press-1' fits" in text) == (1, True), text
    assert path.read_bytes() == b"earlier"
    assert [one.name for one in tmp_path.iterdir()] == ["caps.zip"]


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["data", "export", "press-1", "--to", "tar", "--out", str(tmp_path / "x")])
    assert found.exit_code == 2
    assert "coco, voc, yolo" in found.output.replace("\n", " ")


def report(**said: object) -> dict[str, Any]:
    counts = ("images", "normals", "new_images", "answers", "unchanged", "kept", "unanswered", "problem_count")
    return {"format": "coco", "is_check": True, "problems": [], **dict.fromkeys(counts, 0), **said}


def test_warnings_are_told() -> None:
    text = data.describe_import(report(images=1, warnings=["1 image does not fit the normals of cubes/cube"]))
    assert "\nwarning: 1 image does not fit the normals of cubes/cube\n" in text


def test_problems_are_counted_as_people_write() -> None:
    one = {"file": "a.png", "detail": "is damaged"}
    assert data.describe_import(report(problem_count=1, problems=[one])).endswith("\n1 problem; nothing was stored")
    text = data.describe_import(report(problem_count=2, problems=[one]))
    assert text.endswith("a.png: is damaged\nand 1 more problem\n2 problems; nothing was stored")
