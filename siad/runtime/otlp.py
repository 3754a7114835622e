"""Export of spans by OTLP over HTTP, where ``OTEL_EXPORTER_OTLP_ENDPOINT`` names a collector.

The variables are those of OpenTelemetry (https://opentelemetry.io/docs/specs/otel/configuration). The SDK is imported
only then, and only here. Spans wait in a bounded queue and are sent by a thread; a collector that is away costs the
spans that do not fit, and never a record.
"""

import math
import os
import socket
import threading
from collections.abc import Mapping
from typing import Final

import structlog

from siad.runtime import spans
from siad.runtime.spans import FinishedSpan, SpanKind

log = structlog.get_logger()

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
RATIO: Final = "OTEL_TRACES_SAMPLER_ARG"
CLOSE_S: Final = 2.0


def configure_traces(stage: str, env: Mapping[str, str] = os.environ) -> "OtlpSink | None":
    """Export the spans of this process, if there is a collector.

    A ratio that is no number from 0 to 1 keeps every trace, and is logged. Without the package nothing is exported,
    which is logged too: a stage works without its traces.
    """
    if not any(env.get(name) for name in ENDPOINTS):
        return None
    try:
        sink = OtlpSink(stage, ratio=read_ratio(env.get(RATIO, "")))
    except ImportError as error:
        log.error("traces_not_exported", reason=f"{error}; install opentelemetry-exporter-otlp-proto-http")
        return None
    spans.configure(sink)
    log.info("traces_exported", endpoint=next(env[name] for name in ENDPOINTS if env.get(name)), ratio=sink.ratio)
    return sink


def read_ratio(text: str) -> float:
    """Read the share of new traces to keep, 1 without any."""
    try:
        ratio = float(text or 1)
    except ValueError:
        ratio = math.nan
    if 0 <= ratio <= 1:
        return ratio
    log.error("setting_invalid", name=RATIO, value=text, reason="not a number from 0 to 1; every trace is kept")
    return 1.0


class OtlpSink:
    """Sends spans of kept traces, and all that failed or were slow."""

    def __init__(self, stage: str, *, ratio: float) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanContext, TraceFlags
        from opentelemetry.trace import SpanKind as Kind
        from opentelemetry.trace.status import Status, StatusCode

        self.ratio = ratio
        self._make, self._context, self._sampled = ReadableSpan, SpanContext, TraceFlags(TraceFlags.SAMPLED)
        self._status, self._ok, self._failed = Status, Status(StatusCode.UNSET), StatusCode.ERROR
        self._kinds = {
            SpanKind.SERVER: Kind.SERVER,
            SpanKind.CLIENT: Kind.CLIENT,
            SpanKind.CONSUMER: Kind.CONSUMER,
            SpanKind.INTERNAL: Kind.INTERNAL,
        }
        identity = {"service.instance.id": f"{socket.gethostname()}-{os.getpid()}", "service.namespace": "siad"}
        self._resource = Resource.create({"service.name": f"siad-{stage}", **identity})
        self._processor = BatchSpanProcessor(OTLPSpanExporter())

    def export(self, span: FinishedSpan) -> None:
        """Queue a span, if it is to be kept."""
        if span.span.flags != "01" and not span.must_keep:
            return
        trace_id = int(span.span.trace_id, 16)
        parent = None
        if span.span.parent_id:
            parent = self._context(trace_id, int(span.span.parent_id, 16), is_remote=True)
        self._processor.on_end(
            self._make(
                name=span.name,
                context=self._context(trace_id, int(span.span.span_id, 16), is_remote=False, trace_flags=self._sampled),
                parent=parent,
                resource=self._resource,
                attributes=dict(span.attributes),
                kind=self._kinds[span.kind],
                status=self._status(self._failed, span.error) if span.error else self._ok,
                start_time=span.started_ns,
                end_time=span.ended_ns,
            )
        )

    def close(self) -> None:
        """Send what is queued, for a moment."""
        spans.configure(None)
        closing = threading.Thread(target=self._processor.shutdown, name="traces", daemon=True)  # waits for a collector
        closing.start()
        closing.join(CLOSE_S)
