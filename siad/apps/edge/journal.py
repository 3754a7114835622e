"""Journal of a watched folder: accepted and refused files, across restarts.

One small SQLite file for each folder, on a local disk rather than in the folder: SQLite's locks are unreliable on
network shares, and a camera's folder may be read-only. Losing a journal costs time but duplicates no capture: the same
files get the same keys, and ingest recognises them.
"""

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from siad.apps.edge.plan import FileStamp, FileState, JournalEntry
from siad.apps.files import make_folder
from siad.contracts.ids import sha256_hex

KEEP_S: Final = 30 * 86_400.0  # an entry outlives its file by so long
BUSY_S: Final = 10.0  # another watch of the same folder writes for milliseconds
_COLUMNS: Final = "size_bytes, mtime_ns, sha256, state, capture_id, code, detail"
_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS files (
        line TEXT, path BLOB, size_bytes INTEGER, mtime_ns INTEGER, sha256 TEXT,
        state TEXT, capture_id TEXT, code TEXT, detail TEXT, noted_s REAL,
        PRIMARY KEY (line, path)
    ) WITHOUT ROWID
"""


class Journal:
    """The journal of one folder and line.

    Args:
        path: the file; created if it does not exist.
        line: the line that the images go to; rows of other lines are left unchanged.

    Raises:
        sqlite3.Error: the file is not a journal, or can't be written.
    """

    def __init__(self, path: Path, line: str) -> None:
        make_folder(path.parent)
        self._line = line
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
        self._connection.execute("PRAGMA journal_mode=WAL")  # a reader (--refused) does not block the writer
        # a power failure may lose the last rows, which costs time only
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(_SCHEMA)

    def __enter__(self) -> Self:
        """Keep the file open inside the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._connection.close()

    def entries(self) -> dict[str, JournalEntry]:
        """All entries of the line, by path."""
        rows = self._connection.execute(f"SELECT path, {_COLUMNS} FROM files WHERE line = ?", (self._line,))  # noqa: S608
        return {os.fsdecode(path): _entry(row) for path, *row in rows}

    def record(self, path: str, entry: JournalEntry, *, now_s: float) -> None:
        """Write the entry of one file at ``now_s`` (Unix time).

        A crash of this process does not lose it.
        """
        row = (self._line, os.fsencode(path), *entry.stamp, entry.sha256, entry.state.value)
        outcome = (entry.capture_id, entry.code, entry.detail, now_s)
        self._connection.execute("REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row + outcome)

    def prune(self, present: Iterable[str], *, before_s: float) -> list[str]:
        """Remove entries older than ``before_s`` (Unix time) whose files are not ``present``.

        Returns their paths.
        """
        query = "SELECT path FROM files WHERE line = ? AND noted_s < ?"
        old = {os.fsdecode(path) for (path,) in self._connection.execute(query, (self._line, before_s))}
        absent = sorted(old.difference(present))
        rows = [(self._line, os.fsencode(path)) for path in absent]
        self._connection.execute("BEGIN")
        self._connection.executemany("DELETE FROM files WHERE line = ? AND path = ?", rows)
        self._connection.execute("COMMIT")
        return absent


def journal_path(data: Path, folder: Path) -> Path:
    """Path of a folder's journal, below the data folder."""
    name = re.sub(r"[^A-Za-z0-9-]+", "-", folder.name).strip("-")[:40] or "folder"
    return data / "watch" / f"{name}-{sha256_hex(os.fsencode(folder))[:12]}.sqlite"


def read_refused(path: Path) -> dict[str, dict[str, JournalEntry]]:
    """Refused files of every line, by line and path.

    Empty if the journal does not exist.

    Raises:
        sqlite3.Error: the file is not a journal.
    """
    if not path.exists():
        return {}
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
    try:
        query = f"SELECT line, path, {_COLUMNS} FROM files WHERE state = ? ORDER BY line, path"  # noqa: S608
        found: dict[str, dict[str, JournalEntry]] = {}
        for line, file, *row in connection.execute(query, (FileState.REFUSED.value,)):
            found.setdefault(line, {})[os.fsdecode(file)] = _entry(row)
        return found
    finally:
        connection.close()


@contextmanager
def locked(path: Path, line: str) -> Iterator[None]:
    """Lock a folder's journal for one watch of one line.

    Raises:
        BlockingIOError: another watch holds the lock.
    """
    make_folder(path.parent)
    with path.with_suffix(f".{line}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"another `siad watch` already sends this folder to line {line!r}; nothing was sent. Stop it first"
            raise BlockingIOError(msg) from error
        yield


def _entry(row: list[object]) -> JournalEntry:
    size_bytes, mtime_ns, sha256, state, capture_id, code, detail = row
    return JournalEntry(
        stamp=FileStamp(int(str(size_bytes)), int(str(mtime_ns))),
        sha256=str(sha256),
        state=FileState(str(state)),
        capture_id=str(capture_id),
        code=str(code),
        detail=str(detail),
    )
