"""Logs: one JSON object a line on stdout, ours and the libraries' alike.

The event is a constant name, values are fields. What a task bound (``capture_id``, ``line``, ``traceparent``) stands on
every line it writes.
"""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

QUIET = ("aiokafka", "botocore", "boto3", "urllib3", "httpx", "httpcore", "asyncio")  # chatty below WARNING

REPEATING = "aiokafka"  # while the broker is away it says the same ten times a second, from every connection
REPEAT_S = 10.0  # the same is let through so often


def configure_logs(stage: str, *, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log of this process to ``stream`` (stdout), from ``level`` on."""
    stream = stream or sys.stdout

    def name_stage(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["stage"] = stage
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


class RepeatFilter(logging.Filter):
    """Lets a repeating library say the same thing once in ``REPEAT_S``, and how often it was said meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}  # logger, template -> when, and how often since

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write it; what differs in its values alone is the same."""
        if not record.name.startswith(REPEATING):
            return True
        what = record.name, str(record.msg)
        said_s, times = self._said.get(what, (0.0, 0))
        if record.created - said_s < REPEAT_S:
            self._said[what] = said_s, times + 1
            return False
        self._said[what] = record.created, 0
        if times:
            record.msg, record.args = f"{record.getMessage()} (said {times} times more since)", ()
        return True
