"""Messages of libraries go to a log file, not to the terminal."""

import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from siad.apps.cli.library_log import log_libraries_to


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    root.handlers = before
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_warnings_and_log_events_are_written_to_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "demo.log"
    path.write_text("of an earlier demo")
    log_libraries_to(path)
    logging.getLogger("aiokafka.consumer").warning("Heartbeat failed: local member_id was not recognized")
    logging.getLogger("aiokafka.consumer").info("Joined group")
    warnings.warn("this is deprecated", FutureWarning, stacklevel=1)
    structlog.get_logger().warning("broker_unavailable", error="refused")
    text = path.read_text()
    assert "WARNING aiokafka.consumer Heartbeat failed" in text
    assert "this is deprecated" in text
    assert "broker_unavailable" in text
    assert "Joined group" not in text
    assert "earlier demo" not in text
    assert capsys.readouterr() == ("", "")


def test_the_kafka_client_prints_nothing_on_the_terminal() -> None:
    code = (
        "import logging; from siad.apps.cli.library_log import silence_bus_client; silence_bus_client(); "
        "logging.getLogger('aiokafka.conn').error('Unable to connect'); logging.getLogger('other').error('visible')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "visible\n")
