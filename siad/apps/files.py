"""Reading of files that users name, and their names for output.

Names may not be UTF-8, files may be pipes, links to nowhere or half-written. One such file must not end a batch, so
each is either read, or has a reason that a command prints beside its name.
"""

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
BYTES_MAX: Final = 512 * 2**20  # of one file; ingest accepts far less by default
NAMES_MAX: Final = 5  # named in one line of text; further ones are counted

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # opening a pipe must not wait for a writer
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_PERMISSION: Final = "check the owner and the mode of the file and its folders"
_ADVICE: Final = {
    errno.ELOOP: "a link leads back to itself, or to no file",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EIO: "the disk or the share fails",
    errno.ENOSPC: "free some space, or name another place",
    errno.EDQUOT: "free some space, or name another place",
    errno.EROFS: "name another place",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EEXIST: "move it away, or name another place",
    errno.EISDIR: "name a file",
    errno.ENAMETOOLONG: "give it a shorter name",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """Bytes of one file, and its state after they were read."""

    data: bytes
    size_bytes: int
    mtime_ns: int
    is_stable: bool  # size and time were the same before and after


def printable(path: str | os.PathLike[str]) -> str:
    """A path for a terminal or a report.

    Bytes that are not UTF-8 and signs that are not printable are escaped.
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in os.fspath(path))


def listed(names: Iterable[str], *, most: int = NAMES_MAX) -> str:
    """Join names for one line of text.

    Those over ``most`` are only counted.
    """
    found = list(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def counted(count: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def reason_of(error: OSError) -> str:
    """What the system says about a file, and what to check.

    Without the name of the file.
    """
    text, advice = error.strerror or str(error), _ADVICE.get(error.errno or 0)
    is_plain = text == os.strerror(error.errno or 0)  # else the text already says what to do
    return f"{text}; {advice}" if advice and is_plain else text


def failure_of(error: OSError) -> str:
    """What failed on which file, and what to check.

    For an error that ends a command.
    """
    if error.errno is None or error.strerror != os.strerror(error.errno):
        return str(error.strerror or error)  # raised here, with a text for users
    if error.filename is None:
        return f"{reason_of(error)}; the system names no file: check standard output, --data and the temporary folder"
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return f"{' to '.join(printable(name) for name in names)}: {reason_of(error)}"


def link_reason_of(path: Path, error: OSError) -> str:
    """Why a file can't be read.

    Of a dangling link also where it points.
    """
    if error.errno == errno.ENOENT and path.is_symlink():
        return f"a link to {printable(path.readlink())}, which does not exist"
    return reason_of(error)


def kind_name(mode: int) -> str:
    """What a path that is no regular file is."""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "a special file")


def read_content(path: Path, *, follow_links: bool = True, bytes_max: int = BYTES_MAX) -> FileContent:
    """Read a regular file completely.

    Pipes and devices are refused without waiting for them.

    Raises:
        OSError: it is no regular file, can't be read, or is larger than ``bytes_max``.
    """
    _require_regular(path.stat() if follow_links else path.lstat(), path)
    descriptor = os.open(path, _FLAGS | (0 if follow_links else os.O_NOFOLLOW))
    with os.fdopen(descriptor, "rb") as file:
        before = os.fstat(descriptor)
        _require_regular(before, path)
        if before.st_size > bytes_max:
            raise OSError(errno.EFBIG, f"{before.st_size} bytes are too many for one image", str(path))
        data = file.read(bytes_max)
        after = os.fstat(descriptor)
    is_same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    return FileContent(
        data=data,
        size_bytes=after.st_size,
        mtime_ns=after.st_mtime_ns,
        is_stable=is_same and len(data) == after.st_size,
    )


def read_stable(path: Path) -> bytes:
    """Read a regular file that nothing writes to.

    Raises:
        OSError: as ``read_content``, or it changed while it was read.
    """
    content = read_content(path)
    if not content.is_stable:
        raise OSError(errno.EBUSY, "it changed while it was read; repeat once it is complete", str(path))
    return content.data


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, unless it exists.

    Raises:
        OSError: it can't be created; the text says where and why.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        file = next((one for one in (folder, *folder.parents) if one.exists() and not one.is_dir()), folder)
        text = f"{printable(file)} is a file where a folder is needed; name another folder, or move the file away"
        raise NotADirectoryError(errno.ENOTDIR, text) from error
    except OSError as error:
        raise OSError(error.errno, f"folder {printable(folder)} can't be created: {reason_of(error)}") from error


def _require_regular(found: os.stat_result, path: Path) -> None:
    if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):  # opening refuses a link that is not followed
        return
    raise OSError(errno.EINVAL, f"{kind_name(found.st_mode)}, not a file with an image", str(path))
