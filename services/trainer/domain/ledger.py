"""Rows of the ledger: one for each pseudo-mask. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from siad.contracts.events import PseudoMaskCreated


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One pseudo-mask, with units and ranges as in ``PseudoMaskCreated``."""

    capture_id: str
    image_id: str
    image_uri: str
    captured_at: datetime
    received_at: datetime
    mask_uri: str
    mask_sha256: str
    weights: str  # the teacher that drew it
    score: float
    threshold: float
    defect_ratio: float
    confidence: float = 1.0  # of rows that were written before masks had a confidence

    @property
    def is_defect(self) -> bool:
        """Whether the teacher judged the capture defective."""
        return self.score >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFile:
    """One stored batch of rows."""

    key: str
    written_at: datetime  # by the store's clock
    rows: tuple[LedgerRow, ...]


def rows_of(files: Iterable[LedgerFile]) -> list[LedgerRow]:
    """List all rows, file by file in the order of their keys."""
    return [row for file in sorted(files, key=lambda file: file.key) for row in file.rows]


def fresh_captures(files: Iterable[LedgerFile], *, since: datetime | None) -> int:
    """Count the captures that only files written after ``since`` name.

    Args:
        files: the ledger.
        since: None counts all captures.
    """
    old: set[str] = set()
    new: set[str] = set()
    for file in files:
        is_old = since is not None and file.written_at <= since
        (old if is_old else new).update(row.capture_id for row in file.rows)
    return len(new - old)


def row_of(event: PseudoMaskCreated) -> LedgerRow:
    """Keep what training needs; the file's key names line and product."""
    return LedgerRow(
        capture_id=event.capture_id,
        image_id=event.image_id,
        image_uri=event.image_uri,
        captured_at=event.captured_at,
        received_at=event.received_at,
        mask_uri=event.mask_uri,
        mask_sha256=event.mask_sha256,
        weights=event.weights,
        score=event.score,
        threshold=event.threshold,
        defect_ratio=event.defect_ratio,
        confidence=event.confidence,
    )


def drop_repeats(rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """Keep the first row of each (capture, weights)."""
    kept: dict[tuple[str, str], LedgerRow] = {}
    for row in rows:
        kept.setdefault((row.capture_id, row.weights), row)
    return list(kept.values())


def rows_of_newest_teacher(rows: Iterable[LedgerRow], teachers: Sequence[str]) -> list[LedgerRow]:
    """Keep one row of each capture: that of its newest teacher.

    Args:
        rows: the ledger, in the order of its files.
        teachers: weights of the line's teachers, newest first; an unlisted one counts as the oldest.
    """
    age: Mapping[str, int] = {weights: index for index, weights in enumerate(teachers)}
    newest: dict[str, LedgerRow] = {}
    for row in drop_repeats(rows):
        other = newest.get(row.capture_id)
        if other is None or age.get(row.weights, len(age)) < age.get(other.weights, len(age)):
            newest[row.capture_id] = row
    return list(newest.values())
