"""Addresses that no route answers: the page for browsers, JSON for programs."""

from typing import Final

from fastapi import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.console.web.files import CSP, INDEX, PageFiles
from siad.runtime.access.table import AccessTable

SAFE: Final = ("GET", "HEAD")


class UnknownAddressMiddleware:
    """Sends the page to browsers that open an unknown address.

    The page says so, and links to what exists.
    """

    def __init__(self, app: ASGIApp, *, files: PageFiles, table: AccessTable) -> None:
        self._app, self._files, self._table = app, files, table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        found = self._files.read(INDEX) if self._is_lost(scope) else None
        if found is None:
            await self._app(scope, receive, send)
            return
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": CSP}
        await Response(found.data, 404, headers, media_type=found.media_type)(scope, receive, send)

    def _is_lost(self, scope: Scope) -> bool:
        """Whether a browser opens an address that no route has."""
        if scope["type"] != "http" or scope["method"] not in SAFE or self._table.knows(scope["method"], scope["path"]):
            return False
        accept = next((value for name, value in scope["headers"] if name.lower() == b"accept"), b"")
        return b"text/html" in accept
