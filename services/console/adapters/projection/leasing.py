"""Statements about leases of captures."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, delete, or_, select

from services.console.adapters.projection.rows import to_us
from services.console.adapters.projection.tables import LEASES
from services.console.adapters.projection.writing import insert_into
from services.console.domain.leases import LeaseHolder

_L: Final = LEASES.c


def leased(connection: Connection, holder: LeaseHolder) -> set[str]:
    """Name the captures of a line that other pages show."""
    others = (_L.line == holder.line, _L.holder != holder.name, _L.expires_us > to_us(holder.now))
    return set(connection.execute(select(_L.capture_id).where(*others)).scalars())


def lease(connection: Connection, holder: LeaseHolder, captures: Collection[str]) -> set[str]:
    """Give or renew leases; return the captures that the page has now."""
    connection.execute(delete(LEASES).where(_L.line == holder.line, _L.expires_us <= to_us(holder.now)))
    expires_us = to_us(holder.expires_at)
    rows = [
        {"line": holder.line, "capture_id": name, "holder": holder.name, "expires_us": expires_us}
        for name in sorted(captures)
    ]
    if not rows:
        return set()
    insert = insert_into(connection)(LEASES)
    is_free = or_(_L.holder == holder.name, _L.expires_us <= to_us(holder.now))
    new = insert.excluded
    statement = insert.on_conflict_do_update(
        index_elements=[_L.line, _L.capture_id],
        set_={"holder": new.holder, "expires_us": new.expires_us},
        where=is_free,
    )
    connection.execute(statement, rows)
    mine = (_L.line == holder.line, _L.holder == holder.name, _L.capture_id.in_(sorted(captures)))
    return set(connection.execute(select(_L.capture_id).where(*mine)).scalars())


def release(connection: Connection, holder: LeaseHolder, captures: Collection[str]) -> None:
    """End leases of a page; others stay."""
    mine = (_L.line == holder.line, _L.holder == holder.name, _L.capture_id.in_(sorted(captures)))
    connection.execute(delete(LEASES).where(*mine))
