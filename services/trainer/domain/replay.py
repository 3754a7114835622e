"""Replay: which captures a bounded training set takes from many. Pure.

Most are the newest, the line as it is now. The rest are older ones, spread over the line's past and over kinds of
results, so that a network that learns a new kind of defect does not forget those of before.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from services.trainer.domain.corrections import CorrectionRow
from services.trainer.domain.ledger import LedgerRow
from siad.contracts.corrections import CorrectionVerdict
from siad.contracts.split import fraction_of

Row = TypeVar("Row", bound=LedgerRow | CorrectionRow)

PERIODS: Final = 4  # of the past, with equally many captures each


def choose_replayed(rows: Sequence[LedgerRow], count: int, *, older_share: float) -> list[LedgerRow]:
    """Choose ``count`` rows: the newest ones, and a share of older ones.

    Args:
        rows: in any order.
        count: rows to choose, if there are so many.
        older_share: share of older ones among the chosen, 0..1.

    Returns:
        The same rows for the same captures in any order.
    """
    return _choose(newest_first(rows), count, older_share, _kind)


def choose_corrections(rows: Iterable[CorrectionRow], count: int, *, older_share: float) -> list[CorrectionRow]:
    """Choose ``count`` corrections likewise, the last ones of people first."""
    ordered = sorted(rows, key=lambda row: (row.corrected_at, row.capture_id), reverse=True)
    return _choose(ordered, count, older_share, _kind_of_correction)


def newest_first(rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """Order rows by the time of receipt, the last first."""
    return sorted(rows, key=lambda row: (row.received_at, row.capture_id), reverse=True)


def _choose(ordered: list[Row], count: int, older_share: float, kind: Callable[[Row], tuple[int, ...]]) -> list[Row]:
    if len(ordered) <= count:
        return ordered
    newest = count - round(count * older_share)
    return [*ordered[:newest], *_spread(ordered[newest:], count - newest, kind)]


def _spread(rows: Sequence[Row], count: int, kind: Callable[[Row], tuple[int, ...]]) -> list[Row]:
    """Take rows from each cell in turn.

    A cell is a period and a kind of result. Rare cells are taken whole.
    """
    cells: dict[tuple[int, ...], list[Row]] = defaultdict(list)
    for index, row in enumerate(rows):
        cells[index * PERIODS // len(rows), *kind(row)].append(row)
    queues = [sorted(cells[cell], key=_order) for cell in sorted(cells)]
    depth = max(map(len, queues), default=0)
    turns = (queue[turn] for turn in range(depth) for queue in queues if turn < len(queue))
    return [row for row, _ in zip(turns, range(count), strict=False)]


def _order(row: LedgerRow | CorrectionRow) -> float:
    """Order by a hash that is independent of the split."""
    return fraction_of(f"replay {row.capture_id}")


def _kind(row: LedgerRow) -> tuple[int, ...]:
    """Steps of two in score, and of four in area."""
    return _step_of_score(row), _step(row.defect_ratio, 4)


def _kind_of_correction(row: CorrectionRow) -> tuple[int, ...]:
    """Verdict, outline, and steps of two in score."""
    return int(row.verdict is CorrectionVerdict.DEFECT), int(bool(row.mask_uri)), _step_of_score(row)


def _step_of_score(row: LedgerRow | CorrectionRow) -> int:
    return _step(row.score / row.threshold if row.threshold > 0 else row.score, 2)


def _step(value: float, base: int) -> int:
    return math.floor(math.log(value, base)) if value > 0 else -99
