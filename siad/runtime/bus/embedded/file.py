"""The SQLite file of the embedded bus: schema, opening, errors in words.

SQLite in WAL mode: readers and the one writer of the moment do not wait for each other, and what was committed is
there after ``kill -9``. ``FULL`` also waits for the disk, so that a commit outlasts a power cut; ``NORMAL`` does not.
"""

import fcntl
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from siad.contracts.errors import BusFailedError, TransientError

SCHEMA = 1  # grows with every change that an older SIAD would misread

SCHEMA_SQL = """
CREATE TABLE about (schema INTEGER NOT NULL, id TEXT NOT NULL);
CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    kind TEXT NOT NULL,
    oldest INTEGER NOT NULL DEFAULT 0,
    next INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, partition)
);
CREATE TABLE records (
    place INTEGER NOT NULL REFERENCES places (id),
    offset INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB,
    headers TEXT NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    PRIMARY KEY (place, offset)
);
CREATE TABLE commits (
    team TEXT NOT NULL,
    place INTEGER NOT NULL REFERENCES places (id),
    offset INTEGER NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (team, place)
) WITHOUT ROWID;
"""  # "team" because GROUP is a word of SQL's

_TRANSIENT = {
    sqlite3.SQLITE_BUSY: "is held by another process for too long; it is tried again. See what else writes to it",
    sqlite3.SQLITE_FULL: "can't grow: the disk is full. Nothing was written and nothing is lost; make room",
    sqlite3.SQLITE_IOERR: "can't be read or written by the disk; it is tried again. See the system's log",
    sqlite3.SQLITE_CANTOPEN: "is not there or can't be opened; it is tried again. Start `siad up`, or mend the path",
    sqlite3.SQLITE_PERM: "may not be written by this user; it is tried again. Mend its owner or mode",
    sqlite3.SQLITE_READONLY: "may not be written by this user; it is tried again. Mend its owner or mode",
    sqlite3.SQLITE_PROTOCOL: "is contended; it is tried again",
}  # anything else ends the process: a restart would meet it again, and a person must see it


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How to open one connection."""

    path: Path
    busy_s: float  # how long to wait for another writer
    sync: Literal["NORMAL", "FULL"] = "NORMAL"
    create: bool = False  # create the file if it is missing


def open_file(options: ConnectionOptions) -> sqlite3.Connection:
    """Open a bus.

    Raises:
        TransientError: the file does not exist, or another process locked it for too long.
        BusFailedError: it is not a bus, is damaged, or has another schema; nothing was changed.
    """
    path = options.path
    with translated_errors(path, "open"):
        if options.create:
            _make(path, options.busy_s)
        connection = _connect(path, "rw", options.busy_s)
        try:
            _check(connection, path)
            connection.execute(f"PRAGMA synchronous = {options.sync}")
            connection.execute(f"PRAGMA journal_size_limit = {64 * 2**20}")  # bytes; one long reader would leave GBs
        except BaseException:
            connection.close()
            raise
        return connection


def identity(connection: sqlite3.Connection) -> str:
    """The bus's id; a file that replaced another one has another id."""
    return str(connection.execute("SELECT id FROM about").fetchone()[0])


def check_whole(path: Path) -> None:
    """Check the whole file, if it exists.

    Raises:
        BusFailedError: it is damaged; the message says what to do.
    """
    if not path.exists():
        return
    connection = open_file(ConnectionOptions(path, busy_s=10.0))
    with translated_errors(path, "check"):
        try:
            found = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
        finally:
            connection.close()
    if found != ["ok"]:
        raise BusFailedError(_damaged(path, "; ".join(found)))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run statements in one transaction.

    It takes the write lock at the beginning, so it never fails half way for want of the lock.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # the disk may be full; SQLite then rolls back when the file is opened next
                connection.execute("ROLLBACK")


@contextmanager
def translated_errors(path: Path, what: str) -> Iterator[None]:
    """Translate SQLite's error codes into our errors.

    Raises:
        TransientError: a retry can help.
        BusFailedError: no retry can help; a person must act.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & 0xFF
        if primary in _TRANSIENT:
            msg = f"bus file {path} {_TRANSIENT[primary]} ({what}: {error})"
            raise TransientError(msg) from error
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise BusFailedError(_damaged(path, str(error))) from error
        raise


def _connect(path: Path, mode: Literal["rw", "rwc"], busy_s: float) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=busy_s, isolation_level=None)


def _make(path: Path, busy_s: float) -> None:
    """Create the file if it is missing, one process at a time.

    No other process may open it while WAL is switched on.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        msg = f"can't create bus file {path}: {error.strerror} ({path.parent}); create that folder, or correct the path"
        raise TransientError(msg) from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        connection = _connect(path, "rwc", busy_s)
        try:
            if not _tables(connection):
                connection.execute("PRAGMA journal_mode = WAL")  # persistent in the file
                with transaction(connection):
                    for statement in SCHEMA_SQL.split(";"):
                        connection.execute(statement)
                    connection.execute("INSERT INTO about VALUES (?, ?)", (SCHEMA, uuid.uuid4().hex))
        finally:
            connection.close()
    finally:
        os.close(folder)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    tables = _tables(connection)
    if not tables:  # another process is creating it
        msg = f"bus file {path} is still being created; retrying"
        raise TransientError(msg)
    if not {"about", "places", "records", "commits"} <= tables:
        msg = f"{path} is a SQLite file, but not a SIAD bus; nothing was changed. Name another file"
        raise BusFailedError(msg)
    (found,) = connection.execute("SELECT schema FROM about").fetchone()
    if found != SCHEMA:
        msg = (
            f"bus file {path} has schema {found}, this SIAD reads {SCHEMA}; nothing was changed. Run the SIAD "
            "version that created it until all records are handled, then move the file away"
        )
        raise BusFailedError(msg)


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _damaged(path: Path, found: str) -> str:
    return (
        f"bus file {path} is damaged or not a SIAD bus ({found}); nothing was changed. Stop SIAD, move the file away "
        "with its -wal and -shm files, and start again: images, masks and weights are in the store; only records that "
        "waited here are lost"
    )
