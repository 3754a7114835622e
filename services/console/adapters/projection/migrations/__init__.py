"""Migrations of the projection's tables, run by Alembic at the start."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

_ONE_AT_A_TIME: Final = 7_214_405  # key of PostgreSQL's advisory lock: consoles that start together


def upgrade(connection: Connection) -> None:
    """Bring the tables to this version, within a transaction.

    Args:
        connection: in a transaction that writes.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
    command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
