"""Image events that do not decode: which of them name a capture."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from siad.contracts.codec import encode
from siad.contracts.events import ImageStored, Intent
from siad.contracts.ids import CaptureId, ImageId
from siad.contracts.partial_image import complete_image, read_image
from siad.v1 import events_pb2

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVENT = ImageStored(
    capture_id=CaptureId("0f" * 16), image_id=ImageId("1e" * 32), image_uri="s3://siad/images/x.png", size_bytes=100,
    line="line-1", product="cell", line_revision=7, captured_at=NOON, received_at=NOON, intent=Intent.INSPECT,
    serial="A",
)  # fmt: skip
FIELDS = {field.name: getattr(EVENT, field.name) for field in fields(EVENT)}
LATER = NOON + timedelta(hours=1)


def test_an_event_that_decodes_is_read_as_it_is() -> None:
    assert read_image(encode(EVENT), line="line-1", now=LATER) == EVENT


def test_an_event_with_one_bad_field_names_its_capture() -> None:
    message = events_pb2.ImageStored.FromString(encode(EVENT))
    message.line_revision = 0
    event = read_image(message.SerializeToString(), line="line-1", now=LATER)
    assert event is not None
    assert (event.capture_id, event.line_revision, event.received_at) == (EVENT.capture_id, 1, NOON)


@pytest.mark.parametrize("payload", [None, b"", b"\xff", b"no event"])
def test_bytes_that_name_no_capture_give_none(payload: bytes | None) -> None:
    assert read_image(payload, line="line-1", now=LATER) is None


@pytest.mark.parametrize("bad", [{"size_bytes": 0}, {"line_revision": 0}, {"serial": ""}, {"size_bytes": -1}])
def test_fields_that_a_verdict_does_not_need_are_completed(bad: dict[str, Any]) -> None:
    event = complete_image(FIELDS | bad, line=EVENT.line, now=LATER)
    assert event is not None
    assert event.capture_id == EVENT.capture_id


@pytest.mark.parametrize("lost", ["captured_at", "received_at", "intent"])
def test_a_missing_time_or_intent_is_completed(lost: str) -> None:
    present = {name: value for name, value in FIELDS.items() if name != lost}
    assert complete_image(present, line=EVENT.line, now=LATER) is not None


@pytest.mark.parametrize("bad", [{"capture_id": ""}, {"image_uri": ""}, {"image_id": "x"}, {"product": "Ä"}])
def test_an_unnamed_capture_gives_none(bad: dict[str, Any]) -> None:
    assert complete_image(FIELDS | bad, line=EVENT.line, now=LATER) is None
    assert complete_image({}, line=EVENT.line, now=LATER) is None


def test_a_payload_of_another_line_gives_none() -> None:
    assert complete_image(FIELDS | {"size_bytes": 0}, line="another", now=LATER) is None
