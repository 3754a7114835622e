"""Statements about captures that people put off."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, exists, select

from services.console.adapters.projection.rows import from_us, to_us
from services.console.adapters.projection.tables import CAPTURES, DEFERRALS
from services.console.adapters.projection.writing import insert_into
from services.console.domain.deferrals import DEFERRED_FOR, Deferral

_D: Final = DEFERRALS.c


def defer(connection: Connection, deferral: Deferral) -> None:
    """Put a capture off, and delete deferrals that have ended."""
    connection.execute(delete(DEFERRALS).where(_D.line == deferral.line, ~_runs(deferral.deferred_at)))
    row = {
        "line": deferral.line,
        "capture_id": deferral.capture_id,
        "person": deferral.person,
        "reason": deferral.reason,
        "deferred_us": to_us(deferral.deferred_at),
    }
    insert = insert_into(connection)(DEFERRALS).values(row)
    new = insert.excluded
    statement = insert.on_conflict_do_update(
        index_elements=[_D.line, _D.capture_id, _D.person],
        set_={"reason": new.reason, "deferred_us": new.deferred_us},
    )
    connection.execute(statement)


def resume(connection: Connection, line: str, capture_id: str, person: str) -> None:
    """End a deferral; a repeat is harmless."""
    mine = (_D.line == line, _D.capture_id == capture_id, _D.person == person)
    connection.execute(delete(DEFERRALS).where(*mine))


def deferred(connection: Connection, line: str, person: str, now: datetime) -> set[str]:
    """Name the captures of a line that a person put off."""
    mine = (_D.line == line, _D.person == person, _runs(now))
    return set(connection.execute(select(_D.capture_id).where(*mine)).scalars())


def of_captures(
    connection: Connection, line: str, captures: Collection[str], now: datetime
) -> Mapping[str, tuple[Deferral, ...]]:
    """Read the deferrals of captures, the newest first."""
    of_line = (_D.line == line, _D.capture_id.in_(sorted(captures)), _runs(now))
    rows = connection.execute(select(DEFERRALS).where(*of_line).order_by(_D.deferred_us.desc(), _D.person)).all()
    found: dict[str, tuple[Deferral, ...]] = {}
    for row in rows:
        one = Deferral(
            line=row.line,
            capture_id=row.capture_id,
            person=row.person,
            reason=row.reason,
            deferred_at=from_us(row.deferred_us),
        )
        found[row.capture_id] = (*found.get(row.capture_id, ()), one)
    return found


def is_deferred(after: datetime) -> ColumnElement[bool]:
    """Whether a person put the capture off after a moment."""
    this = (_D.line == CAPTURES.c.line, _D.capture_id == CAPTURES.c.capture_id)
    return exists().where(*this, _is_after(after))


def _runs(now: datetime) -> ColumnElement[bool]:
    return _is_after(now - DEFERRED_FOR)


def _is_after(moment: datetime) -> ColumnElement[bool]:
    found: ColumnElement[bool] = _D.deferred_us > to_us(moment)
    return found
