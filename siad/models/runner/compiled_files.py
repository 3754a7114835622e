"""Compiled networks in a folder, so that a reload need not compile.

A file is the digest of its content and the content. One that is damaged, or that the library refuses, is compiled
again: the folder may be emptied at any time. Golden scores are checked after every load, whichever way it went.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from siad.contracts.ids import sha256_hex

log = structlog.get_logger()

BYTES_MAX: Final = 512 * 2**20  # some forty networks
_DIGEST_BYTES: Final = 64  # SHA-256 in hexadecimal
_SUFFIX: Final = ".compiled"


@dataclass(frozen=True, slots=True)
class CompiledFiles:
    """A bounded folder of compiled networks; the least recently read go first."""

    folder: Path
    bytes_max: int = BYTES_MAX

    def read(self, key: str) -> bytes | None:
        """Read a compiled network; None without an intact file."""
        path = self._path(key)
        try:
            stored = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _report("read", path, str(error))
            return None
        data = stored[_DIGEST_BYTES:]
        if stored[:_DIGEST_BYTES] != sha256_hex(data).encode():
            self.drop(key, "it is damaged")
            return None
        with suppress(OSError):
            os.utime(path)  # the time of the last read orders the files
        return data

    def write(self, key: str, data: bytes) -> None:
        """Keep a compiled network; a reader never sees a part of it."""
        if len(data) > self.bytes_max:
            return
        path = self._path(key)
        unfinished = path.with_name(f"{key}.{os.getpid()}.{threading.get_ident()}{_SUFFIX}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            make_room(self._files(), bytes_max=self.bytes_max - len(data))
            unfinished.write_bytes(sha256_hex(data).encode() + data)
            unfinished.replace(path)
        except OSError as error:
            _report("written", path, str(error))
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def drop(self, key: str, reason: str) -> None:
        """Delete a file that can't be used."""
        _report("used", self._path(key), reason)
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _files(self) -> Iterator[tuple[Path, float, int]]:
        """List path, time of the last read and bytes of every file."""
        for path in self.folder.glob(f"*{_SUFFIX}"):
            with suppress(FileNotFoundError):
                found = path.stat()
                yield path, found.st_mtime, found.st_size


def make_room(files: Iterable[tuple[Path, float, int]], *, bytes_max: int) -> None:
    """Delete the least recently read files until the rest fits.

    Args:
        files: path, time of the last read and bytes of each.
        bytes_max: of those that stay.

    Raises:
        OSError: a file can't be deleted.
    """
    by_age = sorted(files, key=lambda file: file[1])
    total = sum(size for _, _, size in by_age)
    for path, _, size in by_age:
        if total <= bytes_max:
            return
        path.unlink(missing_ok=True)
        total -= size


def _report(what: str, path: Path, reason: str) -> None:
    log.warning("compiled_network_unavailable", file=str(path), what=f"not {what}", reason=reason, remedy="compiled")


@dataclass(slots=True)
class _ProcessState:
    files: CompiledFiles | None = None


_STATE: Final = _ProcessState()


def keep_compiled(files: CompiledFiles | None) -> None:
    """Keep what this process compiles from now on; None: nothing."""
    _STATE.files = files


def compiled_files() -> CompiledFiles | None:
    """Name where this process keeps compiled networks; None: nowhere."""
    return _STATE.files
