"""Requests of people passed on to ingest, as any client sends them."""

import httpx

from siad.contracts.errors import TransientError
from siad.runtime.problems import Problem

RETRIED: tuple[int, ...] = (429, 502, 503, 504)
DENIED: tuple[int, ...] = (401, 403)


class IngestProxy:
    """The port ``LineOwner``: ingest's own routes, by its address."""

    def __init__(self, client: httpx.AsyncClient | None) -> None:
        """Describe the connection.

        Args:
            client: with ingest's address and the console's credentials; None where ingest has no address here.
        """
        self._client = client

    @property
    def is_known(self) -> bool:
        """Whether there is an address."""
        return self._client is not None

    async def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Pass a request on; return status and body of the response.

        A refusal is a response too.

        Raises:
            Problem: 409, the console has no address of ingest; 502, ingest refuses the console's API key.
            TransientError: ingest did not respond, or asks to try again.
        """
        if self._client is None:
            detail = (
                "the console does not know ingest; nothing was done. Set SIAD_CONSOLE_INGEST_URL, or use siad line put "
                "and siad send"
            )
            raise Problem(409, "no-ingest", detail)
        try:
            response = await self._client.request(method, path, content=body, headers=headers)
        except httpx.TransportError as error:
            msg = f"ingest did not respond ({error!r}); send it again, a repeat is harmless"
            raise TransientError(msg) from error
        if response.status_code in RETRIED:
            msg = f"ingest asks to try again (HTTP status {response.status_code}); a repeat is harmless"
            raise TransientError(msg)
        if response.status_code in DENIED:
            # as it is, a page would take it for the end of its own session
            detail = (
                f"ingest refuses the console's API key (HTTP status {response.status_code}); nothing was done. Make "
                "one by siad key create console --scope admin, and set SIAD_CONSOLE_INGEST_KEY to it"
            )
            raise Problem(502, "ingest-refuses", detail)
        return response.status_code, response.content
