"""`siad watch --once` on folders with odd files, before an ingest in memory."""

import errno
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.apps.client import CaptureInfo, IngestClient
from tests.unit.apps.edge.watched import picture
from tests.unit.apps.odd_files import LATIN, NAMES, ODD, make_odd


@pytest.fixture
def serials(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Serials of the images that ingest accepted."""
    taken: list[str] = []

    async def accept(self: IngestClient, image: bytes, *, line: str, info: CaptureInfo) -> dict[str, Any]:
        info.serial.encode()
        taken.append(info.serial)
        return {"capture_id": f"{len(taken)}", "is_repeat": False}

    async def get_line(self: IngestClient, line: str) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(IngestClient, "send_image", accept)
    monkeypatch.setattr(IngestClient, "get_line", get_line)
    return taken


def run(folder: Path, *words: str) -> Result:
    where = ["--line", "press-1", "--url", "http://ingest", "--data", str(folder.parent / "data")]
    return CliRunner().invoke(app, ["watch", str(folder), *where, "--once", *words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def put(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (folder / name).write_bytes(picture(number))


def test_odd_files_are_named_and_skipped_and_the_others_are_sent(folder: Path, serials: list[str]) -> None:
    make_odd(folder)
    put(folder, *NAMES)
    done = run(folder, "--serial-from-name", r"(?s)(?P<serial>.{1,8})")
    assert done.exit_code == 3, done.output
    assert len(serials) == len(NAMES)
    assert "[red]x.p" in serials
    assert serials.count("") == 2  # a line break, a byte that is not UTF-8
    assert f"ended: {len(NAMES)} images sent to line press-1, 0 refused, 0 not sent, 5 skipped" in done.output
    for name in ODD:
        assert f"{name}  skipped: " in done.output


def test_a_serial_that_is_not_utf_8_is_named_and_its_image_sent(folder: Path, serials: list[str]) -> None:
    put(folder, LATIN)
    done = run(folder, "--serial-from-name", "(?P<serial>.{4})")
    assert (done.exit_code, serials) == (0, [""])
    assert r"caf\udce9.png  serial caf\udce9 is not printable: sent without a serial" in done.output


def test_a_watch_without_a_line_says_that_it_is_required(folder: Path) -> None:
    done = CliRunner().invoke(app, ["watch", str(folder), "--once"], terminal_width=200)
    assert (done.exit_code, "--line: it is required. Name the line" in done.output) == (2, True), done.output


def test_a_bad_zone_is_named_though_the_pattern_has_no_time(folder: Path, serials: list[str]) -> None:
    done = run(folder, "--zone", "Berlin", "--serial-from-name", "(?P<serial>.)")
    assert (done.exit_code, serials) == (1, [])
    assert "--zone" in done.output
    assert "Berlin" in done.output
    assert "has no effect" not in done.output


def test_a_folder_that_is_called_like_an_image_is_named(folder: Path, serials: list[str]) -> None:
    put(folder, "a.png")
    (folder / "x.png").mkdir()
    done = run(folder)
    assert (done.exit_code, len(serials)) == (3, 1)
    assert "x.png  skipped: a folder; use --recursive" in done.output
    (folder / "x.png").rmdir()
    assert run(folder).exit_code == 0


def test_a_file_that_can_not_be_moved_keeps_no_other_in_place(
    folder: Path, serials: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "a.png", "b.png", "c.png")
    replace, stuck = Path.replace, list[str]()

    def refuse(source: Path, target: Path) -> Path:
        stuck[:] = stuck or [source.name]  # the first one that is moved
        if source.name in stuck:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", refuse)
    done = run(folder, "--move-to", str(folder.parent / "out"))
    assert done.exit_code == 1
    assert [path.name for path in folder.iterdir()] == stuck
    assert f"{stuck[0]}  sent, but can't be moved: Operation not permitted; check the owner" in done.output


def test_a_name_as_long_as_can_be_is_moved_beside_another(folder: Path, serials: list[str]) -> None:
    name = f"{'n' * 251}.png"
    (folder.parent / "out").mkdir()
    put(folder.parent / "out", name)
    put(folder, name)
    assert run(folder, "--move-to", str(folder.parent / "out")).exit_code == 0
    assert sorted(path.name for path in (folder.parent / "out").iterdir()) == [f"{'n' * 249}-1.png", name]


def test_a_file_where_the_target_folder_should_be_is_named(folder: Path, serials: list[str]) -> None:
    put(folder, "a.png")
    (folder.parent / "out").write_bytes(b"")
    done = run(folder, "--move-to", str(folder.parent / "out"))
    assert done.exit_code == 1
    assert f"{folder.parent}/out is a file where a folder is needed" in done.output
    (folder.parent / "data").rename(folder.parent / "elsewhere")
    (folder.parent / "data").write_bytes(b"")
    done = run(folder)
    assert (done.exit_code, "data is a file where a folder is needed" in done.output) == (1, True)
