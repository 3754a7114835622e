"""Files that a command writes at its end.

They are checked before the work, and written whole or not at all.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from siad.apps.files import make_folder, printable, reason_of

PROBE_BYTES: Final = 1 << 20  # a disk without that much space can't hold a report


class OutputError(ValueError):
    """A file that can't be written.

    The message has its path, the reason and what to change.
    """


def check_outputs(paths: Iterable[Path | None]) -> None:
    """Refuse paths that could not be written at the end.

    Folders above them are created.

    Raises:
        OutputError: one is a folder, is named twice, or can't be written; nothing was done.
    """
    named = [path for path in paths if path is not None]
    for path in named:
        if len([other for other in named if other.absolute() == path.absolute()]) > 1:
            msg = f"{printable(path)} is named for two outputs; nothing was done. Name two files"
            raise OutputError(msg)
        try:
            _check(path)
        except OSError as error:
            msg = f"{printable(path)} can't be written: {reason_of(error)}; nothing was done. Name another file"
            raise OutputError(msg) from error


def write_output(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    A file that exists is replaced once the new one is on disk; a device or a pipe is written to.

    Raises:
        OutputError: it can't be written.
    """
    try:
        make_folder(path.parent)
        if _is_special(path):
            path.write_bytes(data)
        else:
            _replace(path.resolve(), data)
    except OSError as error:
        msg = f"{printable(path)} can't be written: {reason_of(error)}. Name another file, and repeat the command"
        raise OutputError(msg) from error


def _check(path: Path) -> None:
    make_folder(path.parent)
    if path.is_dir():
        raise OSError(errno.EISDIR, "it is a folder")
    if _is_special(path):
        return
    target = path.resolve()
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    target.parent.stat()  # a name too long, or a link that leads back to itself
    if len(os.fsencode(target.name)) > os.pathconf(target.parent, "PC_NAME_MAX"):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    with tempfile.TemporaryFile(dir=target.parent) as probe:
        probe.write(bytes(PROBE_BYTES))
        probe.flush()


def _is_special(path: Path) -> bool:
    """Whether a path is a device or a pipe, such as ``/dev/stdout``."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _replace(target: Path, data: bytes) -> None:
    """Write a new file beside the old one, then rename it."""
    descriptor, name = tempfile.mkstemp(prefix=".siad-", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(_mode_of(target))
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _mode_of(target: Path) -> int:
    """Mode of the old file.

    Of a new one what the user's mask allows.
    """
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
