"""Child processes of this one, with role and memory.

Read from /proc alone.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_NAMES: Final = (  # first match wins
    (re.compile(r"-m services\.labeler\.scorer"), "scorer (deploys)"),
    (re.compile(r"-m services\.trainer\.job"), "training job"),
    (re.compile(r"-m services\.(\w+)"), "{}"),
    (re.compile(r"kafka\.Kafka\b"), "broker (Kafka)"),
    (re.compile(r"\bweed\b"), "store (SeaweedFS)"),
    (re.compile(r"^ray::(\w+(?::\w+)*)"), "Ray: {}"),
    (re.compile(r"/(gcs_server|raylet)\b"), "Ray: {}"),
    (re.compile(r"/ray/[\w/]+/(\w+)\.py\b"), "Ray: {}"),
    (re.compile(r"-m ray\.util\.client\.server\b"), "Ray: client server"),
    (re.compile(r"\bhaproxy\b"), "Ray: haproxy"),
    (re.compile(r"\bray start\b"), "Ray: start"),
)


def below(root: int) -> list[int]:
    """Every process that descends from ``root``, itself left out."""
    children = defaultdict(list)
    for pid, parent in _parents():
        children[parent].append(pid)
    found, left = [], list(children[root])
    while left:
        pid = left.pop()
        found.append(pid)
        left += children[pid]
    return found


def rss_mb(pid: int) -> float | None:
    """Resident memory, 10^6 bytes; None where the process is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
    return None


def name_of(pid: int) -> str:
    """Role of a process in words.

    The program's name where it is not part of SIAD.
    """
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "gone"
    return name_of_command(raw.replace(b"\0", b" ").decode(errors="replace").strip())


def name_of_command(command: str) -> str:
    """What a command line is, in words."""
    for pattern, name in _NAMES:
        if found := pattern.search(command):
            return name.format(*found.groups())
    return Path(command.split(" ", maxsplit=1)[0]).name


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                stat = (entry / "stat").read_text()
                yield int(entry.name), int(stat.rpartition(")")[2].split()[1])
