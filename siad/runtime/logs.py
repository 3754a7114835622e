"""Logs of a process and its libraries, as JSON lines on stdout.

The event is a constant name, values are fields. Fields that a task bound (``capture_id``, ``line``, ``traceparent``)
are part of every line that it writes.
"""

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from siad.runtime.trace import parse

QUIET = ("aiokafka", "botocore", "boto3", "urllib3", "httpx", "httpcore", "asyncio")  # logged from WARNING on

REPEATING = (
    "aiokafka",
    "opentelemetry",
)  # while broker or collector is away, each logs the same text many times a second
REPEAT_S = 10.0  # minimum time between equal texts


def configure_logs(stage: str, *, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Write all logs from ``level`` on to ``stream``, by default stdout."""
    stream = cast("TextIO", TolerantStream(stream or sys.stdout))

    def name_stage(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["stage"] = stage
        if (span := parse(str(event.get("traceparent", "")))) is not None:
            event["trace_id"] = span.trace_id  # as tracing systems name it
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        name_stage,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    render = structlog.processors.JSONRenderer(default=str)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


class TolerantStream:
    """A stream that drops what it can't write.

    A disk that is full of logs must not end the process: it would lose the work in flight, and say nothing either.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or leave it."""
        with contextlib.suppress(OSError):
            self._stream.flush()


class RepeatFilter(logging.Filter):
    """Logs equal texts once in ``REPEAT_S``, and counts the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], tuple[float, int]] = {}  # logger, template -> time logged, repeats since

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log a record; values do not distinguish texts."""
        if not record.name.startswith(REPEATING):
            return True
        text = record.name, str(record.msg)
        logged_s, repeats = self._last.get(text, (0.0, 0))
        if record.created - logged_s < REPEAT_S:
            self._last[text] = logged_s, repeats + 1
            return False
        self._last[text] = record.created, 0
        if repeats:
            record.msg, record.args = f"{record.getMessage()} (repeated {repeats} times since the last)", ()
        return True
