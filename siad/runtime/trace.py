"""W3C trace context: one trace from camera to verdict, in message headers.

Source: https://www.w3.org/TR/trace-context/, sections 3.2 and 4.
"""

import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Final, Self

from siad.runtime.bus.port import Headers, Message

HEADER: Final = "traceparent"
_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class TraceSpan:
    """One span of a trace."""

    trace_id: str  # hex, 32 characters, not all zero
    span_id: str  # hex, 16 characters, not all zero
    flags: str = "01"  # 01: sampled
    parent_id: str = ""  # span that it follows; empty: it begins the trace, or was read from a header

    @classmethod
    def root(cls) -> Self:
        """Begin a new trace."""
        return cls(secrets.token_hex(16), secrets.token_hex(8))

    def child(self) -> "TraceSpan":
        """Return a new span of the same trace."""
        return replace(self, span_id=secrets.token_hex(8), parent_id=self.span_id)

    @property
    def traceparent(self) -> str:
        """Value of the ``traceparent`` header."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


CURRENT: Final[ContextVar[TraceSpan | None]] = ContextVar("siad_span", default=None)  # of the current task


def parse(traceparent: str) -> TraceSpan | None:
    """Read a ``traceparent``; None for an invalid one, as the standard asks."""
    match = _FORM.fullmatch(traceparent.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceSpan(trace_id, span_id, flags)


def span_of(headers: Iterable[tuple[str, bytes]]) -> TraceSpan | None:
    """Return the span that sent a message; None without a valid one."""
    for name, value in headers:
        if name.lower() == HEADER and (span := parse(value.decode("ascii", "replace"))) is not None:
            return span
    return None


def follow(headers: Iterable[tuple[str, bytes]]) -> TraceSpan:
    """Return a new span, of the trace in ``headers`` if any."""
    span = span_of(headers)
    return TraceSpan.root() if span is None else span.child()


def headers_of(span: TraceSpan) -> Headers:
    """Return the headers that carry a span."""
    return ((HEADER, span.traceparent.encode()),)


def stamped(message: Message, span: TraceSpan) -> Message:
    """Return the message with a trace header; an existing one is kept."""
    if any(name.lower() == HEADER for name, _ in message.headers):
        return message
    return replace(message, headers=(*message.headers, *headers_of(span)))
