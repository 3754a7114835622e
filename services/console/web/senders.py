"""Senders of requests: people with a session, and processes of this machine."""

from dataclasses import dataclass

from services.console.adapters.sessions import PersonSessions
from services.console.domain.access import is_browser
from services.console.web.middleware import cookie_of
from siad.contracts.access import THIS_MACHINE, Principal
from siad.runtime.access.guard import Headers


@dataclass(frozen=True, slots=True)
class ConsoleSenders:
    """Identifies a request by its cookie."""

    sessions: PersonSessions

    async def __call__(self, headers: Headers) -> Principal | None:
        """Return the sender; None without an open session.

        Raises:
            TransientError: database or store is unavailable, and the session is not known here.
        """
        token = cookie_of(headers.get("cookie", ""))
        if token and (found := await self.sessions.find(token)) is not None:
            return found.principal
        return None if is_browser(headers) else THIS_MACHINE
