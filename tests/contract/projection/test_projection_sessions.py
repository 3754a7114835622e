"""Sessions and links are kept, found and used once, on every database."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection

from services.console.adapters.projection import sessions
from services.console.adapters.projection.database import Database
from services.console.domain.sessions import (
    SESSION_TTL,
    SESSIONS_MAX,
    Session,
    SignInMethod,
    TokenKind,
    digest,
    make_link,
    make_session,
)
from siad.contracts.access import Role
from tests.unit.console.world import at_noon


def session(token: str, person: str = "pat", *, after_s: float = 0) -> Session:
    return make_session(token, person, SignInMethod.PASSWORD, client="Mozilla/5.0 Ä", now=at_noon(after_s))


async def test_a_session_is_read_as_it_was_written(database: Database) -> None:
    one, link = session("a"), replace(make_link("b", "ann", now=at_noon(0)), roles={"*": Role.ADMIN, "l": Role.VIEWER})
    for held in (one, link):
        await database.write(sessions.put, held, at_noon(0))
        assert await database.read(sessions.find, held.session_id) == held
    assert await database.read(sessions.find, digest("c")) is None


async def test_a_person_has_the_sessions_that_are_open(database: Database) -> None:
    for held in (session("a"), session("b", after_s=1), session("c", "kim"), make_link("d", "pat", now=at_noon(0))):
        await database.write(sessions.put, held, at_noon(0))
    assert await database.read(sessions.of_person, "pat", at_noon(2)) == [session("b", after_s=1), session("a")]
    later = at_noon(0.5) + SESSION_TTL
    assert await database.read(sessions.of_person, "pat", later) == [session("b", after_s=1)]
    await database.write(sessions.put, session("e", after_s=3), later)
    assert await database.read(sessions.find, digest("a")) is None  # expired ones go


async def test_a_link_that_is_used_at_once_from_two_browsers_opens_one_session(database: Database) -> None:
    for turn in range(10):
        link = make_link(f"link {turn}", "ann", now=at_noon(0))
        await database.write(sessions.put, link, at_noon(0))
        assert await database.write(sessions.take, link.session_id, TokenKind.SESSION) is None
        found = await asyncio.gather(
            *(database.write(sessions.take, link.session_id, TokenKind.LINK) for _ in range(4))
        )
        assert [one for one in found if one is not None] == [link]


async def test_sessions_of_a_person_are_bounded(database: Database) -> None:
    def fill(connection: Connection) -> None:
        for number in range(SESSIONS_MAX + 2):
            sessions.put(connection, session(str(number), after_s=number), at_noon(0))

    await database.write(fill)
    assert await database.read(sessions.find, digest("1")) is None
    assert await database.read(sessions.find, digest("2")) is not None
    held = await database.read(sessions.of_person, "pat", at_noon(0) + timedelta(seconds=1))
    assert len(held) == SESSIONS_MAX
