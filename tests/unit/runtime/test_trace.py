"""One trace from camera to verdict: what is read, dropped and sent along."""

import pytest

from siad.runtime.bus.port import Message
from siad.runtime.trace import TraceSpan, follow, headers_of, parse, stamped

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # the standard's own example


def test_a_span_is_written_as_it_was_read() -> None:
    span = parse(GIVEN)
    assert span == TraceSpan("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "01")
    assert span.traceparent == GIVEN


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "hello",
        GIVEN[:-1],
        GIVEN.upper(),
        "ff" + GIVEN[2:],
        GIVEN + "-more",
        GIVEN.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        GIVEN.replace("00f067aa0ba902b7", "0" * 16),
    ],
)
def test_a_bad_header_is_dropped(bad: str) -> None:
    assert parse(bad) is None


def test_a_later_version_may_say_more() -> None:
    assert parse("01" + GIVEN[2:] + "-more") == parse(GIVEN)


def test_a_step_follows_the_trace_it_was_sent() -> None:
    span = follow([("other", b"x"), ("Traceparent", GIVEN.encode())])
    assert span.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert span.span_id != "00f067aa0ba902b7"


@pytest.mark.parametrize("headers", [[], [("traceparent", b"\xff\xfe")]])
def test_without_a_trace_a_new_one_begins(headers: list[tuple[str, bytes]]) -> None:
    assert parse(follow(headers).traceparent) is not None
    assert follow(headers).trace_id != follow(headers).trace_id


def test_a_message_gets_its_trace_once() -> None:
    span, other = TraceSpan.root(), TraceSpan.root()
    message = stamped(Message(topic="t", key="k", value=b"", headers=(("a", b"1"),)), span)
    assert message.headers == (("a", b"1"), *headers_of(span))
    assert stamped(message, other) == message
