"""Zip archives of unknown origin: names, sizes and bytes within limits.

Nothing is unpacked to disk. Sizes that an archive declares are checked before anything is read, and again while it is
read, since they may lie.
"""

import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self
from zipfile import BadZipFile, ZipFile, ZipInfo

from siad.vision.datasets.reading import DatasetError

_RATIO_FROM_BYTES: Final = 2**20  # smaller files may be packed to any size
_ENCRYPTED: Final = 0x1


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """Bounds of an archive."""

    files_max: int = 200_000
    total_bytes_max: int = 64 * 2**30  # of all files, unpacked
    file_bytes_max: int = 512 * 2**20  # of one file, unpacked
    ratio_max: float = 200.0  # unpacked bytes of a file to packed ones


class ZipFiles:
    """The port ``DatasetFiles`` on a zip.

    One folder around everything is left out of the names.
    """

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        """Open an archive and check its directory.

        Raises:
            DatasetError: it is no zip, was cut off, or breaks a limit or a rule for names.
        """
        self._limits = limits
        try:
            self._zip = ZipFile(path)
        except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
            msg = "the file is no whole zip. Send the archive again"
            raise DatasetError(msg) from error
        try:
            self._entries = self._checked()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        """Close the archive at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the archive."""
        self._zip.close()

    @property
    def names(self) -> Sequence[str]:
        """Paths, in order."""
        return list(self._entries)

    def read(self, name: str) -> bytes:
        """Read one file.

        Raises:
            DatasetError: it is missing, damaged, or larger than it says.
        """
        if (entry := self._entries.get(name)) is None:
            msg = f"{name} is missing in the archive"
            raise DatasetError(msg)
        try:
            with self._zip.open(entry) as source:
                data = source.read(entry.file_size + 1)
        except (BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            msg = f"{name} is damaged in the archive. Pack it again"
            raise DatasetError(msg) from error
        if len(data) != entry.file_size:
            msg = f"{name} has other bytes than the {entry.file_size} that the archive says"
            raise DatasetError(msg)
        return data

    def _checked(self) -> dict[str, ZipInfo]:
        infos = [info for info in self._zip.infolist() if not info.is_dir()]
        if len(infos) > self._limits.files_max:
            msg = f"the archive has {len(infos)} files, at most {self._limits.files_max} are read. Split it"
            raise DatasetError(msg)
        for info in infos:
            self._check(info)
        total = sum(info.file_size for info in infos)
        if total > self._limits.total_bytes_max:
            msg = f"the archive unpacks to {total} bytes, at most {self._limits.total_bytes_max} are read. Split it"
            raise DatasetError(msg)
        names = [info.filename for info in infos]
        root = _root_of(names)
        entries = dict(zip((name.removeprefix(root) for name in names), infos, strict=True))
        if len(entries) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            msg = f"the archive has {twice!r} twice. Pack it again"
            raise DatasetError(msg)
        return entries

    def _check(self, info: ZipInfo) -> None:
        name = info.filename
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if name.startswith(("/", "\\")) or ".." in parts or ":" in name.partition("/")[0] or not name.isprintable():
            msg = f"the archive names {name!r}, which leads out of it. Pack it without such names"
            raise DatasetError(msg)
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            msg = f"{name} is a link or a device. Pack the file itself"
            raise DatasetError(msg)
        if info.flag_bits & _ENCRYPTED:
            msg = f"{name} is encrypted. Pack it without a password"
            raise DatasetError(msg)
        if info.file_size > self._limits.file_bytes_max:
            msg = f"{name} unpacks to {info.file_size} bytes, at most {self._limits.file_bytes_max} are read"
            raise DatasetError(msg)
        ratio = info.file_size / max(1, info.compress_size)
        if info.file_size > _RATIO_FROM_BYTES and ratio > self._limits.ratio_max:
            msg = (
                f"{name} unpacks to {ratio:.0f} times its size, at most {self._limits.ratio_max:.0f} times is read"
                ". Pack it without compression"
            )
            raise DatasetError(msg)


def _root_of(names: Sequence[str]) -> str:
    """One folder that holds everything, with its slash; empty without one."""
    first = names[0].partition("/")[0] if names else ""
    root = f"{first}/"
    known = ("images", "masks", "labels", "annotations", "train", "test", "store")
    return root if names and first not in known and all(name.startswith(root) for name in names) else ""
