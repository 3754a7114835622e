"""Checks of browsers before every route, and headers behind it."""

from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.console.domain.access import COOKIE, BrowserRequest, check_access
from siad.runtime.problems import problem_response

HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


class BrowserMiddleware:
    """Lets in what ``check_access`` lets in.

    Pure ASGI: bodies are streamed.
    """

    def __init__(self, app: ASGIApp, *, is_local_only: bool) -> None:
        self._app, self._is_local_only = app, is_local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request = BrowserRequest(
            method=scope["method"],
            path=scope["path"],
            headers=headers,
            is_local_only=self._is_local_only,
        )
        if (refusal := check_access(request)) is not None:
            response = problem_response(refusal.status, refusal.code, refusal.detail)
            await response(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)


def cookie_of(header: str) -> str:
    """Return the session's token of a Cookie header; empty without one."""
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""
