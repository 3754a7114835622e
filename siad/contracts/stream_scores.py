"""Newest scores of a stream, which refits and brake go by.

They are statistics, no account of captures: after a crash the last few seconds of them are missing.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from siad.contracts.json_codec import OMIT_IF_DEFAULT, JsonRecord

ROWS_MAX: Final = 1000  # kept for a line and product; 250 bytes each
WEIGHTS_CHARS: Final = 12  # of the weights' id, which tell a line's teachers apart


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamScore:
    """Score of one inspected capture, by its teacher."""

    capture_id: str
    received_at: datetime
    weights: str  # first ``WEIGHTS_CHARS`` of the id
    score: float
    threshold: float
    defect_ratio: float  # 0..1, fraction of pixels
    regions: int
    serial: str = field(default="", metadata=OMIT_IF_DEFAULT)  # as in ``ImageStored``
    image_hash: str = field(default="", metadata=OMIT_IF_DEFAULT)  # as in ``PseudoMaskCreated``

    @property
    def is_defect(self) -> bool:
        """Whether the teacher marked it."""
        return self.score >= self.threshold

    @property
    def ratio(self) -> float:
        """Score in units of the threshold: comparable between teachers."""
        return self.score / self.threshold if self.threshold > 0 else self.score


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamScores(JsonRecord):
    """Document of one line and product."""

    captures: int = 0  # scored in all; one that was scored again counts once, as far as the rows reach back
    rows: tuple[StreamScore, ...] = ()  # oldest first, one of each capture and weights

    def merged(self, new: tuple[StreamScore, ...]) -> "StreamScores":
        """Add scores; a repeat replaces its row."""
        by_name = {(row.capture_id, row.weights): row for row in self.rows}
        known = {row.capture_id for row in self.rows}
        fresh = {row.capture_id for row in new} - known
        by_name |= {(row.capture_id, row.weights): row for row in new}
        ordered = sorted(by_name.values(), key=lambda row: (row.received_at, row.capture_id, row.weights))
        return StreamScores(captures=self.captures + len(fresh), rows=tuple(ordered[-ROWS_MAX:]))

    def without(self, captures: Collection[str]) -> "StreamScores":
        """Drop the rows of some captures; the count stays."""
        return replace(self, rows=tuple(row for row in self.rows if row.capture_id not in captures))
