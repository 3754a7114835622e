"""Files that a command writes at its end: refused before the work, or written whole."""

import errno
import os
from pathlib import Path

import pytest

from siad.apps.output_file import OutputError, check_outputs, write_output


def test_folders_are_made_and_nothing_is_left_by_the_check(tmp_path: Path) -> None:
    check_outputs([tmp_path / "a/b/report.html", None, tmp_path / "sheet.png"])
    assert list((tmp_path / "a/b").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def taken(root: Path) -> Path:
    (root / "taken").write_bytes(b"")
    return root / "taken" / "x.html"


def looped(root: Path) -> Path:
    (root / "x.html").symlink_to("x.html")
    return root / "x.html"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: root, "can't be written: it is a folder"),
        (taken, "taken is a file where a folder is needed; name another folder"),
        (looped, "Too many levels of symbolic links|Symlink loop"),
        (lambda root: root / ("n" * 256), "File name too long"),
    ],
)
def test_a_path_that_can_not_be_written_is_refused_before_the_work(tmp_path: Path, make: object, said: str) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(OutputError, match=said) as refused:
        check_outputs([path])
    assert "nothing was done" in str(refused.value)


def test_one_file_for_two_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is named for two outputs"):
        check_outputs([tmp_path / "x", tmp_path / "x"])


def full(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_named_with_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(b"old")
    monkeypatch.setattr("siad.apps.output_file.tempfile.TemporaryFile", full)
    with pytest.raises(OutputError, match=r"report.html can't be written: No space left on device; free some space"):
        check_outputs([path])
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"report.html can't be written: No space left on device; free some space"):
        write_output(path, b"new")
    assert (path.read_bytes(), [one.name for one in tmp_path.iterdir()]) == (b"old", ["report.html"])


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="/dev/full can't be written: No space left"):
        write_output(Path("/dev/full"), b"x")
    assert Path("/dev/full").is_char_device()
    read, write = os.pipe()
    write_output(Path(f"/proc/self/fd/{write}"), b"page")
    assert os.read(read, 9) == b"page"
    os.close(read)
    os.close(write)


def test_a_link_stays_and_its_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    check_outputs([tmp_path / "link"])
    write_output(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert ((tmp_path / "real").read_bytes(), (tmp_path / "real").stat().st_mode & 0o777) == (b"new", 0o640)
    write_output(tmp_path / "fresh", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "link", "real"]
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "fresh").stat().st_mode & 0o777 == 0o666 & ~mask
