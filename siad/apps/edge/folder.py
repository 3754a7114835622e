"""The watched folder: listing, inspecting and moving files.

It is polled, not watched through the kernel: inotify does not report what another machine writes to a network share,
its event queue overflows silently, and files written before the start or while the share was unavailable must be found
anyway. A listing costs one ``stat`` for each file and reads none; how often it is made depends on its cost (see
``run.py``).
"""

import errno
import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from siad.apps.edge.names import FileKind, kind_of
from siad.apps.edge.plan import Completeness, FileInspection, FileStamp, completeness_of
from siad.apps.files import kind_name, make_folder, read_content, reason_of
from siad.contracts.ids import sha256_hex

NAME_MAX: Final = 255  # bytes of one name on most file systems


@dataclass(slots=True)
class FolderListing:
    """Content of the folder, by path below it."""

    files: dict[str, FileStamp] = field(default_factory=dict)  # possible images
    ignored: dict[str, str] = field(default_factory=dict)  # not images, by rule -> why
    skipped: dict[str, str] = field(default_factory=dict)  # named like images, or folders, but unusable -> why


class ChangedError(Exception):
    """A file changed after it was sent; it stays where it is."""


class WatchedFolder:
    """One folder.

    Args:
        root: the folder.
        is_recursive: include folders below it.
        move_to: where accepted files are moved; None: they stay.
    """

    def __init__(self, root: Path, *, is_recursive: bool = False, move_to: Path | None = None) -> None:
        self.root, self.move_to = root, move_to
        self._is_recursive = is_recursive

    def scan(self) -> FolderListing:
        """List the folder.

        Raises:
            OSError: the folder does not exist, or can't be listed.
        """
        listing = FolderListing()
        todo = [(os.fspath(self.root), "")]
        while todo:
            folder, prefix = todo.pop()
            try:
                todo += self._scan_one(folder, prefix, listing)
            except OSError as error:
                if not prefix:
                    raise
                if not isinstance(error, FileNotFoundError):
                    listing.skipped[prefix] = f"a folder that can't be listed: {reason_of(error)}"
        return listing

    def _scan_one(self, folder: str, prefix: str, listing: FolderListing) -> list[tuple[str, str]]:
        """List one folder; returns the folders in it."""
        folders = []
        with os.scandir(folder) as entries:
            for entry in entries:
                path = prefix + entry.name
                kind = kind_of(entry.name)
                if kind is FileKind.TEMPORARY:
                    continue
                if entry.is_symlink():
                    others = listing.skipped if kind is FileKind.IMAGE else listing.ignored
                    others[path] = "a symbolic link; watch the folder that it points to"
                elif entry.is_dir(follow_symlinks=False):
                    if self._is_recursive and not self._is_target(entry):
                        folders.append((entry.path, f"{path}/"))
                    elif kind is FileKind.IMAGE:
                        listing.skipped[path] = "a folder; use --recursive to include folders"
                elif kind is FileKind.OTHER:
                    listing.ignored[path] = "not an image by its name"
                else:
                    self._add(entry, path, listing)
        return folders

    @staticmethod
    def _add(entry: os.DirEntry[str], path: str, listing: FolderListing) -> None:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # removed since
            return
        except OSError as error:
            listing.skipped[path] = f"its size can't be read: {reason_of(error)}"
            return
        if stat.S_ISREG(found.st_mode):
            listing.files[path] = FileStamp(found.st_size, found.st_mtime_ns)
        else:
            listing.skipped[path] = f"{kind_name(found.st_mode)}, not a file with an image"

    def _is_target(self, entry: os.DirEntry[str]) -> bool:
        try:
            return self.move_to is not None and self.move_to.samefile(entry.path)
        except OSError:
            return False

    def inspect(self, path: str) -> FileInspection:
        """Read one file completely.

        Raises:
            OSError: it was removed, can't be read, or is too large for one image.
        """
        place = self.root / path
        content = read_content(place, follow_links=False)
        stamp = FileStamp(content.size_bytes, content.mtime_ns)
        is_named = kind_of(place.name) is FileKind.IMAGE
        end = completeness_of(content.data, is_named=is_named) if content.is_stable else Completeness.MISSING
        return FileInspection(stamp=stamp, sha256=sha256_hex(content.data), end=end, data=content.data)

    def move(self, path: str, stamp: FileStamp) -> Path:
        """Move one file to ``move_to``.

        If its name is taken there, a number is added.

        Args:
            path: the file.
            stamp: of the version that was sent.

        Returns:
            Its new path.

        Raises:
            ChangedError: the file has changed.
            OSError: it was removed, or can't be moved; then it stays where it is.
        """
        assert self.move_to is not None, "no folder to move to"
        source = self.root / path
        target = _reserve(self.move_to / path)
        try:
            _require_unchanged(source, stamp)
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
        return self._keep_or_restore(source, target, stamp)

    @staticmethod
    def _keep_or_restore(source: Path, target: Path, stamp: FileStamp) -> Path:
        """Move a file back if a program replaced it meanwhile.

        An image written between the check and the move was never sent.
        """
        try:
            _require_unchanged(target, stamp)
        except ChangedError:
            target.replace(source if not source.exists() else _reserve(source))
            raise
        return target


def _require_unchanged(place: Path, stamp: FileStamp) -> None:
    found = place.lstat()
    if FileStamp(found.st_size, found.st_mtime_ns) != stamp:
        msg = f"{place} changed after it was sent; it stays, and is sent as a new image"
        raise ChangedError(msg)


def _reserve(wanted: Path) -> Path:
    """Create an empty file under an unused name; never overwrite one."""
    make_folder(wanted.parent)
    number, place = 0, wanted
    while True:
        try:
            place.touch(exist_ok=False)
        except FileExistsError:
            number += 1
            place = wanted.with_name(_shortened(wanted.stem, f"-{number}{wanted.suffix}"))
        else:
            return place


def _shortened(stem: str, end: str) -> str:
    """A name of at most ``NAME_MAX`` bytes that keeps its end."""
    kept = os.fsencode(stem)[: NAME_MAX - len(os.fsencode(end))]
    return os.fsdecode(kept) + end


def _copy_across(source: Path, target: Path, stamp: FileStamp) -> None:
    """Move a file to another file system.

    The source is removed only after a complete copy is on disk.
    """
    part = target.with_name(_shortened(f".{target.name}", ".part"))
    try:
        shutil.copy2(source, part)
        with part.open("rb") as copy:
            os.fsync(copy.fileno())
        if part.stat().st_size != stamp.size_bytes:
            msg = f"{source} changed while it was copied; it stays, and is sent as a new image"
            raise ChangedError(msg)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    _require_unchanged(source, stamp)
    source.unlink()
