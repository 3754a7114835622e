"""Handing one image to ingest: what it answers, sorted by what follows for the file."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from http import HTTPStatus
from typing import Final, Protocol

from siad.apps.client import IngestClient, ProblemError
from siad.contracts.errors import TransientError
from siad.contracts.events import Intent

_AGAIN: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
_NOT_THE_FILE: Final = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
)  # of the line, the address or who asks: the next file would fare no better
_TIME_CODES: Final = ("future-time", "past-time")


class FileOutcome(Enum):
    """What follows for a file."""

    HANDED = "handed over"
    REFUSED = "refused"  # it would be refused again
    LATER = "later"  # this file, for a reason that may pass
    AWAY = "away"  # nothing can be handed over now


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverAnswer:
    """What came of one hand-over."""

    fate: FileOutcome
    capture_id: str = ""
    is_repeat: bool = False
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHandover:
    """One image and what is said of it."""

    data: bytes
    key: str
    serial: str = ""
    captured_at: datetime | None = None
    is_time_guessed: bool = False  # from the file system; a clock that is wrong must not cost the image


class ImageReceiver(Protocol):
    """Gives one image to whoever keeps it; a repeat with the same key makes nothing new."""

    async def __call__(self, parcel: FileHandover) -> HandoverAnswer:
        """Hand it over; what goes wrong is an answer too."""
        ...


class IngestReceiver:
    """Hands images of one line to ingest.

    Args:
        client: whose own patience is short: the watch waits, and says so.
        line: where the images come from.
        intent: to be judged, or known to be good.
    """

    def __init__(self, client: IngestClient, *, line: str, intent: Intent) -> None:
        self._client, self._line, self._intent = client, line, intent

    async def __call__(self, parcel: FileHandover) -> HandoverAnswer:
        """Hand it over, without its guessed time where that can't be."""
        answer = await self._send(parcel, parcel.captured_at)
        if answer.code in _TIME_CODES and parcel.is_time_guessed:
            answer = await self._send(parcel, None)
        return answer

    async def _send(self, parcel: FileHandover, captured_at: datetime | None) -> HandoverAnswer:
        try:
            said = await self._client.send_image(
                parcel.data,
                line=self._line,
                intent=self._intent,
                captured_at=captured_at,
                serial=parcel.serial,
                idempotency_key=parcel.key,
            )
        except ProblemError as problem:
            return HandoverAnswer(fate=fate_of(problem.status, problem.code), code=problem.code, detail=str(problem))
        except TransientError as error:
            return HandoverAnswer(fate=FileOutcome.AWAY, code="away", detail=str(error))
        return HandoverAnswer(fate=FileOutcome.HANDED, capture_id=said["capture_id"], is_repeat=said["is_repeat"])


def fate_of(status: int, code: str) -> FileOutcome:
    """Sort a refusal by its HTTP status and its code."""
    if status in _NOT_THE_FILE:
        return FileOutcome.AWAY
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _AGAIN or code == "cut-off":
        return FileOutcome.LATER
    return FileOutcome.REFUSED
