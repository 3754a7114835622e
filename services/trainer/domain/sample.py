"""Bounded part of a ledger that is held in memory. Pure.

The newest rows are held whole. Of older ones a sample by the hash of the capture is held, with as much room for marked
rows as for all others, so that rare defects of the past remain. Corrections are all held. Read from the newest file to
the oldest, equal files give equal samples.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from services.trainer.domain.ledger import LedgerFile, LedgerRow
from siad.contracts.split import fraction_of

NEWEST_SHARE: Final = 0.5  # of the room
UNSETTLED_SHARE: Final = 0.25  # of the room, by which it is exceeded at most while files are read


@dataclass(slots=True)
class _HeldFile:
    """One file as it is held."""

    etag: str
    file: LedgerFile
    count: int  # rows in the store
    levels: tuple[int, int] = (0, 0)  # by which its unmarked and marked rows were thinned


@dataclass(slots=True)
class LedgerSample:
    """Files of one place, with at most ``rows_max`` rows."""

    rows_max: int
    _held: dict[str, _HeldFile] = field(default_factory=dict)  # by key
    _unsettled: int = 0  # rows taken since the last thinning
    _levels: list[int] = field(default_factory=lambda: [0, 0])  # of unmarked and marked rows; they only grow

    def to_read(self, etags: Mapping[str, str]) -> list[str]:
        """List the keys that are new, or whose object has changed.

        Files that are no longer stored are dropped.
        """
        for key in self._held.keys() - etags.keys():
            del self._held[key]
        return [key for key, etag in etags.items() if key not in self._held or self._held[key].etag != etag]

    def add(self, files: Iterable[tuple[str, LedgerFile]]) -> None:
        """Take files with their etags, and thin what no longer fits."""
        for etag, file in files:
            self._held[file.key] = _HeldFile(etag, file, count=len(file.rows))
            self._unsettled += len(file.rows)
        if self._unsettled > self.rows_max * UNSETTLED_SHARE:
            self._settle()

    def files(self) -> list[LedgerFile]:
        """List the files as they are held, by key."""
        if self._unsettled:
            self._settle()
        return [self._held[key].file for key in sorted(self._held)]

    def _settle(self) -> None:
        older = self._older()
        for kind in (0, 1):
            room = round(self.rows_max * (1 - NEWEST_SHARE)) // 2
            while sum(self._thin(held)[kind] for held in older) > room:
                self._levels[kind] += 1
        self._unsettled = 0

    def _older(self) -> list[_HeldFile]:
        """List the files that hold no row of the newest."""
        ordered = sorted(self._held.values(), key=lambda held: (held.file.written_at, held.file.key), reverse=True)
        room = self.rows_max * NEWEST_SHARE
        for index, held in enumerate(ordered):
            room -= held.count
            if room < 0:
                return ordered[index:]
        return []

    def _thin(self, held: _HeldFile) -> tuple[int, int]:
        """Thin a file; count its unmarked and marked rows."""
        levels = (self._levels[0], self._levels[1])
        if held.levels != levels:
            rows = tuple(row for row in held.file.rows if _remains(row, levels))
            held.file, held.levels = replace(held.file, rows=rows), levels
        marked = sum(row.is_marked for row in held.file.rows)
        return len(held.file.rows) - marked, marked


def _remains(row: LedgerRow, levels: tuple[int, int]) -> bool:
    level = levels[row.is_marked]
    # another hash than the split's: otherwise only held-out captures would remain
    return level == 0 or fraction_of(f"sample {row.capture_id}") < 0.5**level
