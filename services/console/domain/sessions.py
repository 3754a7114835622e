"""Sign-in links and sessions of the console's page. Pure.

A link is used once and soon; what it opens is a session, whose token only the browser has. Tokens are held as digests,
so that a dump of the database opens nothing.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from siad.contracts.access import Account, Role

LINK_TTL: Final = timedelta(minutes=30)
SESSION_TTL: Final = timedelta(hours=12)
SESSIONS_MAX: Final = 1000  # of one person, links included; the oldest go first
CLIENT_MAX: Final = 120  # characters of a browser's name


class TokenKind(StrEnum):
    """What a token opens."""

    LINK = "link"  # a session, once
    SESSION = "session"  # the page


class SignInMethod(StrEnum):
    """How a session was opened."""

    LINK = "link"
    PASSWORD = "password"  # noqa: S105 - a word, not a password
    PROVIDER = "identity provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signed-in person, or a link that signs one in."""

    session_id: str  # digest of its token
    kind: TokenKind
    person: str
    method: SignInMethod
    roles: Mapping[str, Role]  # of a person without an account; otherwise the account has them
    client: str  # browser
    opened_at: datetime
    expires_at: datetime

    def roles_at_present(self, account: Account | None) -> Mapping[str, Role] | None:
        """Return the roles of the person; None where the session has ended.

        Args:
            account: of this person at present, if there is one.
        """
        if account is None:
            return self.roles or None  # None: the account was deleted
        if account.is_disabled or self.opened_at < account.sessions_from_at:
            return None
        return account.every_role


def digest(token: str) -> str:
    """Name a token without telling it."""
    return hashlib.sha256(token.encode()).hexdigest()


def make_link(token: str, person: str, *, now: datetime) -> Session:
    """Make a link that signs a person in once.

    A person without an account is an administrator: links are given to the owner of the machine.
    """
    return Session(
        session_id=digest(token),
        kind=TokenKind.LINK,
        person=person,
        method=SignInMethod.LINK,
        roles={"*": Role.ADMIN},
        client="",
        opened_at=now,
        expires_at=now + LINK_TTL,
    )


def make_session(token: str, person: str, method: SignInMethod, *, client: str, now: datetime) -> Session:
    """Make a session of a person with an account."""
    return Session(
        session_id=digest(token),
        kind=TokenKind.SESSION,
        person=person,
        method=method,
        roles={},
        client=client[:CLIENT_MAX],
        opened_at=now,
        expires_at=now + SESSION_TTL,
    )
