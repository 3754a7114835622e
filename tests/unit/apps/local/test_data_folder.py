"""The data folder of a machine: refusals say why, and what to do."""

import errno
import os
from pathlib import Path

import pytest

from siad.apps.local.connection import connection_settings
from siad.apps.local.data_folder import locked
from siad.apps.local.machine import read_state


def refusal(folder: Path) -> str:
    with pytest.raises(OSError, match="nothing was started") as caught, locked(folder):
        pass
    assert "Errno" not in str(caught.value)
    return str(caught.value)


def test_a_second_machine_is_refused_with_the_process_of_the_first(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert f"(process {os.getpid()}) runs on {tmp_path}" in refusal(tmp_path)
    with locked(tmp_path):  # free again
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("target", ["file", "file/below"])
def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("")
    text = refusal(tmp_path / target)
    assert text.startswith(f"data folder {tmp_path / target} can't be created: {tmp_path / 'file'} is a file")
    assert "--data" in text


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.ENAMETOOLONG])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number), "x")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert f"{tmp_path} can't be written: {os.strerror(number)}" in refusal(tmp_path)


def test_a_nearly_full_disk_is_refused_with_its_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 12 * 2**20})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert "has 12 MB free and 500 MB are needed" in refusal(tmp_path)


def test_commands_say_that_a_machine_is_starting(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not run on"):
        read_state(tmp_path)
    with locked(tmp_path):
        for read in (read_state, lambda data: connection_settings(data, env={})):
            with pytest.raises(FileNotFoundError, match=f"the `siad up` on {tmp_path} is still starting"):
                read(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not run on"):
        read_state(tmp_path)
