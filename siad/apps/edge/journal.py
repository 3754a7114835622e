"""What was handed over, over restarts: one small SQLite file for each watched folder, on this machine's own disk.

Not in the folder itself: SQLite's locks can't be trusted on network shares, and a camera's folder may be read-only. A
journal that is lost costs time, not truth: the same files get the same keys, and ingest knows them.
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
from siad.contracts.ids import sha256_hex

KEEP_S: Final = 30 * 86_400.0  # a file that is gone is remembered for so long
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
        place: the file; made where there is none.
        line: where the images go; another line's rows are left alone.

    Raises:
        sqlite3.Error: the file is no journal, or can't be written.
    """

    def __init__(self, place: Path, line: str) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        self._line = line
        self._base = sqlite3.connect(place, isolation_level=None, timeout=BUSY_S)
        self._base.execute("PRAGMA journal_mode=WAL")  # a reader (--refused) does not wait for the writer
        self._base.execute("PRAGMA synchronous=NORMAL")  # after a power cut the last rows may be missing: see above
        self._base.execute(_SCHEMA)

    def __enter__(self) -> Self:
        """Use it for as long as this lasts."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._base.close()

    def known(self) -> dict[str, JournalEntry]:
        """All of the line's files, by path."""
        rows = self._base.execute(f"SELECT path, {_COLUMNS} FROM files WHERE line = ?", (self._line,))  # noqa: S608
        return {os.fsdecode(path): _known(row) for path, *row in rows}

    def note(self, path: str, known: JournalEntry, *, now_s: float) -> None:
        """Write down what became of one file at ``now_s`` (Unix time); a crash of this process can't undo it."""
        row = (self._line, os.fsencode(path), *known.stamp, known.sha256, known.state.value)
        more = (known.capture_id, known.code, known.detail, now_s)
        self._base.execute("REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row + more)

    def forget(self, there: Iterable[str], *, before_s: float) -> list[str]:
        """Drop what was noted before ``before_s`` (Unix time) and is not ``there`` any more; the paths dropped."""
        query = "SELECT path FROM files WHERE line = ? AND noted_s < ?"
        old = {os.fsdecode(path) for (path,) in self._base.execute(query, (self._line, before_s))}
        gone = sorted(old.difference(there))
        rows = [(self._line, os.fsencode(path)) for path in gone]
        self._base.execute("BEGIN")
        self._base.executemany("DELETE FROM files WHERE line = ? AND path = ?", rows)
        self._base.execute("COMMIT")
        return gone


def place_of(data: Path, folder: Path) -> Path:
    """Where the journal of a folder lies: under the data folder, named for the folder."""
    name = re.sub(r"[^A-Za-z0-9-]+", "-", folder.name).strip("-")[:40] or "folder"
    return data / "watch" / f"{name}-{sha256_hex(os.fsencode(folder))[:12]}.sqlite"


def refused(place: Path) -> dict[str, dict[str, JournalEntry]]:
    """What every line refused, by line and path; nothing where there is no journal.

    Raises:
        sqlite3.Error: the file is no journal.
    """
    if not place.exists():
        return {}
    base = sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
    try:
        query = f"SELECT line, path, {_COLUMNS} FROM files WHERE state = ? ORDER BY line, path"  # noqa: S608
        found: dict[str, dict[str, JournalEntry]] = {}
        for line, path, *row in base.execute(query, (FileState.REFUSED.value,)):
            found.setdefault(line, {})[os.fsdecode(path)] = _known(row)
        return found
    finally:
        base.close()


@contextmanager
def held(place: Path, line: str) -> Iterator[None]:
    """Be the only watch of a folder for a line.

    Raises:
        BlockingIOError: another one is at it.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(f".{line}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"another `siad watch` hands this folder to line {line!r} already; stop it first, or leave it to it"
            raise BlockingIOError(msg) from error
        yield


def _known(row: list[object]) -> JournalEntry:
    size_bytes, mtime_ns, sha256, state, capture_id, code, detail = row
    return JournalEntry(
        stamp=FileStamp(int(str(size_bytes)), int(str(mtime_ns))),
        sha256=str(sha256),
        state=FileState(str(state)),
        capture_id=str(capture_id),
        code=str(code),
        detail=str(detail),
    )
