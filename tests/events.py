"""Events and line records with every field filled, for tests that care about a few."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from siad.contracts.events import ImageStored, Intent, LineChanged
from siad.contracts.ids import CaptureId, ImageId

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)

_IMAGE = ImageStored(
    capture_id=CaptureId("c" * 32),
    image_id=ImageId("d" * 64),
    image_uri="s3://siad/images/x.png",
    size_bytes=9,
    line="l",
    product="p",
    line_revision=1,
    captured_at=NOON,
    received_at=NOON,
    intent=Intent.INSPECT,
    serial="",
)
_LINE = LineChanged(
    line="l", revision=1, product="p", false_reject_budget=0.05, shards=4, deadline_s=0.0, changed_at=NOON
)


def make_image_stored(**fields: Any) -> ImageStored:
    """Make the event of a capture."""
    return replace(_IMAGE, **fields)


def make_line_changed(**fields: Any) -> LineChanged:
    """Make the settings of a line."""
    return replace(_LINE, **fields)
