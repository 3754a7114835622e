"""Files as they lie on real disks: one that every command must survive, of each kind."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

LATIN = os.fsdecode(b"caf\xe9.png")  # a byte that is not UTF-8
NAMES = ("[red]x.png", "line\nbreak.png", "\U0001f600.png", LATIN, f"{'n' * 251}.png")  # sound images may have them


def dangle(place: Path) -> None:
    place.symlink_to(place.parent / "none.png")


def loop(place: Path) -> None:
    place.symlink_to(place.name)


def listen(place: Path) -> None:
    os.mknod(place, stat.S_IFSOCK | 0o600)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {  # name -> how to make it, and what is said about it
    "dangling.png": (dangle, "a link to"),
    "loop.png": (loop, "a link leads back to itself"),
    "pipe.png": (os.mkfifo, "a pipe, not a file"),
    "socket.png": (listen, "a socket, not a file"),
}
JUNK = ("Thumbs.db", ".DS_Store", "._x.png", "desktop.ini", ".hidden.png", "b.png.part", "notes.txt")


def make_odd(folder: Path) -> None:
    """Put one of each kind into a folder, with junk of operating systems."""
    for name, (make, _) in ODD.items():
        make(folder / name)
    (folder / "device.png").symlink_to("/dev/zero")
    for name in JUNK:
        (folder / name).write_bytes(b"no image")


def locked(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make a file unreadable; tests run as root, which the mode of a file does not stop."""
    real = os.open

    def refuse(path: str | Path, *rest: int, **more: int) -> int:
        if os.fspath(path).endswith(name):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
