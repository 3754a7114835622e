"""Sign-in links and sessions of the console's page. Pure.

A link is used once and soon; what it opens is a session, whose token only the browser has. Both are held as digests, so
that a dump of the process opens nothing. They live in the process: after a restart people sign in again, and what they
drew waits in their browsers.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

LINK_TTL: Final = timedelta(minutes=30)
SESSION_TTL: Final = timedelta(hours=12)
SESSIONS_MAX: Final = 1000  # and as many links; the oldest go first


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signed-in person."""

    person: str
    expires_at: datetime


class SessionBook:
    """Links that were not used yet, and open sessions."""

    def __init__(self) -> None:
        self._links: dict[str, Session] = {}
        self._sessions: dict[str, Session] = {}

    def add_link(self, token: str, person: str, *, now: datetime) -> datetime:
        """Allow one sign-in with a token; return when it expires."""
        link = Session(person=person, expires_at=now + LINK_TTL)
        _put(self._links, token, link, now=now)
        return link.expires_at

    def sign_in(self, link: str, token: str, *, now: datetime) -> Session | None:
        """Open a session with a token of its own.

        None where the link is used up, expired or unknown.
        """
        found = self._links.pop(_digest(link), None)
        if found is None or found.expires_at <= now:
            return None
        session = Session(person=found.person, expires_at=now + SESSION_TTL)
        _put(self._sessions, token, session, now=now)
        return session

    def find(self, token: str, *, now: datetime) -> Session | None:
        """Return the open session of a token."""
        session = self._sessions.get(_digest(token))
        return session if session is not None and session.expires_at > now else None

    def sign_out(self, token: str) -> None:
        """Close a session; a repeat is harmless."""
        self._sessions.pop(_digest(token), None)


def _put(held: dict[str, Session], token: str, session: Session, *, now: datetime) -> None:
    for digest in [digest for digest, one in held.items() if one.expires_at <= now]:
        del held[digest]
    while len(held) >= SESSIONS_MAX:
        del held[next(iter(held))]
    held[_digest(token)] = session


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
