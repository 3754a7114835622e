"""The end of a stage's log, with the reason first."""

import json
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siad.apps.local.log_excerpt import LINE_CHARS_MAX, LINES_MAX, describe_exit, reason_of

TRACEBACK = """Traceback (most recent call last):
  File "/app/siad/runtime/settings.py", line 51, in load
    raise ValueError(msg)
ValueError: settings refused, nothing was started. SIAD_INGEST_HTTP_PORT='x' refused: not a number
"""
LOGGED = json.dumps(
    {"event": "stage_ended", "level": "error", "exception": "Traceback ...\n  File x\nOSError: [Errno 98] in use"}
)
REASONED = json.dumps({"event": "fit_refused", "level": "error", "reason": "9 normals"})
INFO = json.dumps({"event": "stage_started", "level": "info"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TRACEBACK, TRACEBACK.splitlines()[-1]),
        (f"{TRACEBACK}\nINFO: bye", TRACEBACK.splitlines()[-1]),
        (f"{INFO}\n{LOGGED}\n{INFO}", "OSError: [Errno 98] in use"),
        (f"{REASONED}\n{INFO}", "fit_refused: 9 normals"),
        ("siad.contracts.errors.MissingError: no bucket", "siad.contracts.errors.MissingError: no bucket"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("RAY_ADDRESS is not set\n\n", "RAY_ADDRESS is not set"),
        ('{"broken', '{"broken'),
        ("", ""),
    ],
)
def test_the_reason_is_the_last_error(text: str, reason: str) -> None:
    assert reason_of(text.splitlines()) == reason


def test_an_exit_is_described_with_the_lines_of_this_start(tmp_path: Path) -> None:
    log = tmp_path / "ingest.log"
    before = "ValueError: of an earlier start\n"
    log.write_text(before + "".join(f"line {n}\n" for n in range(20)) + TRACEBACK)
    text = describe_exit("ingest", 1, log, start=len(before))
    assert text.startswith("ingest ended with status 1: ValueError: settings refused")
    assert f"End of its log {log}:\n" in text
    assert len(text.splitlines()) == 2 + LINES_MAX
    assert "earlier" not in text


def test_a_log_without_lines_and_a_signal_are_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert describe_exit("trainer", -signal.SIGKILL, log, start=0) == (
        f"trainer ended by signal SIGKILL\n  Its log {log} has no line of this start"
    )


@given(st.binary(max_size=400), st.integers(0, 500))
def test_any_log_is_described(tmp_path_factory: pytest.TempPathFactory, data: bytes, start: int) -> None:
    log = tmp_path_factory.getbasetemp() / "any.log"
    log.write_bytes(data)
    text = describe_exit("ingest", 1, log, start=start)
    assert text.startswith("ingest ended with status 1")
    assert all(len(line) < 2 * LINE_CHARS_MAX for line in text.splitlines())
