"""Table of outcomes: what happens on every exception.

It holds wherever the exception is raised.

The consumer asks it for a record, the reconciler for a unit of work, HTTP for a request. ``docs/outcomes.md`` shows the
same table for operators; ``tests/unit/runtime/test_outcomes.py`` keeps the two equal, and
``tests/unit/runtime/consumer/test_outcomes_of_ports.py`` raises every error at every port.

A new kind of failure gets a rule here before anything else may raise it: without one it counts as a bug.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Final

from siad.contracts.errors import (
    BusFailedError,
    ConflictError,
    CorruptError,
    DeniedError,
    MissingError,
    OutOfMemoryError,
    PoisonError,
    TransientError,
    UnusableWeightsError,
)


class SplitBatchError(Exception):
    """A batch holds poison at an unknown offset.

    Its records are handled one at a time.
    """


class BreakerOpenError(Exception):
    """The poison breaker of the stage is open.

    The record is held: neither dead-lettered nor committed.
    """


class Outcome(Enum):
    """What becomes of the work at hand."""

    RETRY = "retry"  # the same work again after a backoff; nothing is skipped
    PAUSE = "pause and report"  # as RETRY, and readiness shows the error: an operator must act
    DEAD_LETTER = "dead letter"  # the record goes whole to the dead-letter topic, and the next one is handled
    ISOLATE = "isolate"  # the records of the batch are handled one at a time
    HOLD = "hold"  # the record is held while the breaker is open
    STOP = "stop"  # nothing is committed; the next owner of the partition repeats the record
    RESTART = "restart"  # the process ends with status 1, and no record is blamed
    CRASH = "crash"  # a bug: the process ends with status 1; where a handler raised it, its record is blamed


WAITING: Final = frozenset({Outcome.RETRY, Outcome.PAUSE})


@dataclass(frozen=True, slots=True)
class Rule:
    """Outcome of one kind of exception, with label and reason."""

    error: type[BaseException]
    outcome: Outcome
    fate: str  # label ``fate`` of siad_records_failed_total and ``reason`` of siad_paused_info
    reason: str


# The first rule that fits counts, so a subclass stands before its base.
RULES: Final = (
    Rule(
        asyncio.CancelledError,
        Outcome.STOP,
        "cancelled",
        "The stage stops, or the partition moves to another member; its next owner repeats the record.",
    ),
    Rule(
        PoisonError,
        Outcome.DEAD_LETTER,
        "poison",
        "No retry can make these bytes valid. The poison breaker bounds how many records in a row end like this.",
    ),
    Rule(
        DeniedError,
        Outcome.PAUSE,
        "denied",
        "A key, policy or setting is wrong, not the record. Work resumes by itself once access is back.",
    ),
    Rule(
        OutOfMemoryError,
        Outcome.RETRY,
        "memory",
        "Another model or image had the memory. After a failure one record at a time is tried, which needs the least.",
    ),
    Rule(TransientError, Outcome.RETRY, "transient", "A dependency is unavailable and usually comes back."),
    Rule(
        ConflictError,
        Outcome.RETRY,
        "conflict",
        "Another writer was first; the next attempt reads what it wrote.",
    ),
    Rule(
        MissingError,
        Outcome.PAUSE,
        "missing",
        "An object of the plant (bucket, line, weights) was removed. Where the record itself is at fault, "
        "the handler raises PoisonError.",
    ),
    Rule(
        CorruptError,
        Outcome.PAUSE,
        "corrupt",
        "An object of the plant is damaged. Where the record itself is at fault, the handler raises PoisonError.",
    ),
    Rule(
        UnusableWeightsError,
        Outcome.PAUSE,
        "weights",
        "Weights were refused; a new release or a rollback cures it, and every record after it is judged.",
    ),
    Rule(
        BusFailedError,
        Outcome.RESTART,
        "bus",
        "The client or the file of the bus is unusable for this process; the record in flight has no part in it.",
    ),
    Rule(
        SplitBatchError,
        Outcome.ISOLATE,
        "split",
        "Poison at an unknown offset of a batch is found by handling its records one at a time.",
    ),
    Rule(
        BreakerOpenError,
        Outcome.HOLD,
        "breaker",
        "Too much poison in a row from several lines: the stage is at fault, not the records.",
    ),
    Rule(TimeoutError, Outcome.RETRY, "timeout", "A wait ended; the dependency may answer next time."),
    Rule(MemoryError, Outcome.RETRY, "memory", "As OutOfMemoryError, raised by Python, NumPy or OpenCV."),
    Rule(
        OSError,
        Outcome.PAUSE,
        "machine",
        "A full disk or too many open files is a state of the machine, never a property of a record.",
    ),
    Rule(
        BaseException,
        Outcome.CRASH,
        "crash",
        "A bug. A process in an unknown state must not commit; the crash marker finds a record that always does this.",
    ),
)


def rule_of(error: BaseException) -> Rule:
    """Return the rule for an exception."""
    return next(rule for rule in RULES if isinstance(error, rule.error))


def outcome_of(error: BaseException) -> Outcome:
    """Return what becomes of work that raised ``error``."""
    return rule_of(error).outcome


def report_of(error: BaseException) -> str:
    """Return what readiness shows for an error that pauses work.

    Empty for all others.
    """
    rule = rule_of(error)
    if rule.outcome is not Outcome.PAUSE:
        return ""
    text = str(error) or type(error).__name__
    return f"{_HEADINGS[rule.fate]}: {text}. The work is retried and resumes by itself; nothing is skipped"


_HEADINGS: Final = {
    "denied": "access denied",
    "missing": "an object that this work needs is missing",
    "corrupt": "an object that this work needs is damaged",
    "weights": "weights were refused",
    "machine": "this machine failed the work",
}
