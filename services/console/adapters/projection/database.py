"""One database, SQLite or PostgreSQL, for asyncio.

Statements run in a few threads. What the driver raises becomes one of the project's exceptions, which readiness and
problems can show: the projection holds nothing that topics and store lack, so the remedy for a damaged one is to build
it again.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import structlog
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.pool import StaticPool

from services.console.adapters.projection.migrations import upgrade
from siad.contracts.errors import DeniedError, TransientError

log = structlog.get_logger()

P = ParamSpec("P")
R = TypeVar("R")

THREADS: Final = 4
BUSY_S: Final = 20.0  # wait for another writer of the file
CONNECT_S: Final = 5.0
_AWAY: Final = (OperationalError, InterfaceError, InternalError)
_DAMAGED: Final = ("malformed", "not a database")  # SQLite
_REFUSED: Final = ("28", "3D", "42501")  # PostgreSQL: authorization, no such database, no such privilege
_REFUSED_TEXTS: Final = ("authentication failed", "does not exist", "unable to open database file", "readonly database")


class Database:
    """Connections to one database, and the threads that use them."""

    def __init__(self, url: str) -> None:
        """Describe the database; nothing is opened yet.

        Args:
            url: of ``ConsoleSettings``; empty for one in the memory of this process.
        """
        self._url = make_url(url or "sqlite://").set(query={})
        if self._url.drivername in ("postgresql", "postgres"):
            self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._engine = _make_engine(self._url)
        # a database in memory is one connection, which only one thread may use
        self._executor = ThreadPoolExecutor(1 if self.is_in_memory else THREADS, thread_name_prefix="projection")

    @property
    def is_in_memory(self) -> bool:
        """Whether the database ends with this process."""
        return self._url.get_backend_name() == "sqlite" and not self._url.database

    async def prepare(self) -> None:
        """Create or upgrade the tables; a damaged file is put aside.

        Raises:
            TransientError: the database is unavailable.
        """
        await self._run(self.upgrade)

    async def read(self, work: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run statements that change nothing."""
        return await self._run(lambda: self._within(lambda at: work(at, *args, **kwargs), writes=False))

    async def write(self, work: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run statements in one transaction."""
        return await self._run(lambda: self._within(lambda at: work(at, *args, **kwargs), writes=True))

    def close(self) -> None:
        """Close threads and connections."""
        self._executor.submit(self._engine.dispose)
        self._executor.shutdown(wait=True, cancel_futures=False)

    def _within(self, work: Callable[[Connection], R], *, writes: bool) -> R:
        with self._engine.connect().execution_options(writes=writes) as connection, connection.begin():
            return work(connection)

    def upgrade(self) -> None:
        """Do what ``prepare`` does, in this thread."""
        if self._url.get_backend_name() == "sqlite" and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        try:
            self._within(upgrade, writes=True)
        except DatabaseError as error:
            if self._url.get_backend_name() != "sqlite" or not any(text in str(error.orig) for text in _DAMAGED):
                raise
            self._put_aside(str(error.orig))
            self._within(upgrade, writes=True)

    def _put_aside(self, reason: str) -> None:
        path = Path(str(self._url.database))
        self._engine.dispose()
        aside = path.with_suffix(path.suffix + ".damaged")
        path.replace(aside)
        for suffix in ("-wal", "-shm"):  # of the damaged file
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        log.error("projection_damaged", path=str(path), moved_to=str(aside), reason=f"{reason}; it is built again")

    async def _run(self, work: Callable[[], R]) -> R:
        call = partial(contextvars.copy_context().run, work)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)
        except DBAPIError as error:
            if not isinstance(error, _AWAY) and not any(text in str(error.orig) for text in _DAMAGED):
                raise
            raise _explain(error, self._url) from error


def _make_engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        wait = {"connect_timeout": int(CONNECT_S)}
        return create_engine(url, pool_size=THREADS, max_overflow=1, pool_pre_ping=True, connect_args=wait)
    options: dict[str, Any] = {"check_same_thread": False, "timeout": BUSY_S}
    pool: dict[str, Any] = {"poolclass": StaticPool} if not url.database else {}
    engine = create_engine(url, connect_args=options, **pool)
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _: Any) -> None:
    """Prepare a connection of SQLite's driver.

    The driver begins transactions of its own, and late; ``_begin`` does it instead.
    """
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-65536", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    """Begin a transaction; a writer waits here, not at its first statement."""
    connection.exec_driver_sql(f"BEGIN {'IMMEDIATE' if connection.get_execution_options().get('writes') else ''}")


def _explain(error: DBAPIError, url: URL) -> TransientError:
    """Return the exception of the project for one of the driver."""
    text = " ".join(str(error.orig).split())
    where = url.render_as_string(hide_password=True)
    if any(found in text for found in _DAMAGED):
        msg = f"the projection {where} is damaged: {text}. Restart the console: it builds another from the topics"
        return TransientError(msg)
    state = getattr(error.orig, "sqlstate", None) or ""
    if state.startswith(_REFUSED) or any(found in text for found in _REFUSED_TEXTS):
        msg = f"the projection {where} can't be opened: {text}. Correct SIAD_CONSOLE_DATABASE_URL, or the rights there"
        return DeniedError(msg)
    return TransientError(f"the projection {where} is unavailable: {text}")
