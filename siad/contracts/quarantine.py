"""Quarantine of captures, corrections and weights.

An operator taints weights, a capture or a correction. Its record is write-once and takes precedence in training,
fitting, release and rollback. Weights that descend from it get a record each, which names the root.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from siad.contracts.json_codec import JsonRecord, JsonStyle


class TaintedKind(StrEnum):
    """What a record of quarantine is about."""

    WEIGHTS = "weights"
    CAPTURE = "captures"
    CORRECTION = "corrections"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRecord(JsonRecord):
    """One object in quarantine, and why."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    line: str
    kind: TaintedKind
    subject: str  # weights, capture id, or capture id and revision as ``CAPTURE-REVISION``
    root: str  # that it descends from, in the same form; itself where an operator named it
    reason: str
    tainted_at: datetime


@dataclass(frozen=True, slots=True)
class QuarantineIndex:
    """All that is in quarantine of one line."""

    weights: Collection[str] = frozenset()
    captures: Collection[str] = frozenset()
    corrections: Collection[str] = frozenset()  # as ``CAPTURE-REVISION``

    @property
    def is_empty(self) -> bool:
        """Whether nothing is."""
        return not (self.weights or self.captures or self.corrections)

    def has_correction(self, capture_id: str, revision: int) -> bool:
        """Whether a correction, or its capture, is in quarantine."""
        return capture_id in self.captures or correction_name(capture_id, revision) in self.corrections


NOTHING: Final = QuarantineIndex()


def correction_name(capture_id: str, revision: int) -> str:
    """Name a correction in records and lists."""
    return f"{capture_id}-{revision}"
