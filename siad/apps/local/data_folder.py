"""Data folder of a machine, used by one machine at a time."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

STARTED_FILE: Final = "started"  # exists once every stage of the machine was ready
FREE_BYTES_MIN: Final = 500 * 2**20  # logs, events, images and the store's first files


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Lock the data folder, so that only one machine runs on it.

    Raises:
        BlockingIOError: another `siad up` or `siad demo` runs on it.
        OSError: the folder can't be created or written, or its disk is full; says why.
    """
    require_writable(data)
    with (data / "lock").open("a+") as lock:  # not "w": the holder's process id must stay readable
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip()
            by = f" (process {holder})" if holder.isdecimal() else ""
            msg = (
                f"another `siad up` or `siad demo`{by} runs on {data}; nothing was started. Stop it, or choose another "
                "folder with --data"
            )
            raise BlockingIOError(msg) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def is_in_use(data: Path) -> bool:
    """Whether a machine holds the lock of the folder."""
    try:
        with (data / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # never locked, or not for this user
    return False


def describe_absence(data: Path, file: Path) -> str:
    """Say whether `siad up` starts, or does not run."""
    if is_in_use(data):
        return describe_start(data)
    return f"`siad up` does not run on {data}: {file} does not exist. Start it, or name its folder with --data"


def describe_start(data: Path) -> str:
    """Say that `siad up` is still starting."""
    return f"the `siad up` on {data} is still starting. Try again once it prints `next: ...`, or see its output"


def is_starting(data: Path) -> bool:
    """Whether a machine on the folder has stages that were never ready."""
    return is_in_use(data) and not (data / STARTED_FILE).exists()


def require_writable(data: Path) -> None:
    """Create the folder; refuse one that can't be used.

    Raises:
        OSError: names the folder, the reason and what to change.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        probe = data / ".write-test"
        probe.write_bytes(b"x")
        probe.unlink()
        free_bytes = shutil.disk_usage(data).free
    except (FileExistsError, NotADirectoryError) as error:
        file = next((path for path in (data, *data.parents) if path.exists() and not path.is_dir()), data)
        msg = f"data folder {data} can't be created: {file} is a file; nothing was started. {_OTHER}"
        raise NotADirectoryError(msg) from error
    except OSError as error:
        msg = f"data folder {data} can't be written: {error.strerror or error}; nothing was started. {_OTHER}"
        raise OSError(msg) from error
    if free_bytes < FREE_BYTES_MIN:
        msg = (
            f"the disk of data folder {data} has {free_bytes / 2**20:.0f} MB free and {FREE_BYTES_MIN / 2**20:.0f} MB "
            f"are needed; nothing was started. Free space. {_OTHER}"
        )
        raise OSError(msg)


_OTHER: Final = "Name another folder with --data"
