"""HTTP client of ingest, with retries.

Requests are retried while ingest, store or broker is unavailable.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from siad.apps.refusals import Refusal, explain
from siad.contracts.errors import TransientError
from siad.contracts.events import Intent
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
    """A request that ingest refused, and would refuse again.

    The message is in the terms of the command line.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureInfo:
    """What the sender knows about one image."""

    intent: Intent = Intent.INSPECT  # to inspect, or known to be normal
    captured_at: datetime | None = None  # with a time zone; None: ingest takes the time of arrival
    serial: str = ""  # of the part
    idempotency_key: str | None = None  # one value per exposure; None: serial, time and bytes identify it


class IngestClient:
    """Client of one ingest; safe for concurrent requests.

    Args:
        url: address of ingest.
        retry_for_s: how long one request is retried while ingest, store or broker is unavailable; 0: never.
        transport: replaces the network, in tests.
        clock: for the waits between attempts.

    Raises:
        ValueError: ``url`` is no address over HTTP.
    """

    def __init__(
        self,
        url: str,
        *,
        retry_for_s: float = RETRY_FOR_S,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        timeout = httpx.Timeout(RESPONSE_S, connect=5.0)
        self._http = httpx.AsyncClient(base_url=_require_address(url), transport=transport, timeout=timeout)
        self._retry_for_s, self._clock = retry_for_s, clock
        self._backoff = Backoff(schedule_s=(0.2, 0.5, 1.0, 2.0, 5.0))

    async def __aenter__(self) -> Self:
        """Keep connections open inside the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def put_line(self, line: str, settings: Mapping[str, Any], *, if_match: int | None = None) -> dict[str, Any]:
        """Register a line or change it.

        Settings that are left out keep their values.

        Args:
            line: name of the line.
            settings: product, false_reject_budget, shards, deadline_s, method, region, input_px, bits, sizes,
                budget_tightens.
            if_match: change only this revision.

        Raises:
            ValueError: ``line`` can't be the name of a line.
            ProblemError: refused; 412 if the line is at another revision.
            TransientError: ingest was unavailable for too long; repeating the call is safe.
        """
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        return _json(await self._request("PUT", _line_path(line), json=dict(settings), headers=headers))

    async def get_line(self, line: str) -> dict[str, Any]:
        """Read the settings of one line.

        ProblemError 404 if it does not exist.
        """
        return _json(await self._request("GET", _line_path(line)))

    async def delete_line(self, line: str, *, if_match: int | None = None) -> None:
        """End a line.

        ProblemError if it does not exist or was ended before.
        """
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        try:
            await self._request("DELETE", _line_path(line), headers=headers)
        except ProblemError as error:
            if error.code != "unknown-line":
                raise
            msg = f"line {line!r} does not exist, or was ended before; nothing was changed. siad line list shows all"
            raise ProblemError(error.status, error.code, msg) from error

    async def list_lines(self) -> list[dict[str, Any]]:
        """Read the settings of every line, by name."""
        lines: list[dict[str, Any]] = _json(await self._request("GET", "/v1/lines"))["lines"]
        return lines

    async def send_image(self, image: Path | bytes, *, line: str, info: CaptureInfo | None = None) -> dict[str, Any]:
        """Upload one image; retries send the same capture until ingest accepts it.

        Args:
            image: the file, or its bytes.
            line: name of the line.
            info: what is known about the image; None: an image to inspect.

        Returns:
            Response of ingest; ``capture_id`` identifies the verdict to come.

        Raises:
            ValueError: ``line`` can't be the name of a line.
            ProblemError: refused.
            TransientError: ingest, store or broker was unavailable for too long.
            OSError: the file can't be read.
        """
        info = info or CaptureInfo()
        data = image if isinstance(image, bytes) else await asyncio.to_thread(image.read_bytes)
        params = {"intent": info.intent.value}
        if info.captured_at is not None:
            params["captured_at"] = info.captured_at.isoformat()
        if info.serial:
            params["serial"] = info.serial
        headers = {"Content-Type": "application/octet-stream"}
        if info.idempotency_key is not None:
            headers["Idempotency-Key"] = info.idempotency_key
        path = f"{_line_path(line)}/images"
        return _json(await self._request("POST", path, params=params, headers=headers, content=data))

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
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

    async def _attempt(self, method: str, path: str, **options: Any) -> tuple[httpx.Response | None, str]:
        """One request: its response, and the reason to retry.

        An empty reason if there is none.
        """
        try:
            response = await self._http.request(method, path, **options)
        except httpx.TransportError as error:
            address = str(self._http.base_url).rstrip("/")
            return None, f"ingest does not respond at {address}: {describe_transport_error(error)}"
        if response.status_code in _RETRIED:
            return response, explain(_refusal_of(response, path))
        if response.is_error:
            refusal = _refusal_of(response, path)
            raise ProblemError(response.status_code, refusal.code, explain(refusal))
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


def _line_path(line: str) -> str:
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


def _json(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    return body
