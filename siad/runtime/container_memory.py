"""Memory limit of the container that this process runs in."""

from pathlib import Path
from typing import Final

FILES: Final = (
    Path("/sys/fs/cgroup/memory.max"),  # version 2 of control groups
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # version 1
)
UNLIMITED: Final = 2**50  # version 1 writes a huge number where there is no limit


def memory_limit_bytes(files: tuple[Path, ...] = FILES) -> int | None:
    """Read the limit; None without one, or where it can't be read."""
    for file in files:
        try:
            limit = int(file.read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        return limit if limit < UNLIMITED else None
    return None
