"""HTTP client of a stage, with retries.

Requests are retried while the stage, the store or the broker is unavailable.
"""

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from siad.apps.credentials import credentials
from siad.apps.refusals import Refusal
from siad.contracts.errors import TransientError
from siad.contracts.ids import require_slug
from siad.runtime.backoff import Backoff
from siad.runtime.clock import SYSTEM_CLOCK, Clock

RETRY_FOR_S: Final = 60.0
RESPONSE_S: Final = 60.0  # for one response; ingest itself gives up earlier
_RETRIED: Final = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
_TRANSPORT_ERRORS: Final[Mapping[type[httpx.TransportError], str]] = {
    httpx.ConnectTimeout: "the connection timed out",
    httpx.ConnectError: "no server accepts connections there",
    httpx.TimeoutException: "it did not answer in time",
    httpx.UnsupportedProtocol: "the address does not begin with http:// or https://",
    httpx.RemoteProtocolError: "it ended the connection, or is no HTTP server",
    httpx.ReadError: "it ended the connection",
    httpx.WriteError: "it ended the connection",
    httpx.ProxyError: "the proxy failed",
}


class ProblemError(Exception):
    """A request that a stage refused, and would refuse again.

    The message is in the terms of the command line.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code = status, code


class StageClient:
    """Client of one stage; safe for concurrent requests."""

    def __init__(
        self,
        url: str,
        *,
        stage: str,
        retry_for_s: float = RETRY_FOR_S,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Describe the connection; it is opened by the first request.

        Args:
            url: address of the stage.
            stage: its name, for messages.
            retry_for_s: how long one request is retried while stage, store or broker is unavailable; 0: never.
            transport: replaces the network, in tests.
            clock: for the waits between attempts.

        Raises:
            ValueError: ``url`` is no address over HTTP, or SIAD_API_KEY no key.
        """
        timeout = httpx.Timeout(RESPONSE_S, connect=5.0)
        self._http = httpx.AsyncClient(
            base_url=_require_address(url), transport=transport, timeout=timeout, headers=credentials()
        )
        self._stage, self._retry_for_s, self._clock = stage, retry_for_s, clock
        self._backoff = Backoff(schedule_s=(0.2, 0.5, 1.0, 2.0, 5.0))

    async def __aenter__(self) -> Self:
        """Keep connections open inside the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._http.aclose()

    def explain(self, refusal: Refusal) -> str:
        """Say what was refused, in the terms of the command line."""
        raise NotImplementedError

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request until it succeeds, is refused or times out."""
        end_s, attempt = self._clock.monotonic() + self._retry_for_s, 0
        while True:
            response, reason = await self._attempt(method, path, **options)
            if response is not None and not reason:
                return response
            delay_s = max(_retry_after_s(response), self._backoff.delay_s(attempt))
            if self._clock.monotonic() + delay_s > end_s:
                prefix = f"not done within {self._retry_for_s:g} s: " if self._retry_for_s else ""
                msg = f"{prefix}{reason}. Repeating is safe"
                raise TransientError(msg)
            await self._clock.sleep(delay_s)
            attempt += 1

    async def pieces(self, method: str, path: str, **options: Any) -> AsyncIterator[bytes]:
        """Send a request once; yields its response in pieces.

        Raises:
            ProblemError: refused.
            TransientError: the stage does not respond, or ended the connection early.
        """
        try:
            timeout = httpx.Timeout(None, connect=5.0)  # an answer may take minutes
            async with self._http.stream(method, path, timeout=timeout, **options) as response:
                if response.is_error:
                    await response.aread()
                    refusal = _refusal_of(response, path)
                    if response.status_code in _RETRIED:
                        raise TransientError(self.explain(refusal))
                    raise ProblemError(response.status_code, refusal.code, self.explain(refusal))
                async for piece in response.aiter_bytes():
                    yield piece
        except httpx.TransportError as error:
            msg = f"{self._stage} ended the transfer: {describe_transport_error(error)}. Repeat the command"
            raise TransientError(msg) from error

    async def _attempt(self, method: str, path: str, **options: Any) -> tuple[httpx.Response | None, str]:
        """One request: its response, and the reason to retry.

        An empty reason if there is none.
        """
        try:
            response = await self._http.request(method, path, **options)
        except httpx.TransportError as error:
            address = str(self._http.base_url).rstrip("/")
            return None, f"{self._stage} does not respond at {address}: {describe_transport_error(error)}"
        if response.status_code in _RETRIED:
            return response, self.explain(_refusal_of(response, path))
        if response.is_error:
            refusal = _refusal_of(response, path)
            raise ProblemError(response.status_code, refusal.code, self.explain(refusal))
        return response, ""


def _require_address(url: str) -> httpx.URL:
    """Read an address.

    Another text would be tried again and again, as if ingest were unavailable.
    """
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise _no_address(url) from error
    if address.scheme not in ("http", "https") or not address.host or address.query or address.fragment:
        raise _no_address(url)
    if address.port is not None and not 1 <= address.port <= 65535:
        raise _no_address(url)
    return address


def _no_address(url: str) -> ValueError:
    return ValueError(f"--url {url!r} is not an address; nothing was sent. Write it as http://127.0.0.1:8400")


def describe_transport_error(error: httpx.TransportError) -> str:
    """Say in words why a server did not respond."""
    for kinds, text in _TRANSPORT_ERRORS.items():
        if isinstance(error, kinds):
            return text
    return "the connection failed"


def line_path(line: str) -> str:
    """Address of a line.

    Checked and quoted: as part of an address, a name such as 'x/../tmp-1' or 'tmp-1#2' would be that of another line.

    Raises:
        ValueError: it can't be the name of a line.
    """
    try:
        require_slug("line", line)
    except ValueError as error:
        msg = f"{error}; nothing was sent"
        raise ValueError(msg) from error
    return f"/v1/lines/{quote(line, safe='')}"


def _refusal_of(response: httpx.Response, path: str) -> Refusal:
    """Read a problem.

    A proxy in between may send another body.
    """
    line = path.split("/")[3] if path.count("/") > 2 else "LINE"
    try:
        body = response.json()
        code, detail, errors = str(body["type"]).rpartition(":")[2], str(body["detail"]), body.get("errors", ())
        return Refusal(code=code, detail=detail, errors=[dict(error) for error in errors], line=line)
    except (ValueError, KeyError, TypeError, AttributeError):
        text = f"{response.status_code} {response.reason_phrase}: {response.text[:200]}"
        return Refusal(code="http-error", detail=text, line=line)


def _retry_after_s(response: httpx.Response | None) -> float:
    value = "" if response is None else response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else 0.0


def json_of(response: httpx.Response) -> dict[str, Any]:
    """Read the JSON object of a response."""
    body: dict[str, Any] = response.json()
    return body
