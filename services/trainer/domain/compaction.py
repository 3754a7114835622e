"""Compaction: which small files of a ledger become one. Pure.

A slow line writes a file for a few captures, and every plan lists them all. Files are merged that lie on the same side
of every run's training set: captures count as new where only files written after the last set name them, so a file that
held both would change the count.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.trainer.domain.ledger import LedgerFile
from siad.contracts.training_runs import RunOutcome, RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionPolicy:
    """Sizes of files that are merged."""

    small_bytes: int = 128 * 1024  # a file of this size or more stays as it is
    merged_bytes_max: int = 1024 * 1024  # of files that become one; some 500 rows in files of four
    files_min: int = 16  # small ones written since the last training set
    earlier_files_min: int = 4  # of before: few come there any more


DEFAULT_COMPACTION: Final = CompactionPolicy()


def boundaries_of(runs: Sequence[RunState]) -> list[datetime]:
    """List the times up to which training sets used the ledger.

    From the last run that used its captures for good: an open one may still fail, which makes them new again.
    """
    last = 0
    for index, run in enumerate(runs):
        if run.outcome not in (None, RunOutcome.FAILED):
            last = index
    return sorted(run.spec.ledger_until_at for run in runs[last:])


def choose_files(
    files: Sequence[LedgerFile], boundaries: Sequence[datetime], policy: CompactionPolicy
) -> tuple[str, ...]:
    """Choose files to merge into one, oldest first.

    None where there are few.

    A file that holds rows of deleted captures is rewritten, whatever its size: a merge that was interrupted during an
    erasure can leave one.
    """
    groups: dict[tuple[bool, int], list[LedgerFile]] = defaultdict(list)
    for file in sorted(files, key=lambda file: (file.written_at, file.key)):
        if file.is_mergeable:
            groups[bool(file.corrections), bisect_left(boundaries, file.written_at)].append(file)
    for (_, period), members in sorted(groups.items()):
        erased = [file.key for file in members if file.holds_erased]
        if erased:
            return tuple(erased[:1])
        small = [file for file in members if file.size_bytes < policy.small_bytes]
        if len(small) >= (policy.files_min if period == len(boundaries) else policy.earlier_files_min):
            return _first(small, policy.merged_bytes_max)
    return ()


def _first(files: Sequence[LedgerFile], bytes_max: int) -> tuple[str, ...]:
    chosen, size = list[str](), 0
    for file in files:
        size += file.size_bytes
        if size > bytes_max and len(chosen) > 1:
            break
        chosen.append(file.key)
    return tuple(chosen)
