"""Spans: what a sink gets, what is kept, and that without a sink nothing is made."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog
from structlog.testing import capture_logs

from siad.runtime import spans, trace
from siad.runtime.otlp import configure_traces, read_ratio
from siad.runtime.spans import FinishedSpan, SpanKind
from siad.runtime.trace import TraceSpan


class Sink:
    """Keeps spans in a list."""

    def __init__(self, ratio: float = 1.0) -> None:
        self.ratio = ratio
        self.spans: list[FinishedSpan] = []

    def export(self, span: FinishedSpan) -> None:
        self.spans.append(span)


@pytest.fixture
def sink() -> Iterator[Sink]:
    one = Sink()
    spans.configure(one)
    yield one
    spans.configure(None)


def test_steps_are_children_and_name_line_and_capture(sink: Sink) -> None:
    root = TraceSpan.root()
    token = trace.CURRENT.set(root)
    try:
        with (
            structlog.contextvars.bound_contextvars(line="press", capture_id="c1", other="x"),
            spans.measured(root, "handle", SpanKind.CONSUMER),
            spans.step("fetch"),
            spans.step("decode"),
        ):
            inner = trace.CURRENT.get()
    finally:
        trace.CURRENT.reset(token)
    decode, fetch, handle = sink.spans
    assert [one.name for one in sink.spans] == ["decode", "fetch", "handle"]
    assert inner == decode.span
    assert (decode.span.parent_id, fetch.span.parent_id) == (fetch.span.span_id, handle.span.span_id)
    assert {one.span.trace_id for one in sink.spans} == {root.trace_id}
    assert handle.attributes == {"line": "press", "capture_id": "c1"}
    assert handle.started_ns <= fetch.started_ns <= fetch.ended_ns <= handle.ended_ns


def test_a_step_that_raises_is_an_error_and_is_kept(sink: Sink) -> None:
    span = replace(TraceSpan.root(), flags="00")
    with pytest.raises(KeyError), spans.measured(span, "handle", SpanKind.CONSUMER) as running:
        raise KeyError("k")
    (finished,) = sink.spans
    assert finished.error == "KeyError: 'k'"
    assert finished.must_keep
    assert spans.kept(span, running).flags == "01"  # what is sent from here on is kept too


def test_a_slow_step_is_kept_and_a_fast_one_is_not(sink: Sink) -> None:
    fields = {"span": TraceSpan.root(), "name": "x", "kind": SpanKind.INTERNAL, "started_ns": 0}
    assert FinishedSpan(**fields, ended_ns=int(5.1e9)).must_keep  # type: ignore[arg-type]
    assert not FinishedSpan(**fields, ended_ns=int(4.9e9)).must_keep  # type: ignore[arg-type]


def test_a_batch_is_part_of_the_trace_of_each_record(sink: Sink) -> None:
    others = [TraceSpan.root().child() for _ in range(3)]
    with spans.measured(TraceSpan.root(), "handle", SpanKind.CONSUMER, others=others):
        pass
    assert [one.span for one in sink.spans][1:] == others


def test_a_ratio_keeps_as_many_new_traces_and_all_that_were_sampled(sink: Sink) -> None:
    sink.ratio = 0.25
    kept = sum(spans.follow(()).flags == "01" for _ in range(4000))
    assert 850 < kept < 1150
    for flags in ("00", "01"):  # the decision of the sender counts
        header = f"00-{'f' * 32}-{'a' * 16}-{flags}"
        assert spans.follow([("traceparent", header.encode())]).flags == flags


def test_exemplars_are_of_kept_traces_alone(sink: Sink) -> None:
    assert spans.exemplar_of(f"00-{'f' * 32}-{'a' * 16}-01") == {"trace_id": "f" * 32}
    assert spans.exemplar_of(f"00-{'f' * 32}-{'a' * 16}-00") is None
    assert spans.exemplar_of() is None


def test_without_a_sink_nothing_is_made() -> None:
    with spans.step("x") as running, spans.measured(TraceSpan.root(), "y", SpanKind.SERVER):
        assert trace.CURRENT.get() is None
    assert running.name == "x"
    assert spans.exemplar_of(f"00-{'f' * 32}-{'a' * 16}-01") is None
    assert spans.follow(()).flags == "01"


def test_without_a_collector_nothing_is_configured() -> None:
    assert configure_traces("ingest", env={}) is None
    assert not spans.is_configured()


@pytest.mark.parametrize(("text", "ratio"), [("", 1.0), ("0", 0.0), ("0.1", 0.1), ("2", 1.0), ("half", 1.0)])
def test_a_wrong_ratio_keeps_all_and_is_logged(text: str, ratio: float) -> None:
    with capture_logs() as logs:
        assert read_ratio(text) == ratio
    assert [entry["event"] for entry in logs] == (["setting_invalid"] if text in ("2", "half") else [])
