"""The watched folder itself: list it, read a file of it, move a file out of it.

It is listed again and again, not watched through the kernel: a share on the network tells no inotify of what another
machine writes, a queue of events overflows in silence, and what happened before the start or while the share was away
must be found anyway. A listing costs one ``stat`` for each file and reads none of them; how often it is made follows
from what it costs (see ``run.py``).
"""

import errno
import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from siad.apps.edge.names import FileKind, kind_of
from siad.apps.edge.plan import Completeness, FileInspection, FileStamp, end_of
from siad.contracts.ids import sha256_hex

READ_MAX: Final = 512 * 2**20  # bytes of one file; ingest takes far less unless told otherwise


@dataclass(slots=True)
class FolderListing:
    """What lies in the folder, by path below it."""

    files: dict[str, FileStamp] = field(default_factory=dict)  # what may be an image
    aside: dict[str, str] = field(default_factory=dict)  # what is left alone -> why


class ChangedError(Exception):
    """A file is not the one that was handed over any more; it stays where it was."""


class WatchedFolder:
    """One folder.

    Args:
        root: the folder.
        is_recursive: whether folders in it belong to it.
        move_to: where files go once they are handed over; None: they stay.
    """

    def __init__(self, root: Path, *, is_recursive: bool = False, move_to: Path | None = None) -> None:
        self.root, self.move_to = root, move_to
        self._is_recursive = is_recursive

    def scan(self) -> FolderListing:
        """List it.

        Raises:
            OSError: the folder is not there, or can't be listed.
        """
        listing = FolderListing()
        left = [(os.fspath(self.root), "")]
        while left:
            place, prefix = left.pop()
            try:
                left += self._scan_one(place, prefix, listing)
            except OSError as error:
                if not prefix:
                    raise
                if not isinstance(error, FileNotFoundError):
                    listing.aside[prefix] = f"folder can't be listed: {error.strerror}"
        return listing

    def _scan_one(self, place: str, prefix: str, listing: FolderListing) -> list[tuple[str, str]]:
        """List one folder without those in it; they are the result."""
        folders = []
        with os.scandir(place) as entries:
            for entry in entries:
                path = prefix + entry.name
                kind = kind_of(entry.name)
                if kind is FileKind.TEMPORARY:
                    continue
                if entry.is_symlink():
                    listing.aside[path] = "a link; watch the folder that it points to"
                elif entry.is_dir(follow_symlinks=False):
                    if self._is_recursive and not self._is_target(entry):
                        folders.append((entry.path, f"{path}/"))
                elif kind is FileKind.OTHER:
                    listing.aside[path] = "not an image by its name"
                else:
                    self._note(entry, path, listing)
        return folders

    @staticmethod
    def _note(entry: os.DirEntry[str], path: str, listing: FolderListing) -> None:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # gone since
            return
        except OSError as error:
            listing.aside[path] = f"can't be looked at: {error.strerror}"
            return
        if stat.S_ISREG(found.st_mode):
            listing.files[path] = FileStamp(found.st_size, found.st_mtime_ns)
        else:
            listing.aside[path] = "not a file"

    def _is_target(self, entry: os.DirEntry[str]) -> bool:
        try:
            return self.move_to is not None and self.move_to.samefile(entry.path)
        except OSError:
            return False

    def look(self, path: str) -> FileInspection:
        """Read one file whole.

        Raises:
            OSError: it is gone, can't be read, or is too large for this machine's memory.
        """
        place = self.root / path
        with os.fdopen(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            before = os.fstat(file.fileno())
            if before.st_size > READ_MAX:
                raise OSError(errno.EFBIG, f"{before.st_size} bytes are too many for one image", str(place))
            data = file.read(READ_MAX)
            after = os.fstat(file.fileno())
        stamp = FileStamp(after.st_size, after.st_mtime_ns)
        is_still = stamp == FileStamp(before.st_size, before.st_mtime_ns) and len(data) == stamp.size_bytes
        end = end_of(data, is_named=kind_of(place.name) is FileKind.IMAGE) if is_still else Completeness.MISSING
        return FileInspection(stamp=stamp, sha256=sha256_hex(data), end=end, data=data)

    def move(self, path: str, stamp: FileStamp) -> Path:
        """Move one file out of the way, under its own name or, where that is taken, one with a number.

        Args:
            path: the file.
            stamp: of what was handed over.

        Returns:
            Where it lies now.

        Raises:
            ChangedError: another image lies there now.
            OSError: it is gone, or can't be moved; it stays where it was.
        """
        assert self.move_to is not None, "no folder to move to"
        source = self.root / path
        target = _reserve(self.move_to / path)
        try:
            _require(source, stamp)
            try:
                source.replace(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _copy_across(source, target, stamp)
                return target
        except (OSError, ChangedError):
            target.unlink(missing_ok=True)
            raise
        return self._keep_or_bring_back(source, target, stamp)

    @staticmethod
    def _keep_or_bring_back(source: Path, target: Path, stamp: FileStamp) -> Path:
        """Between the look and the move another image may have been written there: it was never handed over."""
        try:
            _require(target, stamp)
        except ChangedError:
            target.replace(source if not source.exists() else _reserve(source))
            raise
        return target


def _require(place: Path, stamp: FileStamp) -> None:
    found = place.lstat()
    if FileStamp(found.st_size, found.st_mtime_ns) != stamp:
        msg = f"{place} was changed after it was handed over; it stays, and counts as a new image"
        raise ChangedError(msg)


def _reserve(wanted: Path) -> Path:
    """Make an empty file of a name that nobody has, so that nothing is ever overwritten."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    number, place = 0, wanted
    while True:
        try:
            place.touch(exist_ok=False)
        except FileExistsError:
            number += 1
            place = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        else:
            return place


def _copy_across(source: Path, target: Path, stamp: FileStamp) -> None:
    """Move to another file system: the copy is whole and on the disk before the first one goes."""
    half = target.with_name(f".{target.name}.part")
    try:
        shutil.copy2(source, half)
        with half.open("rb") as copy:
            os.fsync(copy.fileno())
        if half.stat().st_size != stamp.size_bytes:
            msg = f"{source} changed while it was copied; it stays, and counts as a new image"
            raise ChangedError(msg)
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)
    _require(source, stamp)
    source.unlink()
