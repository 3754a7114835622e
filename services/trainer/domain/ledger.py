"""Rows of the ledger: pseudo-masks and corrections. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from services.trainer.domain.corrections import CorrectionRow
from siad.contracts.events import PseudoMaskCreated

N = TypeVar("N")


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
    serial: str = ""  # here and below: empty where unknown, also in rows of earlier versions
    image_hash: str = ""

    @property
    def is_defect(self) -> bool:
        """Whether the teacher judged the capture defective."""
        return self.score >= self.threshold

    @property
    def is_marked(self) -> bool:
        """Whether it also marked at least one pixel."""
        return self.is_defect and self.defect_ratio > 0


@dataclass(frozen=True, kw_only=True)
class LedgerFile:
    """One stored batch of rows."""

    key: str
    written_at: datetime  # by the store's clock; of merged files the last
    size_bytes: int = 0
    is_mergeable: bool = True  # this version can read it, and knows all of its columns
    holds_erased: bool = False  # rows of captures that were deleted when it was read
    rows: tuple[LedgerRow, ...] = ()
    corrections: tuple[CorrectionRow, ...] = ()

    @cached_property
    def captures(self) -> frozenset[str]:
        """Captures that its pseudo-masks name; plans count them again and again."""
        return frozenset(row.capture_id for row in self.rows)


def rows_of(files: Iterable[LedgerFile]) -> list[LedgerRow]:
    """List all rows, file by file in the order of their keys."""
    return [row for file in sorted(files, key=lambda file: file.key) for row in file.rows]


def corrections_of(files: Iterable[LedgerFile]) -> list[CorrectionRow]:
    """List all corrections, in any order."""
    return [row for file in files for row in file.corrections]


def fresh_captures(files: Iterable[LedgerFile], *, since: datetime | None) -> int:
    """Count the captures that only files written after ``since`` name.

    Args:
        files: the ledger.
        since: None counts all captures.
    """
    return len(_new(((file.written_at, file.captures) for file in files), since=since))


def fresh_corrections(files: Iterable[LedgerFile], *, since: datetime | None) -> int:
    """Count the captures that were corrected after ``since``.

    Only files written after it hold the correction. Several revisions of one capture count once.
    """
    named = (
        (file.written_at, ((row.capture_id, row.revision) for row in file.corrections))
        for file in files
        if file.corrections
    )
    return len({capture_id for capture_id, _ in _new(named, since=since)})


def newest_received_at(files: Iterable[LedgerFile], *, until: datetime) -> datetime | None:
    """Return when the newest capture was received; None without one.

    Files written after ``until`` do not count.
    """
    return max((row.received_at for file in files if file.written_at <= until for row in file.rows), default=None)


def _new(named: Iterable[tuple[datetime, Iterable[N]]], *, since: datetime | None) -> set[N]:
    old: set[N] = set()
    new: set[N] = set()
    for written_at, names in named:
        (old if since is not None and written_at <= since else new).update(names)
    return new - old


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
        serial=event.serial,
        image_hash=event.image_hash,
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
