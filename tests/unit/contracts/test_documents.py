"""Receipts and settings of lines, written and read."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from siad.contracts.documents import LineState, read_line, read_receipt, write_line, write_receipt
from siad.contracts.errors import CorruptError
from siad.contracts.events import ImageStored, Intent, LineChanged
from siad.contracts.ids import CaptureId, ImageId

NOON = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)
RECEIPT = ImageStored(
    capture_id=CaptureId("ab" * 16),
    image_id=ImageId("cd" * 32),
    image_uri="s3://siad/images/press-1/2026-05-04/x.png",
    size_bytes=7,
    line="press-1",
    product="lid",
    line_revision=3,
    captured_at=NOON,
    received_at=NOON,
    intent=Intent.NORMAL,
    serial="№ 7",
)
SETTINGS = LineChanged(
    line="press-1", revision=3, product="lid", false_reject_budget=0.01, shards=4, deadline_s=0.0, changed_at=NOON
)


def test_a_receipt_comes_back_as_it_was() -> None:
    assert read_receipt(write_receipt(RECEIPT)) == RECEIPT


def test_equal_receipts_give_equal_bytes_whatever_their_zone() -> None:
    there = replace(RECEIPT, captured_at=NOON.astimezone(timezone(timedelta(hours=9))))
    assert write_receipt(there) == write_receipt(RECEIPT)


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_line_comes_back_as_it_was(is_gone: bool) -> None:
    state = LineState(settings=SETTINGS, is_gone=is_gone)
    assert read_line(write_line(state)) == state


def test_a_line_keeps_how_its_teacher_is_fitted() -> None:
    settings = replace(
        SETTINGS, method="student-teacher", region=(0.0, 0.0, 1.0, 0.0, 1.0, 0.5), input_px=512, bits=12, sizes="any"
    )
    assert read_line(write_line(LineState(settings=settings))).settings == settings


def test_what_an_older_writer_did_not_know_has_its_default() -> None:
    raw = json.loads(write_line(LineState(settings=SETTINGS)))
    old = {name: value for name, value in raw.items() if name not in ("method", "region", "input_px", "bits", "sizes")}
    assert read_line(json.dumps(old).encode()).settings == SETTINGS


def test_what_a_newer_writer_added_is_ignored() -> None:
    raw = json.loads(write_line(LineState(settings=SETTINGS))) | {"camera": "left"}
    assert read_line(json.dumps(raw).encode()).settings == SETTINGS


@pytest.mark.parametrize(
    "change",
    [{"line": "Press 1"}, {"size_bytes": "7"}, {"captured_at": "2026-05-04T12:00:00"}, {"intent": "good"}],
)
def test_a_receipt_that_can_not_be_handled_is_corrupt(change: dict[str, object]) -> None:
    raw = json.loads(write_receipt(RECEIPT)) | change
    with pytest.raises(CorruptError, match="not a ImageStored"):
        read_receipt(json.dumps(raw).encode())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff"])
def test_bytes_of_something_else_are_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptError):
        read_line(data)
