"""Findings of an examination, in words for operators. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LINES_SHOWN: Final = 4


class FindingStatus(StrEnum):
    """What an examination found of one thing."""

    OK = "ok"
    WARNING = "warning"  # works, and will not for long, or only in part
    FAULT = "fault"
    UNKNOWN = "unknown"  # could not be examined


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was examined."""

    check: str  # broker, store, ...
    status: FindingStatus
    what: str  # is wrong; of what is in order: what was examined
    effect: str = ""  # on which lines; empty where it has none
    remedy: str = ""


def ok(check: str, what: str) -> Finding:
    """Report that something is in order."""
    return Finding(check=check, status=FindingStatus.OK, what=what)


def fault(check: str, what: str, *, effect: str, remedy: str) -> Finding:
    """Report a fault."""
    return Finding(check=check, status=FindingStatus.FAULT, what=what, effect=effect, remedy=remedy)


def warning(check: str, what: str, *, effect: str, remedy: str) -> Finding:
    """Report what works only in part, or not for long."""
    return Finding(check=check, status=FindingStatus.WARNING, what=what, effect=effect, remedy=remedy)


def unknown(check: str, what: str, *, remedy: str) -> Finding:
    """Report what could not be examined, and why."""
    return Finding(check=check, status=FindingStatus.UNKNOWN, what=what, remedy=remedy)


def describe_lines(lines: Sequence[str]) -> str:
    """Name the lines of a plant; without names it is "every line"."""
    if not lines:
        return "every line"
    shown = ", ".join(lines[:LINES_SHOWN])
    more = len(lines) - LINES_SHOWN
    return f"every line ({shown}{f' and {more} more' if more > 0 else ''})"


def has_fault(findings: Sequence[Finding]) -> bool:
    """Whether something is wrong now."""
    return any(finding.status is FindingStatus.FAULT for finding in findings)
