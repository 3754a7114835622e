"""The file of the embedded bus: its schema, how it is opened, and what goes wrong with it in plain words.

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

from siad.contracts.errors import TransientError

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
    """How one connection is to be opened."""

    path: Path
    busy_s: float  # how long it waits for others that write
    sync: Literal["NORMAL", "FULL"] = "NORMAL"
    create: bool = False  # make the file where it is missing


def open_file(opening: ConnectionOptions) -> sqlite3.Connection:
    """Open a bus.

    Raises:
        TransientError: the file is not there, or held by others for too long.
        RuntimeError: it is not a bus, torn, or of a newer SIAD; nothing was changed.
    """
    path = opening.path
    with explained(path, "open"):
        if opening.create:
            _make(path, opening.busy_s)
        connection = _connect(path, "rw", opening.busy_s)
        try:
            _check(connection, path)
            connection.execute(f"PRAGMA synchronous = {opening.sync}")
            connection.execute(f"PRAGMA journal_size_limit = {64 * 2**20}")  # bytes; one long reader must not leave GBs
        except BaseException:
            connection.close()
            raise
        return connection


def identity(connection: sqlite3.Connection) -> str:
    """Which bus this is: a file that took another's place has another one."""
    return str(connection.execute("SELECT id FROM about").fetchone()[0])


def check_whole(path: Path) -> None:
    """Read the file through, where there is one.

    Raises:
        RuntimeError: it is torn; says what to do.
    """
    if not path.exists():
        return
    connection = open_file(ConnectionOptions(path, busy_s=10.0))
    with explained(path, "check"):
        try:
            said = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
        finally:
            connection.close()
    if said != ["ok"]:
        raise RuntimeError(_torn(path, "; ".join(said)))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; waits for its turn at the beginning, so that it never has to give up half way."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # the disk may be full; SQLite rolls back with the next opening then
                connection.execute("ROLLBACK")


@contextmanager
def explained(path: Path, what: str) -> Iterator[None]:
    """Say in words what SQLite says in codes.

    Raises:
        TransientError: it may work later.
        RuntimeError: it can't, until a person has looked.
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
            raise RuntimeError(_torn(path, str(error))) from error
        raise


def _connect(path: Path, mode: Literal["rw", "rwc"], busy_s: float) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=busy_s, isolation_level=None)


def _make(path: Path, busy_s: float) -> None:
    """Make the file where it is missing; one process at a time, because no other may look while WAL is switched on."""
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        msg = f"can't make bus file {path}: {error.strerror} ({path.parent}); make that folder, or mend the path"
        raise TransientError(msg) from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        connection = _connect(path, "rwc", busy_s)
        try:
            if not _tables(connection):
                connection.execute("PRAGMA journal_mode = WAL")  # kept in the file
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
    if not tables:  # somebody else is just making it
        msg = f"bus file {path} is empty as yet; it is tried again"
        raise TransientError(msg)
    if not {"about", "places", "records", "commits"} <= tables:
        msg = f"{path} is a SQLite file, but not a bus of SIAD's; nothing was changed. Name another file"
        raise RuntimeError(msg)
    (found,) = connection.execute("SELECT schema FROM about").fetchone()
    if found != SCHEMA:
        msg = (
            f"bus file {path} has schema {found}, this SIAD reads {SCHEMA}; nothing was changed. Run the SIAD that "
            "made it until nothing waits in it, then move the file away"
        )
        raise RuntimeError(msg)


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _torn(path: Path, said: str) -> str:
    return (
        f"bus file {path} is damaged or no bus at all ({said}); nothing was changed. Stop SIAD, move it away with its "
        f"-wal and -shm, and start again: images, masks and weights lie in the store, only what waited here is lost"
    )
