"""A folder in memory: what a unit test writes need not outlive it, and a disk takes its time over every sync."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - Linux has it; where it is missing, any disk will do


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="siad-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)
