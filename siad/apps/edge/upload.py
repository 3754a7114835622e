"""Upload of one image, and what follows from the response."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from http import HTTPStatus
from typing import Final, Protocol

from siad.apps.client import CaptureInfo, IngestClient, ProblemError
from siad.contracts.errors import TransientError
from siad.contracts.events import Intent

_RETRIED: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
_NOT_THE_FILE: Final = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
)  # caused by the line, the address or the credentials: every other file would be refused too
_TIME_CODES: Final = ("future-time", "past-time")


class UploadOutcome(Enum):
    """What follows for a file."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # would be refused again
    RETRY = "retry"  # this file, later
    UNAVAILABLE = "unavailable"  # no file can be sent now


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadResponse:
    """Response to one upload."""

    outcome: UploadOutcome
    capture_id: str = ""
    is_repeat: bool = False
    note: str = ""  # of ingest, about the accepted file
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUpload:
    """One image and what is known about it."""

    data: bytes
    key: str
    serial: str = ""
    captured_at: datetime | None = None
    is_time_guessed: bool = False  # from the file system; a wrong clock there must not get the image refused


class UploadPort(Protocol):
    """Sends one image.

    A repeat with the same key creates no second capture.
    """

    async def __call__(self, upload: FileUpload) -> UploadResponse:
        """Send it; failures are responses too."""
        ...


class IngestUploader:
    """Sends images of one line to ingest.

    Args:
        client: without retries of its own: the watch waits and reports it.
        line: the line that the images come from.
        intent: inspect, or known to be normal.
    """

    def __init__(self, client: IngestClient, *, line: str, intent: Intent) -> None:
        self._client, self._line, self._intent = client, line, intent

    async def __call__(self, upload: FileUpload) -> UploadResponse:
        """Send the image.

        If ingest refuses a guessed time, send it without the time.
        """
        response = await self._send(upload, upload.captured_at)
        if response.code in _TIME_CODES and upload.is_time_guessed:
            response = await self._send(upload, None)
        return response

    async def _send(self, upload: FileUpload, captured_at: datetime | None) -> UploadResponse:
        info = CaptureInfo(
            intent=self._intent, captured_at=captured_at, serial=upload.serial, idempotency_key=upload.key
        )
        try:
            body = await self._client.send_image(upload.data, line=self._line, info=info)
        except ProblemError as problem:
            outcome = outcome_of(problem.status, problem.code)
            return UploadResponse(outcome=outcome, code=problem.code, detail=str(problem))
        except TransientError as error:
            return UploadResponse(outcome=UploadOutcome.UNAVAILABLE, code="away", detail=str(error))
        return UploadResponse(
            outcome=UploadOutcome.ACCEPTED,
            capture_id=body["capture_id"],
            is_repeat=body["is_repeat"],
            note=body.get("note", ""),
        )


def outcome_of(status: int, code: str) -> UploadOutcome:
    """Map a refusal to an outcome by its HTTP status and code."""
    if status in _NOT_THE_FILE:
        return UploadOutcome.UNAVAILABLE
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _RETRIED or code == "cut-off":
        return UploadOutcome.RETRY
    return UploadOutcome.REFUSED
