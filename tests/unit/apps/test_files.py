"""Reading of files that are no files, or change while they are read."""

import errno
import os
from pathlib import Path
from typing import Self

import pytest

from siad.apps.files import listed, make_folder, printable, read_content, read_stable, reason_of
from tests.unit.apps.odd_files import ODD, locked, make_odd


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_file_is_refused_by_its_kind_and_never_waited_for(tmp_path: Path, name: str) -> None:
    make_odd(tmp_path)
    with pytest.raises(OSError, match=r"Too many levels|No such file|a pipe|a socket") as refused:
        read_stable(tmp_path / name)
    assert refused.value.filename


def test_a_device_and_a_folder_are_refused(tmp_path: Path) -> None:
    make_odd(tmp_path)
    with pytest.raises(OSError, match="a device, not a file with an image"):
        read_stable(tmp_path / "device.png")
    with pytest.raises(OSError, match="a folder, not a file with an image"):
        read_stable(tmp_path)


@pytest.mark.parametrize("size", [2, 9], ids=["cut", "grown"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    place, fdopen = tmp_path / "a.png", os.fdopen
    place.write_bytes(b"12345")

    def changing(descriptor: int, mode: str) -> object:
        file = fdopen(descriptor, mode)
        real = file.read

        class Changing:
            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def read(self, count: int) -> bytes:
                data: bytes = real(count)
                os.truncate(place, size)
                return data

        return Changing()

    monkeypatch.setattr(os, "fdopen", changing)
    assert not read_content(place).is_stable
    place.write_bytes(b"12345")
    with pytest.raises(OSError, match="it changed while it was read"):
        read_stable(place)


def test_a_file_too_large_for_memory_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.tif").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(OSError, match="1099511627776 bytes are too many for one image"):
        read_stable(tmp_path / "huge.tif")


def test_no_permission_says_what_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    locked(monkeypatch, "a.png")
    with pytest.raises(PermissionError) as refused:
        read_stable(tmp_path / "a.png")
    assert reason_of(refused.value).startswith("Permission denied; check the owner")


def test_a_file_in_a_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="taken is a file where a folder is needed") as refused:
        make_folder(tmp_path / "taken" / "below")
    assert refused.value.errno == errno.ENOTDIR
    with pytest.raises(NotADirectoryError, match="taken is a file"):
        make_folder(tmp_path / "taken")


def test_names_are_printable_and_long_lists_are_counted() -> None:
    assert printable(os.fsdecode(b"a\xe9\n.png")) == r"a\udce9\n.png"
    assert listed(["a", "b", "c"], most=2) == "a, b and 1 more"
