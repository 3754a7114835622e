"""SQLite off the event loop: a connection's thread, and a change watcher."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from siad.contracts.errors import BusFailedError, TransientError
from siad.runtime.bus.embedded.file import ConnectionOptions, identity, open_file, translated_errors
from siad.runtime.bus.embedded.log import publish_counters

P = ParamSpec("P")
R = TypeVar("R")

POLL_S = (0.001, 0.010)  # between two polls of 5 us each: right after a change, and after a while without one
UNAVAILABLE_POLL_S = 0.2  # between two polls of a file that can't be opened


class SqliteThread:
    """One connection in its own thread; calls run in sequence.

    It opens with the first call. The file may be moved or replaced under an open connection, which would then write to
    a file without a name: so every call first checks that the path still names the open file, and reopens it if not.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        self._options = options
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="siad-bus")
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._identity: str | None = None

    async def run(self, work: Callable[Concatenate[sqlite3.Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``work`` on the connection.

        Raises:
            TransientError: the file is missing, locked or the disk is full; nothing was changed.
            BusFailedError: the file is damaged, or was replaced by another bus.
        """

        def call() -> R:
            with translated_errors(self._options.path, work.__name__.strip("_")):
                return work(self._open(), *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def close(self) -> None:
        """Finish calls in flight, and close."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _open(self) -> sqlite3.Connection:
        path = self._options.path
        if self._connection is not None and inode(path) != self._inode:
            self._close()
        if self._connection is None:
            connection = open_file(self._options)
            self._inode = inode(path)
            if self._identity not in (None, found := identity(connection)):
                connection.close()
                msg = f"bus file {path} was replaced by another bus; this process ends, and a restart opens the new one"
                raise BusFailedError(msg)
            self._connection, self._identity = connection, found
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


class ChangeWatcher:
    """Detects publishes of any process, and wakes waiting readers.

    SQLite has no notification, so a thread polls: ``data_version`` changes with every commit of another connection. It
    polls only while a reader waits, so a busy process pays nothing.
    """

    def __init__(self, path: Path) -> None:
        self.generation = 0  # grows with every change; read it before a fetch, and wait for the next one after
        self._path = path
        self._users = 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep the polling thread running while any caller is inside."""
        self._users += 1
        if self._users == 1:
            self._stop = threading.Event()
            threading.Thread(target=self._watch, args=(self._stop,), name="siad-bus-watcher", daemon=True).start()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._stop.set()
                self._wanted.set()

    async def wait(self, generation: int, timeout_s: float) -> None:
        """Return after a change later than ``generation``, or after ``timeout_s``."""
        loop = asyncio.get_running_loop()
        waiter = (loop, loop.create_future())
        with self._lock:
            if self.generation != generation:
                return
            self._waiting.add(waiter)
        self._wanted.set()
        try:
            await asyncio.wait((waiter[1],), timeout=timeout_s)
        finally:
            with self._lock:
                self._waiting.discard(waiter)

    def _watch(self, stop: threading.Event) -> None:
        probe = _ChangeProbe(self._path)
        pause_s = POLL_S[0]
        while not stop.is_set():
            try:
                is_changed = probe.has_changed()
            except (sqlite3.Error, OSError, TransientError, BusFailedError):
                is_changed = True  # the waiting reader gets the error from its own read
                probe.close()
                stop.wait(UNAVAILABLE_POLL_S)
            if is_changed:
                self._wake()
            pause_s = POLL_S[0] if is_changed else min(pause_s * 1.2, POLL_S[1])
            time.sleep(pause_s)
            if not self._waiting:
                self._wanted.wait()
            self._wanted.clear()
        probe.close()

    def _wake(self) -> None:
        with self._lock:
            self.generation += 1
            waiting, self._waiting = self._waiting, set()
        for loop, future in waiting:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(_end, future)


class _ChangeProbe:
    """A connection that detects publishes since its last check."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._version = 0
        self._written = (0, 0)

    def has_changed(self) -> bool:
        if self._connection is None or inode(self._path) != self._inode:
            self.close()
            self._connection = open_file(ConnectionOptions(self._path, busy_s=1.0))
            self._inode, self._version = inode(self._path), -1
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return False
        before, self._version, self._written = self._written, version, publish_counters(self._connection)
        return before != self._written  # otherwise a commit of offsets, or an expiry

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def inode(path: Path) -> int:
    """Inode of the file at this path; 0 if there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _end(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
