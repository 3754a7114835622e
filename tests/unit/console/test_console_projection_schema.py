"""The tables of the projection: migrations, damaged files and refused addresses."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from services.console.adapters.projection.database import Database
from services.console.adapters.projection.store import SqlProjection
from services.console.adapters.projection.tables import METADATA
from services.console.settings import ConsoleSettings
from siad.contracts.errors import DeniedError, TransientError


def differences(connection: Connection) -> list[object]:
    """What the migrations lack, or have too much."""
    return list(compare_metadata(MigrationContext.configure(connection), METADATA))


def put_position(connection: Connection) -> None:
    connection.execute(text("INSERT INTO positions VALUES ('x', 0, 5) ON CONFLICT DO NOTHING"))


async def test_the_migrations_make_the_tables_of_the_code() -> None:
    database = Database("")
    await database.prepare()
    assert await database.read(differences) == []
    await database.write(lambda connection: connection.execute(text("DROP INDEX captures_person")).close())
    assert len(await database.read(differences)) == 1
    database.close()


async def test_a_second_start_keeps_what_is_there(tmp_path: Path) -> None:
    for topics in ({}, {0: 5}):
        database = Database(f"sqlite:///{tmp_path}/a/projection.sqlite")
        await database.prepare()
        assert await SqlProjection(database).positions("x") == topics
        await database.write(put_position)
        database.close()


async def test_a_damaged_file_is_put_aside_and_built_again(tmp_path: Path) -> None:
    path = tmp_path / "projection.sqlite"
    path.write_bytes(b"no database" * 1000)
    database = Database(f"sqlite:///{path}")
    await database.prepare()
    assert await SqlProjection(database).lines() == []
    assert path.with_name("projection.sqlite.damaged").read_bytes().startswith(b"no database")
    database.close()


async def test_a_file_that_is_damaged_while_it_is_read_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "projection.sqlite"
    first = Database(f"sqlite:///{path}")
    await first.prepare()
    first.close()
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * (path.stat().st_size - 100))
    database = Database(f"sqlite:///{path}")
    with pytest.raises(TransientError, match=r"is damaged: .*Restart the console: it builds another from the topics"):
        await SqlProjection(database).lines()
    database.close()


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    database = Database(f"sqlite:///{tmp_path}/held")  # a folder, no file
    with pytest.raises(DeniedError, match=r"can't be opened: .*Correct SIAD_CONSOLE_DATABASE_URL"):
        await database.prepare()
    database.close()


async def test_a_server_that_is_away_is_waited_for_and_its_password_not_shown() -> None:
    database = Database("postgresql://siad:secret@127.0.0.1:1/siad")
    with pytest.raises(TransientError, match="is unavailable") as caught:
        await database.prepare()
    assert not isinstance(caught.value, DeniedError)
    assert "secret" not in str(caught.value)
    database.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite:///relative.db", "postgres://ann:hidden@x"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"a database is sqlite:////\.\.\. or postgresql://\.\.\.") as caught:
        ConsoleSettings.load({"SIAD_CONSOLE_DATABASE_URL": url})
    assert url not in str(caught.value)
