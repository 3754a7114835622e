"""Parameters of an upload. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.ingest.domain.refusals import RefusalReason, RequestRefusedError
from siad.contracts.events import Intent
from siad.contracts.timestamps import TimestampError, TimestampFault, read_moment

FIELDS: Final = ("intent", "captured_at", "serial")  # as query parameters, or as fields of a form
SERIAL_MAX: Final = 128  # characters
KEY_MAX: Final = 255
_PLUS_LOST = re.compile(r"(.+[Tt ].+) ([0-9]{2}:?[0-9]{2})")  # forms and queries decode "+" as a blank
_TIME_REFUSALS: Final = {
    TimestampFault.INVALID: (RefusalReason.INVALID_TIME, "Send for example 2026-05-04T12:00:00.5+02:00"),
    TimestampFault.NAIVE: (RefusalReason.NAIVE_TIME, "Add one: Z, or +02:00 (in a URL %2B02:00)"),
    TimestampFault.EARLY: (RefusalReason.PAST_TIME, "Set the camera's clock, or omit captured_at"),
    TimestampFault.LATE: (RefusalReason.FUTURE_TIME, "Set the camera's clock, or omit captured_at"),
}
_INTENTS = {"normal": Intent.NORMAL, "inspect": Intent.INSPECT}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadClaim:
    """Parameters of one image, as its sender gave them."""

    intent: Intent = Intent.INSPECT
    captured_at: datetime | None = None  # UTC, the camera's clock
    serial: str = ""
    idempotency_key: str | None = None


def read_claim(
    values: Mapping[str, str], *, idempotency_key: str | None, received_at: datetime, clock_skew_s: float
) -> UploadClaim:
    """Read the parameters of an upload.

    Args:
        values: by name, of ``FIELDS``.
        idempotency_key: the header; None without one.
        received_at: time of receipt, to refuse times in the future.
        clock_skew_s: how far the camera's clock may be ahead of ingest's.

    Raises:
        RequestRefusedError: invalid-intent, invalid-serial, invalid-idempotency-key, invalid-time, naive-time,
            future-time, or past-time.
    """
    if (intent := _INTENTS.get(values.get("intent", "inspect"))) is None:
        detail = f"intent {values['intent']!r} is unknown; nothing was stored. Send {' or '.join(_INTENTS)}"
        raise RequestRefusedError(RefusalReason.INVALID_INTENT, detail)
    captured_at = None
    if "captured_at" in values:
        captured_at = _read_time(values["captured_at"], received_at + timedelta(seconds=clock_skew_s))
    return UploadClaim(
        intent=intent,
        captured_at=captured_at,
        serial=_require_text(values.get("serial", ""), "serial", SERIAL_MAX, RefusalReason.INVALID_SERIAL),
        idempotency_key=_read_key(idempotency_key),
    )


def _read_time(text: str, latest: datetime) -> datetime:
    if (lost := _PLUS_LOST.fullmatch(text)) is not None:
        text = "+".join(lost.groups())
    try:
        moment = read_moment(text)
    except TimestampError as error:
        reason, advice = _TIME_REFUSALS[error.fault]
        raise RequestRefusedError(reason, f"captured_at {error}; nothing was stored. {advice}") from error
    if moment > latest:
        ahead_s = (moment - latest).total_seconds()
        detail = (
            f"captured_at {text} is {_duration(ahead_s)} after {latest.isoformat()}, the latest that is accepted; "
            "nothing was stored. Set the camera's clock, or omit captured_at"
        )
        raise RequestRefusedError(RefusalReason.FUTURE_TIME, detail)
    return moment


def _read_key(key: str | None) -> str | None:
    if key is None:
        return None
    if not key:
        detail = "Idempotency-Key is empty; nothing was stored. Send one value per exposure, or omit it"
        raise RequestRefusedError(RefusalReason.INVALID_KEY, detail)
    return _require_text(key, "Idempotency-Key", KEY_MAX, RefusalReason.INVALID_KEY)


def _require_text(value: str, name: str, length_max: int, reason: RefusalReason) -> str:
    if len(value) > length_max or not value.isprintable():
        shown = value if len(value) <= 40 else f"{value[:40]}..."
        detail = (
            f"{name} {shown!r} has {len(value)} characters; nothing was stored. Use at most {length_max}, all printable"
        )
        raise RequestRefusedError(reason, detail)
    return value


def _duration(seconds: float) -> str:
    """Seconds in words: in days from two days on."""
    return f"{seconds:.1f} s" if seconds < 2 * 86_400 else f"{seconds / 86_400:.0f} days"
