"""SQLite off the event loop: one connection in one thread of its own, and a look-out for what others write."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from siad.contracts.errors import TransientError
from siad.runtime.bus.embedded.file import ConnectionOptions, explained, identity, open_file
from siad.runtime.bus.embedded.log import written

P = ParamSpec("P")
R = TypeVar("R")

LOOK_S = (0.001, 0.010)  # between two looks, each 5 us: right after news, and where there has been none for a while
AWAY_S = 0.2  # between two looks at a file that can't be opened


class SqliteThread:
    """One connection; calls wait for each other, nobody else does. Opens with the first call, and again where it must.

    The file may be moved away or replaced under an open connection, which would write on into nothing: so every call
    first looks whether the file is still the one that is open.
    """

    def __init__(self, opening: ConnectionOptions) -> None:
        self._opening = opening
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="siad-bus")
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._identity: str | None = None

    async def run(self, work: Callable[Concatenate[sqlite3.Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do ``work`` on the connection.

        Raises:
            TransientError: the file is away, held by others or full; nothing was changed.
            RuntimeError: the file is damaged, or another than before.
        """

        def call() -> R:
            with explained(self._opening.path, work.__name__.strip("_")):
                return work(self._open(), *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def close(self) -> None:
        """Finish what is under way, and close."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _open(self) -> sqlite3.Connection:
        path = self._opening.path
        if self._connection is not None and inode(path) != self._inode:
            self._close()
        if self._connection is None:
            connection = open_file(self._opening)
            self._inode = inode(path)
            if self._identity not in (None, found := identity(connection)):
                connection.close()
                msg = f"bus file {path} was replaced by another one; ending the process, which a restart cures"
                raise RuntimeError(msg)
            self._connection, self._identity = connection, found
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


class ChangeWatcher:
    """Sees that something was published, by whatever process, and wakes whoever waits for it here.

    SQLite tells nobody, so a thread looks: ``data_version`` changes with every commit of another connection. It looks
    only while somebody waits, so a process that is busy pays nothing.
    """

    def __init__(self, path: Path) -> None:
        self.generation = 0  # grows with everything that was seen; take it before you read, wait for the next after
        self._path = path
        self._users = 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = set()

    @contextmanager
    def on_duty(self) -> Iterator[None]:
        """Look for as long as anybody is inside; the last who leaves ends the thread."""
        self._users += 1
        if self._users == 1:
            self._stop = threading.Event()
            threading.Thread(target=self._look, args=(self._stop,), name="siad-bus-lookout", daemon=True).start()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._stop.set()
                self._wanted.set()

    async def wait(self, generation: int, timeout_s: float) -> None:
        """Return once more was seen than at ``generation``, or after ``timeout_s``."""
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

    def _look(self, stop: threading.Event) -> None:
        eye = _ChangeProbe(self._path)
        pause_s = LOOK_S[0]
        while not stop.is_set():
            try:
                is_news = eye.sees_news()
            except (sqlite3.Error, OSError, TransientError, RuntimeError):
                is_news = True  # whoever waits meets it by reading, and says it
                eye.close()
                stop.wait(AWAY_S)
            if is_news:
                self._wake()
            pause_s = LOOK_S[0] if is_news else min(pause_s * 1.2, LOOK_S[1])
            time.sleep(pause_s)
            if not self._waiting:
                self._wanted.wait()
            self._wanted.clear()
        eye.close()

    def _wake(self) -> None:
        with self._lock:
            self.generation += 1
            waiting, self._waiting = self._waiting, set()
        for loop, future in waiting:
            with suppress(RuntimeError):  # a loop that was closed meanwhile
                loop.call_soon_threadsafe(_end, future)


class _ChangeProbe:
    """A connection that only looks whether anything was published since it looked last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._version = 0
        self._written = (0, 0)

    def sees_news(self) -> bool:
        if self._connection is None or inode(self._path) != self._inode:
            self.close()
            self._connection = open_file(ConnectionOptions(self._path, busy_s=1.0))
            self._inode, self._version = inode(self._path), -1
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return False
        before, self._version, self._written = self._written, version, written(self._connection)
        return before != self._written  # else somebody committed an offset, or forgot what was old

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def inode(path: Path) -> int:
    """Which file lies there now; 0 where none does."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _end(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
