"""HTTP client of ingest, with retries."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from siad.apps.refusals import Refusal, explain
from siad.apps.stage_client import RETRY_FOR_S, ProblemError, StageClient, describe_transport_error, json_of, line_path
from siad.contracts.events import Intent
from siad.runtime.clock import SYSTEM_CLOCK, Clock

__all__ = ["CaptureInfo", "IngestClient", "ProblemError", "describe_transport_error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureInfo:
    """What the sender knows about one image."""

    intent: Intent = Intent.INSPECT  # to inspect, or known to be normal
    captured_at: datetime | None = None  # with a time zone; None: ingest takes the time of arrival
    serial: str = ""  # of the part
    idempotency_key: str | None = None  # one value per exposure; None: serial, time and bytes identify it


class IngestClient(StageClient):
    """Client of one ingest; safe for concurrent requests."""

    def __init__(
        self,
        url: str,
        *,
        retry_for_s: float = RETRY_FOR_S,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Describe the connection, as ``StageClient`` does."""
        super().__init__(url, stage="ingest", retry_for_s=retry_for_s, transport=transport, clock=clock)

    def explain(self, refusal: Refusal) -> str:
        """Say what was refused, and which option to change."""
        return explain(refusal)

    async def put_line(self, line: str, settings: Mapping[str, Any], *, if_match: int | None = None) -> dict[str, Any]:
        """Register a line or change it.

        Settings that are left out keep their values.

        Args:
            line: name of the line.
            settings: product, false_reject_budget, shards, deadline_s, method, region, input_px, bits, sizes,
                budget_tightens, learning, miss_cost, segmenter, classes,
                labelled_share, rollout.
            if_match: change only this revision.

        Raises:
            ValueError: ``line`` can't be the name of a line.
            ProblemError: refused; 412 if the line is at another revision.
            TransientError: ingest was unavailable for too long; repeating the call is safe.
        """
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        return json_of(await self.request("PUT", line_path(line), json=dict(settings), headers=headers))

    async def get_line(self, line: str) -> dict[str, Any]:
        """Read the settings of one line.

        ProblemError 404 if it does not exist.
        """
        return json_of(await self.request("GET", line_path(line)))

    async def delete_line(self, line: str, *, if_match: int | None = None) -> None:
        """End a line.

        ProblemError if it does not exist or was ended before.
        """
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        try:
            await self.request("DELETE", line_path(line), headers=headers)
        except ProblemError as error:
            if error.code != "unknown-line":
                raise
            msg = f"line {line!r} does not exist, or was ended before; nothing was changed. siad line list shows all"
            raise ProblemError(error.status, error.code, msg) from error

    async def list_lines(self) -> list[dict[str, Any]]:
        """Read the settings of every line, by name."""
        lines: list[dict[str, Any]] = json_of(await self.request("GET", "/v1/lines"))["lines"]
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
        path = f"{line_path(line)}/images"
        return json_of(await self.request("POST", path, params=params, headers=headers, content=data))
