"""Compiled networks: kept whole or not at all, and never more than the bound."""

import os
from pathlib import Path

import pytest

from siad.models.runner.compiled_files import CompiledFiles


def test_what_was_written_is_read(tmp_path: Path) -> None:
    files = CompiledFiles(tmp_path / "compiled")
    assert files.read("a") is None
    files.write("a", b"network")
    assert files.read("a") == b"network"
    assert files.read("b") is None


@pytest.mark.parametrize("damage", [b"", b"network", b"0" * 64 + b"network"])
def test_a_damaged_file_is_deleted(tmp_path: Path, damage: bytes) -> None:
    files = CompiledFiles(tmp_path)
    files.write("a", b"network")
    [path] = tmp_path.iterdir()
    path.write_bytes(damage)
    assert files.read("a") is None
    assert not path.exists()


def test_the_least_recently_read_file_makes_room(tmp_path: Path) -> None:
    files = CompiledFiles(tmp_path, bytes_max=250)
    for age, key in ((30, "a"), (20, "b")):
        files.write(key, b"x" * 50)
        os.utime(tmp_path / f"{key}.compiled", (1000 - age, 1000 - age))
    files.read("a")
    files.write("c", b"x" * 50)
    assert [files.read(key) is not None for key in "abc"] == [True, False, True]


def test_a_network_over_the_bound_is_not_kept(tmp_path: Path) -> None:
    files = CompiledFiles(tmp_path, bytes_max=10)
    files.write("a", b"x" * 11)
    assert files.read("a") is None


def test_a_folder_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    files = CompiledFiles(tmp_path / "file")
    files.write("a", b"network")
    assert files.read("a") is None
