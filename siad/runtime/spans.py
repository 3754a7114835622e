"""Spans of a process: timed steps of a trace.

A sink gets them, where one is configured. Knows no tracing library: ``siad.runtime.otlp`` is the sink that exports.
Without a sink a step costs one comparison.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol

import structlog

from siad.runtime import trace
from siad.runtime.trace import TraceSpan

SLOW_S: Final = 5.0  # the objective of a verdict; a step that takes longer is kept whatever the ratio
_BOUND: Final = ("line", "capture_id", "unit")  # fields of a task's log lines that spans have too

Value = str | int | float


class SpanKind(StrEnum):
    """Which side of a call a span is."""

    SERVER = "server"
    CLIENT = "client"
    CONSUMER = "consumer"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedSpan:
    """One step of a trace that has ended."""

    span: TraceSpan
    name: str
    kind: SpanKind
    started_ns: int  # since 1970
    ended_ns: int
    error: str = ""  # empty: it succeeded
    attributes: Mapping[str, Value] = field(default_factory=dict)

    @property
    def must_keep(self) -> bool:
        """Whether it failed or was slow."""
        return bool(self.error) or self.ended_ns - self.started_ns > SLOW_S * 1e9


class SpanSink(Protocol):
    """Where spans go."""

    ratio: float  # of new traces that are kept

    def export(self, span: FinishedSpan) -> None:
        """Take a span; never blocks and never raises."""
        ...


@dataclass(slots=True)
class OpenSpan:
    """A step that runs, and what it adds to its span."""

    name: str
    error: str = ""
    attributes: dict[str, Value] = field(default_factory=dict)
    is_kept: bool = False  # set at its end: it failed or was slow
    is_left_out: bool = False  # set it to drop the span


@dataclass(slots=True)
class _ProcessSink:
    sink: SpanSink | None = None


_PROCESS: Final = _ProcessSink()


def configure(sink: SpanSink | None) -> None:
    """Give the spans of this process to a sink; None: to none."""
    _PROCESS.sink = sink


def is_configured() -> bool:
    """Whether spans go anywhere."""
    return _PROCESS.sink is not None


def follow(headers: Iterable[tuple[str, bytes]]) -> TraceSpan:
    """Return a span of the trace in ``headers``, or a new one.

    A new one is kept by the ratio.
    """
    span = trace.follow(headers)
    sink = _PROCESS.sink
    if sink is None or span.parent_id or int(span.trace_id[16:], 16) < sink.ratio * 2**64:
        return span
    return replace(span, flags="00")


@contextmanager
def measured(span: TraceSpan, name: str, kind: SpanKind, *, others: Iterable[TraceSpan] = ()) -> Iterator[OpenSpan]:
    """Time a step and give it to the sink.

    Args:
        span: of the step.
        name: constant, without ids.
        kind: its side of a call.
        others: spans of other traces that the same step is part of, as in a batch.
    """
    running = OpenSpan(name)
    sink = _PROCESS.sink
    if sink is None:
        yield running
        return
    started_ns = time.time_ns()
    try:
        yield running
    except BaseException as error:
        running.error = running.error or f"{type(error).__name__}: {error}"
        raise
    finally:
        bound = structlog.contextvars.get_contextvars()
        named: dict[str, Value] = {key: str(bound[key]) for key in _BOUND if key in bound}
        ended_ns = time.time_ns()
        for one in (span, *others):
            finished = FinishedSpan(
                span=one,
                name=running.name,
                kind=kind,
                started_ns=started_ns,
                ended_ns=ended_ns,
                error=running.error,
                attributes={**named, **running.attributes},
            )
            running.is_kept = finished.must_keep
            if not running.is_left_out:
                sink.export(finished)


@contextmanager
def step(name: str, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[OpenSpan]:
    """Time a step within the current span; nothing outside of a trace."""
    current = trace.CURRENT.get()
    if _PROCESS.sink is None or current is None:
        yield OpenSpan(name)
        return
    child = current.child()
    token = trace.CURRENT.set(child)
    try:
        with measured(child, name, kind) as running:
            yield running
    finally:
        trace.CURRENT.reset(token)


def kept(span: TraceSpan, running: OpenSpan) -> TraceSpan:
    """Keep the trace from here on, after a failed or slow step."""
    return replace(span, flags="01") if running.is_kept else span


def exemplar_of(traceparent: str = "") -> dict[str, str] | None:
    """Return the exemplar of a histogram: the trace, if it is exported.

    Args:
        traceparent: of a message; empty: the current span.
    """
    if _PROCESS.sink is None:
        return None
    span = trace.parse(traceparent) if traceparent else trace.CURRENT.get()
    return {"trace_id": span.trace_id} if span is not None and span.flags == "01" else None
