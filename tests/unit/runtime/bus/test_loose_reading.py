"""What bytes say that make no event."""

from dataclasses import fields

import pytest

from siad.contracts.codec import encode, read_loosely
from siad.contracts.events import DeadLetter
from siad.runtime.testing.clock import FakeClock

LETTER = DeadLetter(
    topic="siad.image.v1",
    partition=1,
    offset=2,
    key=b"k",
    payload=b"p",
    kind="poison",
    reason="torn",
    buried_at=FakeClock().now(),
)


def test_an_event_says_all_that_it_holds() -> None:
    said = read_loosely(DeadLetter, encode(LETTER))
    assert said == {field.name: getattr(LETTER, field.name) for field in fields(LETTER)}


def test_a_field_that_can_not_be_read_is_left_out_and_no_other() -> None:
    data = encode(LETTER)
    without_time = data[: data.rindex(b"\x42")]  # field 8, the last
    said = read_loosely(DeadLetter, without_time)
    assert "buried_at" not in said
    assert said["reason"] == "torn"


@pytest.mark.parametrize("data", [b"\xff\xff", encode(LETTER)[:-1]])
def test_bytes_that_are_no_message_say_nothing(data: bytes) -> None:
    assert read_loosely(DeadLetter, data) == {}


@pytest.mark.parametrize("data", [None, b""])
def test_no_bytes_say_nothing_of_anything(data: bytes | None) -> None:
    assert not any(read_loosely(DeadLetter, data).values())
