"""The projection on every database."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from services.console.adapters.projection.database import Database
from services.console.adapters.projection.store import SqlProjection
from tests.fixtures.postgres import PostgresServer

Open = Callable[[], SqlProjection]


@pytest.fixture(params=["memory", "file", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return server.create_database()
    return "" if request.param == "memory" else f"sqlite:///{tmp_path}/console/projection.sqlite"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The database, with its tables."""
    database = Database(database_url)
    await database.prepare()
    yield database
    database.close()


@pytest.fixture
def projection(database: Database) -> SqlProjection:
    """An empty projection."""
    return SqlProjection(database)


@pytest.fixture
async def another(database_url: str) -> AsyncIterator[SqlProjection]:
    """The same projection in another process, where the database can be shared."""
    if not database_url:
        pytest.skip("a database in memory belongs to one process")
    async with AsyncExitStack() as stack:
        database = Database(database_url)
        stack.callback(database.close)
        await database.prepare()
        yield SqlProjection(database)
