"""Statements about sessions and the links that open them."""

import json
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Row, delete, func, insert, select

from services.console.adapters.projection.rows import from_us, to_us
from services.console.adapters.projection.tables import SESSIONS
from services.console.domain.sessions import SESSIONS_MAX, Session, SignInMethod, TokenKind
from siad.contracts.access import Role

_S: Final = SESSIONS.c


def put(connection: Connection, session: Session, now: datetime) -> None:
    """Enter a session or a link.

    Expired ones go, and a person's oldest beyond the bound.
    """
    connection.execute(delete(SESSIONS).where(_S.expires_us <= to_us(now)))
    of_person = _S.person == session.person
    held = connection.execute(select(func.count()).select_from(SESSIONS).where(of_person)).scalar_one()
    if held >= SESSIONS_MAX:
        oldest = select(_S.session_id).where(of_person).order_by(_S.opened_us).limit(held - SESSIONS_MAX + 1)
        names = list(connection.execute(oldest).scalars())
        connection.execute(delete(SESSIONS).where(_S.session_id.in_(names)))
    values = {
        "session_id": session.session_id,
        "kind": session.kind.value,
        "person": session.person,
        "method": session.method.value,
        "roles": json.dumps({line: role.value for line, role in session.roles.items()}),
        "client": session.client,
        "opened_us": to_us(session.opened_at),
        "expires_us": to_us(session.expires_at),
    }
    connection.execute(insert(SESSIONS), values)


def find(connection: Connection, session_id: str) -> Session | None:
    """Read one session or link."""
    row = connection.execute(select(SESSIONS).where(_S.session_id == session_id)).one_or_none()
    return None if row is None else _session(row)


def of_person(connection: Connection, person: str, now: datetime) -> list[Session]:
    """Read the open sessions of a person, the newest first."""
    wanted = (_S.person == person, _S.kind == TokenKind.SESSION.value, _S.expires_us > to_us(now))
    rows = connection.execute(select(SESSIONS).where(*wanted).order_by(_S.opened_us.desc(), _S.session_id))
    return [_session(row) for row in rows]


def take(connection: Connection, session_id: str, kind: TokenKind) -> Session | None:
    """Remove a session or link and return it, to one caller alone."""
    found = find(connection, session_id)
    removed = connection.execute(delete(SESSIONS).where(_S.session_id == session_id, _S.kind == kind.value))
    return found if removed.rowcount == 1 else None


def _session(row: Row[tuple[object, ...]]) -> Session:
    held = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for a row's columns
    return Session(
        session_id=held["session_id"],
        kind=TokenKind(held["kind"]),
        person=held["person"],
        method=SignInMethod(held["method"]),
        roles={line: Role(role) for line, role in json.loads(held["roles"]).items()},
        client=held["client"],
        opened_at=from_us(held["opened_us"]),
        expires_at=from_us(held["expires_us"]),
    )
