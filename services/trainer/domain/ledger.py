"""What the trainer knows of each capture: one row a pseudo-mask. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from siad.contracts.events import PseudoMaskCreated


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One pseudo-mask as it was announced; units and ranges as in ``PseudoMaskCreated``."""

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
    confidence: float = 1.0  # of rows written before masks had one

    @property
    def is_defect(self) -> bool:
        """Whether the teacher called the capture defective."""
        return self.score >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFile:
    """One batch of rows as it lies in the store."""

    key: str
    written_at: datetime  # by the store's clock
    rows: tuple[LedgerRow, ...]


def rows_of(files: Iterable[LedgerFile]) -> list[LedgerRow]:
    """All rows, file by file in the order of their keys."""
    return [row for file in sorted(files, key=lambda file: file.key) for row in file.rows]


def fresh_captures(files: Iterable[LedgerFile], *, since: datetime | None) -> int:
    """Count the captures that no file written up to ``since`` names; all of them where ``since`` is None."""
    old: set[str] = set()
    new: set[str] = set()
    for file in files:
        known = since is not None and file.written_at <= since
        (old if known else new).update(row.capture_id for row in file.rows)
    return len(new - old)


def row_of(event: PseudoMaskCreated) -> LedgerRow:
    """Keep what training needs; line and product stand in the file's name."""
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


def first_wins(rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """Drop repeats of (capture, weights): the event published first is the one that counts."""
    seen: dict[tuple[str, str], LedgerRow] = {}
    for row in rows:
        seen.setdefault((row.capture_id, row.weights), row)
    return list(seen.values())


def newest_opinions(rows: Iterable[LedgerRow], teachers: Sequence[str]) -> list[LedgerRow]:
    """Keep one row a capture: that of the newest teacher that has seen it.

    Args:
        rows: the ledger, in the order of its files.
        teachers: weights of the line's teachers, newest first; one that is not listed counts as older than all.
    """
    age: Mapping[str, int] = {weights: index for index, weights in enumerate(teachers)}
    kept: dict[str, LedgerRow] = {}
    for row in first_wins(rows):
        known = kept.get(row.capture_id)
        if known is None or age.get(row.weights, len(age)) < age.get(known.weights, len(age)):
            kept[row.capture_id] = row
    return list(kept.values())
