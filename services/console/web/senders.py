"""Senders of requests: people with a session, and programs."""

from dataclasses import dataclass

from services.console.adapters.sessions import PersonSessions
from services.console.domain.access import is_browser
from services.console.web.middleware import cookie_of
from siad.contracts.access import THIS_MACHINE, Principal
from siad.runtime.access.bearer import KeyBearer
from siad.runtime.access.guard import Headers


@dataclass(frozen=True, slots=True)
class ConsoleSenders:
    """Identifies a request by its cookie, or by its API key."""

    sessions: PersonSessions
    keys: KeyBearer | None  # None: processes that reach the console are trusted

    async def __call__(self, headers: Headers) -> Principal | None:
        """Return the sender; None without an open session or a key.

        Raises:
            Problem: the API key is unknown, revoked or expired.
            TransientError: database or store is unavailable, and the session is not known here.
        """
        token = cookie_of(headers.get("cookie", ""))
        if token and (found := await self.sessions.find(token)) is not None:
            return found.principal
        if self.keys is not None:
            return await self.keys(headers)
        return None if is_browser(headers) else THIS_MACHINE
