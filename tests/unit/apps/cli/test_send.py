"""`siad send` on folders with odd files: the others are sent, and the exit status says so."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.apps.client import IngestClient, ProblemError
from siad.contracts.errors import TransientError
from tests.unit.apps.odd_files import JUNK, NAMES, ODD, locked, make_odd

Answer = Callable[[bytes], dict[str, Any]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Bytes that ingest accepted; it refuses b"bad" and is unavailable for b"away"."""
    taken: list[bytes] = []

    async def accept(self: IngestClient, image: bytes, **_: object) -> dict[str, Any]:
        await asyncio.sleep(0)
        if image == b"bad":
            raise ProblemError(422, "not-an-image", "3 bytes are no image")
        if image == b"away":
            raise TransientError("store is unavailable")
        taken.append(image)
        note = "page 2 of 2 was used" if image == b"pages" else ""
        return {"capture_id": "1", "is_repeat": False, "note": note}

    monkeypatch.setattr(IngestClient, "send_image", accept)
    return taken


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["send", *map(str, words), "--line", "press-1", "--url", "http://ingest"])


def test_odd_files_are_named_and_skipped_and_the_others_are_sent(sent: list[bytes], tmp_path: Path) -> None:
    make_odd(tmp_path)
    for name in NAMES:
        (tmp_path / name).write_bytes(b"image")
    done = run(tmp_path)
    assert (done.exit_code, sent) == (3, [b"image"] * len(NAMES)), done.output
    for name, (_, said) in ODD.items():
        assert any(name in line and said in line for line in done.stderr.splitlines())
    assert f"{len(NAMES)} images accepted by line press-1, 0 refused, 5 skipped" in done.stdout
    report = json.loads(run(tmp_path, "--json").stdout)
    assert len(report["skipped"]) == 5
    assert {Path(one["file"]).name for one in report["accepted"]} >= {
        "[red]x.png",
        r"line\nbreak.png",
        r"caf\udce9.png",
    }
    assert sum(report["ignored"].values()) == len(JUNK)


def test_a_file_that_can_not_be_read_or_was_removed_is_skipped(
    sent: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png", "locked.png"):
        (tmp_path / name).write_bytes(b"image")
    locked(monkeypatch, "locked.png")
    done = run(tmp_path / "a.png", tmp_path / "gone.png", tmp_path / "locked.png", tmp_path / "b.png")
    assert (done.exit_code, len(sent)) == (3, 2)
    assert "gone.png skipped: No such file" in done.stderr
    assert "locked.png skipped: Permission denied; check the owner" in done.stderr


def test_a_refused_image_is_a_failure_as_ever(sent: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "[red]a.png").write_bytes(b"bad")
    (tmp_path / "b.png").write_bytes(b"image")
    done = run(tmp_path)
    assert (done.exit_code, len(sent)) == (1, 1)
    assert "[red]a.png refused: 3 bytes are no image" in done.stderr


@pytest.mark.parametrize("names", [[], ["notes.txt", "Thumbs.db"], ["pipe"]])
def test_a_folder_without_images_is_a_failure_that_says_what_was_looked_for(
    sent: list[bytes], tmp_path: Path, names: list[str]
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"hello")
    done = run(tmp_path)
    assert (done.exit_code, sent) == (1, [])
    assert f"no image in {tmp_path}" in done.stderr
    assert ".bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp" in done.stderr
    assert ("ignored" in done.stderr) is bool(names)


def test_a_note_of_ingest_is_printed_with_its_file(sent: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "scan.tif").write_bytes(b"pages")
    done = run(tmp_path)
    assert "scan.tif: page 2 of 2 was used" in done.stderr.replace("\n", "")
    assert sent == [b"pages"]


def test_an_unavailable_ingest_says_how_many_it_accepted_before(sent: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"image")
    (tmp_path / "b.png").write_bytes(b"away")
    done = run(tmp_path, "--parallel", "1")
    assert done.exit_code == 1
    assert "store is unavailable; 1 of 2 images were accepted before" in done.stderr


def test_one_repeat_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def repeat(self: IngestClient, image: bytes, **_: object) -> dict[str, Any]:
        return {"capture_id": "1", "is_repeat": True, "note": ""}

    monkeypatch.setattr(IngestClient, "send_image", repeat)
    (tmp_path / "a.png").write_bytes(b"image")
    assert "(1 of them was sent before)" in run(tmp_path / "a.png").stdout
