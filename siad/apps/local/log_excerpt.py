"""End of a stage's log, with the reason first."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from signal import Signals
from typing import Final

LINES_MAX: Final = 8
LINE_CHARS_MAX: Final = 300
READ_BYTES_MAX: Final = 200_000
# Last line of a traceback, such as `ValueError: ...` or `siad.contracts.errors.MissingError: ...`
_RAISED: Final = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt)(?::|$)")


def describe_exit(name: str, status: int | None, log: Path, *, start: int) -> str:
    """Describe how a stage ended: status, reason, last lines of its log.

    Args:
        name: of the stage.
        status: exit status; negative: the signal that ended it.
        log: its file.
        start: position in the file where this start of the stage began.
    """
    lines = _read(log, start)
    reason = reason_of(lines)
    head = f"{name} ended {describe_status(status)}: {reason}" if reason else f"{name} ended {describe_status(status)}"
    if not lines:
        return f"{head}\n  Its log {log} has no line of this start"
    tail = "\n".join(f"    {_cut(line)}" for line in lines[-LINES_MAX:])
    return f"{head}\n  End of its log {log}:\n{tail}"


def describe_status(status: int | None) -> str:
    """Describe an exit status in words."""
    if status is None:
        return "with an unknown status"
    if status >= 0:
        return f"with status {status}"
    known = {one.value: one.name for one in Signals}
    return f"by signal {known.get(-status, -status)}"


def reason_of(lines: Sequence[str]) -> str:
    """Find why a process ended; empty if its log does not say.

    It is the last exception of a traceback, else the last error that it logged, else its last line.
    """
    for line in reversed(lines):
        if (event := _event(line)) is not None:
            if event.get("level") in ("error", "critical") or "exception" in event:
                return _cut(_reason_of_event(event))
        elif _RAISED.match(line):
            return _cut(line)
    return _cut(next((line for line in reversed(lines) if line.strip()), ""))


def _reason_of_event(event: dict[str, object]) -> str:
    raised = [line for line in str(event.get("exception", "")).splitlines() if _RAISED.match(line)]
    if raised:
        return raised[-1]
    name = str(event.get("event", ""))
    reason = event.get("reason") or event.get("error")
    return f"{name}: {reason}" if reason else name


def _event(line: str) -> dict[str, object] | None:
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _read(log: Path, start: int) -> list[str]:
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(min(start, size), size - READ_BYTES_MAX))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _cut(line: str) -> str:
    return line if len(line) <= LINE_CHARS_MAX else f"{line[:LINE_CHARS_MAX]} ..."
