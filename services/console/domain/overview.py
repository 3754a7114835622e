"""What a line is doing now, from its newest captures. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.console.domain.captures import CaptureEntry
from siad.contracts.corrections import ThresholdSet
from siad.contracts.events import WeightsKind
from siad.contracts.manifest import RateEstimate

JUDGED_MAX: Final = 100  # newest captures that are counted
NEWEST: Final = 5  # that are shown one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStanding:
    """What the store says of the product that a line makes now."""

    normals: int | None  # sent so far; None: not counted, since there is a teacher
    judges: str  # weights; empty for none
    judges_kind: WeightsKind | None
    since_at: datetime | None  # the weights judge since then
    promised: RateEstimate | None  # false rejects to expect by the manifest of these weights
    paused: str  # why it learns nothing; empty where it does
    is_held: bool  # by a person


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseRejects:
    """False rejects to expect of the weights that judge."""

    budget: float  # share of good parts, in (0, 1)
    estimated: float
    low: float
    high: float

    @property
    def used(self) -> float:
        """Share of the budget; over 1: it is exceeded."""
        return self.estimated / self.budget


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentVerdicts:
    """Counts of the newest verdicts, and the newest of them."""

    passed: int
    rejected: int
    unknown: int
    last_at: datetime | None
    newest: tuple[CaptureEntry, ...]  # newest first

    @property
    def reject_ratio(self) -> float | None:
        """Share of the judged captures that were rejected; None without any."""
        judged = self.passed + self.rejected
        return self.rejected / judged if judged else None


def recent_verdicts(entries: Sequence[CaptureEntry]) -> RecentVerdicts:
    """Count verdicts.

    Args:
        entries: captures that were judged, newest first.
    """
    verdicts = [entry.verdict for entry in entries]
    return RecentVerdicts(
        passed=sum(one is not None and not one.is_reject for one in verdicts),
        rejected=sum(one is not None and one.is_reject for one in verdicts),
        unknown=sum(one is None for one in verdicts),
        last_at=entries[0].judged_at if entries else None,
        newest=tuple(entries[:NEWEST]),
    )


def false_rejects(standing: LineStanding, thresholds: Collection[ThresholdSet]) -> FalseRejects | None:
    """Say which false rejects to expect, by the threshold in use.

    Args:
        standing: of the line's product.
        thresholds: that were set, of the line.
    """
    known = next((one for one in thresholds if one.weights == standing.judges), None) or standing.promised
    if known is None:
        return None
    return FalseRejects(budget=known.budget, estimated=known.estimated, low=known.low, high=known.high)
