"""Talking to ingest: lines and images, patiently. What is away is asked again; what is refused is said."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from siad.contracts.errors import TransientError
from siad.contracts.events import Intent
from siad.runtime.backoff import Backoff
from siad.runtime.clock import SYSTEM_CLOCK, Clock

PATIENCE_S: Final = 60.0
ANSWER_S: Final = 60.0  # for one answer; ingest itself gives up earlier
_TRY_AGAIN: Final = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)


class ProblemError(Exception):
    """Ingest said no, and would say so again."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code = status, code


class IngestClient:
    """One ingest, by its address. Safe to use for many requests at a time.

    Args:
        url: where ingest listens.
        patience_s: how long one request is tried again while ingest, store or broker is away; 0: tried once.
        transport: for tests, or a way of one's own.
        clock: to wait on.
    """

    def __init__(
        self,
        url: str,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=url, transport=transport, timeout=httpx.Timeout(ANSWER_S, connect=5.0))
        self._patience_s, self._clock = patience_s, clock
        self._backoff = Backoff(schedule_s=(0.2, 0.5, 1.0, 2.0, 5.0))

    async def __aenter__(self) -> Self:
        """Use it for as long as this lasts."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def put_line(self, line: str, settings: Mapping[str, Any], *, if_match: int | None = None) -> dict[str, Any]:
        """Register a line or change it; what ``settings`` leaves out stays as it is.

        Args:
            line: its name.
            settings: product, false_reject_budget, shards, deadline_s.
            if_match: change only this revision.

        Raises:
            ProblemError: refused; 412 where somebody else changed the line.
            TransientError: ingest was away for too long; the same call again does no harm.
        """
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        return _json(await self._ask("PUT", f"/v1/lines/{line}", json=dict(settings), headers=headers))

    async def get_line(self, line: str) -> dict[str, Any]:
        """One line as it stands; ProblemError 404 where there is none."""
        return _json(await self._ask("GET", f"/v1/lines/{line}"))

    async def delete_line(self, line: str, *, if_match: int | None = None) -> None:
        """End a line."""
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        await self._ask("DELETE", f"/v1/lines/{line}", headers=headers)

    async def list_lines(self) -> list[dict[str, Any]]:
        """Every line, by name."""
        lines: list[dict[str, Any]] = _json(await self._ask("GET", "/v1/lines"))["lines"]
        return lines

    async def send_image(
        self,
        image: Path | bytes,
        *,
        line: str,
        intent: Intent = Intent.INSPECT,
        captured_at: datetime | None = None,
        serial: str = "",
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Hand over one image; it is sent again, as the same capture, until it is accepted.

        Args:
            image: the file, or its bytes.
            line: where it was taken.
            intent: to be judged, or known to be good.
            captured_at: when, with a zone; left out, the time of arrival counts.
            serial: the part's own number.
            idempotency_key: one value per exposure; left out, serial and time or the bytes name it.

        Returns:
            Ingest's answer; ``capture_id`` names the verdict to come.

        Raises:
            ProblemError: refused.
            TransientError: ingest, store or broker was away for too long.
            OSError: the file can't be read.
        """
        data = image if isinstance(image, bytes) else await asyncio.to_thread(image.read_bytes)
        params = {"intent": intent.value}
        if captured_at is not None:
            params["captured_at"] = captured_at.isoformat()
        if serial:
            params["serial"] = serial
        headers = {"Content-Type": "application/octet-stream"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return _json(await self._ask("POST", f"/v1/lines/{line}/images", params=params, headers=headers, content=data))

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        end_s, attempt = self._clock.monotonic() + self._patience_s, 0
        while True:
            answer, trouble = await self._try(method, path, **more)
            if answer is not None and not trouble:
                return answer
            delay_s = max(_retry_after_s(answer), self._backoff.delay_s(attempt))
            if self._clock.monotonic() + delay_s > end_s:
                waited = f"{method} {path} not done within {self._patience_s:g} s: " if self._patience_s else ""
                msg = f"{waited}{trouble}; the same again does no harm"
                raise TransientError(msg)
            await self._clock.sleep(delay_s)
            attempt += 1

    async def _try(self, method: str, path: str, **more: Any) -> tuple[httpx.Response | None, str]:
        """One request: its answer, and what should be waited for; empty where the answer stands."""
        try:
            answer = await self._http.request(method, path, **more)
        except httpx.TransportError as error:
            return None, f"{self._http.base_url} does not answer: {error!r}"
        if answer.status_code in _TRY_AGAIN:
            return answer, _problem_of(answer)[1]
        if answer.is_error:
            raise ProblemError(answer.status_code, *_problem_of(answer))
        return answer, ""


def _problem_of(answer: httpx.Response) -> tuple[str, str]:
    """Code and detail of a problem; whoever stands between may answer something else."""
    try:
        raw = answer.json()
        return str(raw["type"]).rpartition(":")[2], str(raw["detail"])
    except (ValueError, KeyError, TypeError):
        return "http-error", f"{answer.status_code} {answer.reason_phrase}: {answer.text[:200]}"


def _retry_after_s(answer: httpx.Response | None) -> float:
    said = "" if answer is None else answer.headers.get("retry-after", "")
    return float(said) if said.isdecimal() else 0.0


def _json(answer: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    return body
