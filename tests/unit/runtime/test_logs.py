"""Every log is one JSON object a line, ours and the libraries' alike."""

import errno
import io
import json
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from siad.runtime.logs import RepeatFilter, configure_logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    configure_logs("paint", stream=out)
    yield out
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_carries_what_its_task_is_about(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(capture_id="9f3c", traceparent="00-a-b-01"):
        structlog.get_logger().info("mask_written", seconds=0.5)
        logging.getLogger("siad.elsewhere").warning("a library speaks of %s", "masks")
    ours, theirs = lines(stream)
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "event": "mask_written",
        "seconds": 0.5,
        "level": "info",
        "stage": "paint",
        "capture_id": "9f3c",
        "traceparent": "00-a-b-01",
    }
    assert (theirs["event"], theirs["capture_id"], theirs["logger"]) == (
        "a library speaks of masks",
        "9f3c",
        "siad.elsewhere",
    )


def test_chatty_libraries_are_quiet(stream: io.StringIO) -> None:
    logging.getLogger("aiokafka.consumer").info("fetched")
    logging.getLogger("uvicorn.error").info("started")
    assert [line["event"] for line in lines(stream)] == ["started"]


def test_a_traceback_is_one_line(stream: io.StringIO) -> None:
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        structlog.get_logger().exception("stage_ended")
    (line,) = lines(stream)
    assert "ZeroDivisionError: division by zero" in line["exception"]


def record(at_s: float, *, name: str = "aiokafka.client", node: int = 1) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, "client.py", 1, "Unable to connect to node %s", (node,), None)
    made.created = 1_000_000.0 + at_s
    return made


def test_an_outage_fills_no_log_with_one_and_the_same() -> None:
    calm = RepeatFilter()
    said = [one for tenth in range(250) if calm.filter(one := record(tenth / 10, node=tenth))]
    assert [one.getMessage() for one in said] == [
        "Unable to connect to node 0",
        "Unable to connect to node 100 (repeated 99 times since the last)",
        "Unable to connect to node 200 (repeated 99 times since the last)",
    ]


def test_others_may_repeat_themselves(stream: io.StringIO) -> None:
    for _ in range(3):
        logging.getLogger("siad.elsewhere").warning("again")
        logging.getLogger("aiokafka.client").error("away")
    assert [line["event"] for line in lines(stream)] == ["again", "away", "again", "again"]


def test_a_full_disk_drops_lines_and_ends_nothing(stream: io.StringIO) -> None:
    """``stream`` restores the configuration afterwards."""

    class FullDisk(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    configure_logs("paint", stream=FullDisk())
    structlog.get_logger().info("painted")
    logging.getLogger("library").error("said")
    assert stream.getvalue() == ""
