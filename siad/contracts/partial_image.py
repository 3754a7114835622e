"""Image events that do not decode, and the captures that they name."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from siad.contracts.codec import decode, read_loosely
from siad.contracts.errors import PoisonError
from siad.contracts.events import ImageStored, Intent


def read_image(payload: bytes | None, *, line: str, now: datetime) -> ImageStored | None:
    """Decode an image event, or complete one that does not decode.

    The result is None where the event names no capture of the line. Inference answers for such a capture and the
    capture ledger counts it, so both must name it alike.

    Args:
        payload: of a record.
        line: the line in the record's key; the payload may be of another kind and name any line.
        now: stands in for missing times.
    """
    try:
        return decode(ImageStored, payload)
    except PoisonError:
        return complete_image(read_loosely(ImageStored, payload), line=line, now=now)


def complete_image(fields: Mapping[str, Any], *, line: str, now: datetime) -> ImageStored | None:
    """Fill in what a verdict does not need.

    The result is None where capture, image or line are missing.
    """
    defaults: dict[str, Any] = {"captured_at": now, "received_at": now, "intent": Intent.UNSPECIFIED, "serial": ""}
    complete = defaults | dict(fields)
    for name in ("size_bytes", "line_revision"):
        complete[name] = max(complete.get(name, 1), 1)
    try:
        event = ImageStored(**complete)
    except (TypeError, ValueError):  # a field is missing or invalid
        return None
    return event if event.line == line else None
