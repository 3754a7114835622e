"""Brake of a line's learning: whether pseudo-masks are as before. Pure.

The last 25 captures are compared with those before, by figures that a few odd captures do not move:

- **marked captures**: their count, by the binomial test against the share before;
- **scores**: the 20% quantile of log(score / threshold), which a burst of defects hardly moves, in deviations of the
  lower tail;
- **area** and **number** of marked regions: medians of the last twelve marked captures, which must lie outside of the
  middle 90% before (hardly ever by chance) and differ by a factor;
- **flips**: captures whose decision the latest refit changed, among those that the gate compared.

Scores are in units of their threshold, so captures of several teachers compare: a threshold that was halved doubles
them all. While the brake is on, the captures before it stay the reference, so that a lasting fault never becomes usual.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from siad.contracts.learning import LearningBrake, StreamFigures
from siad.contracts.refits import RefitRecord
from siad.contracts.stream_scores import WEIGHTS_CHARS, StreamScore
from siad.vision.gate_rule import chance_of_at_least

_TAIL: Final = 0.803  # deviations from the 5% to the 20% quantile of a normal distribution
_RATIO_MIN: Final = 1e-3  # of a score to its threshold; the log of 0 has no median


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakePolicy:
    """Bounds; docs/adr/0033-gate.md has the reasons."""

    recent: int = 25  # captures that are judged
    baseline_min: int = 40  # captures before them; fewer are no reference
    baseline_max: int = 500
    chance: float = 1e-4  # a count of marked captures that is less probable is no chance
    young_share: float = 0.5  # of marked captures, assumed of a line without reference
    deviations: float = 1.4  # by which the 20% quantile may move: five times its error of 25 captures
    log_shift_min: float = 0.36  # it may move by this in any case, by 43% of the score
    log_shift_max: float = 0.6  # and by no more, so that a threshold that was halved (0.69) is always seen
    marked_recent: int = 12  # captures whose marks are compared; defects of one line differ in size by a hundred times
    area_factor: float = 4.0
    regions_factor: float = 4.0
    flips_max: float = 0.25  # share of the captures that the gate compared
    flips_min: int = 12  # of them; fewer are no measure


DEFAULT_BRAKE: Final = BrakePolicy()


def move_brake(
    rows: Sequence[StreamScore],
    before: LearningBrake | None,
    refit: RefitRecord | None,
    *,
    now: datetime,
    policy: BrakePolicy = DEFAULT_BRAKE,
) -> LearningBrake | None:
    """Compute the brake after the latest captures; None: it stays.

    Args:
        rows: scores of the stream, oldest first.
        before: the stored state; None: it was never on.
        refit: record of the latest fit.
        now: the time of day.
        policy: bounds.
    """
    if len(rows) < policy.recent:
        return None
    ordered = sorted(rows, key=lambda row: (row.received_at, row.capture_id))
    recent = ordered[-policy.recent :]
    is_on = before is not None and before.is_on
    baseline = before.baseline if before is not None and is_on else _baseline(ordered[: -policy.recent], before, policy)
    marked = [row for row in ordered if row.is_defect][-policy.marked_recent :]
    reasons = [
        *_out_of_bounds(figures_of(recent), baseline, policy),
        *_other_marks(figures_of(marked) if marked else None, baseline, policy),
        *_flips(recent, refit, policy),
    ]
    if bool(reasons) == is_on:
        return None
    if reasons:
        held_from_at = recent[0].received_at
        return LearningBrake(
            is_on=True, reasons=tuple(reasons), since_at=now, baseline=baseline, held_from_at=held_from_at
        )
    assert before is not None, "a brake that goes off was on"
    return LearningBrake(
        is_on=False,
        reasons=before.reasons,
        since_at=now,
        baseline=before.baseline,
        held_from_at=before.held_from_at,
        held_until_at=recent[0].received_at,
    )


def figures_of(rows: Sequence[StreamScore]) -> StreamFigures:
    """Summarise captures by figures that a few odd ones do not move."""
    lowest, fifth = np.quantile([math.log(max(row.ratio, _RATIO_MIN)) for row in rows], (0.05, 0.2))
    areas = [row.defect_ratio for row in rows if row.is_defect] or [0.0]
    regions = [float(row.regions) for row in rows if row.is_defect] or [0.0]
    return StreamFigures(
        captures=len(rows),
        marked=sum(row.is_defect for row in rows),
        log_ratio=float(fifth),
        log_spread=float(fifth - lowest) / _TAIL,
        area_ratio=statistics.median(areas),
        regions=statistics.median(regions),
        area_range=_middle(areas),
        regions_range=_middle(regions),
    )


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """Give the middle 90% of some values."""
    low, high = np.quantile(values, (0.05, 0.95))
    return float(low), float(high)


def _baseline(rows: Sequence[StreamScore], before: LearningBrake | None, policy: BrakePolicy) -> StreamFigures | None:
    """Summarise what the line showed, without captures of a brake before."""
    usual = [row for row in rows if not _was_held(row, before)][-policy.baseline_max :]
    return figures_of(usual) if len(usual) >= policy.baseline_min else None


def _was_held(row: StreamScore, before: LearningBrake | None) -> bool:
    if before is None or before.held_from_at is None or before.held_until_at is None:
        return False
    return before.held_from_at <= row.received_at < before.held_until_at


def _out_of_bounds(now: StreamFigures, usual: StreamFigures | None, policy: BrakePolicy) -> list[str]:
    share = policy.young_share if usual is None else (usual.marked + 1) / (usual.captures + 2)
    reasons = []
    expected = f"{share:.0%} before" if usual is not None else f"at most {share:.0%} assumed of a young line"
    many, few = (
        chance_of_at_least(now.marked, now.captures, share) < policy.chance,
        chance_of_at_least(now.captures - now.marked, now.captures, 1 - share) < policy.chance,
    )
    if many or (few and usual is not None):
        reasons.append(f"{now.marked} of the last {now.captures} captures are marked, {expected}")
    if usual is None:
        return reasons
    shift = now.log_ratio - usual.log_ratio
    allowed = min(max(policy.log_shift_min, policy.deviations * usual.log_spread), policy.log_shift_max)
    if abs(shift) > allowed:
        scores = f"{math.exp(now.log_ratio):.2f} of the threshold, {math.exp(usual.log_ratio):.2f} before"
        reasons.append(f"the 20% quantile of the last {now.captures} scores is {scores}")
    return reasons


def _other_marks(now: StreamFigures | None, usual: StreamFigures | None, policy: BrakePolicy) -> list[str]:
    """Object where the last marks are unlike the marks before."""
    if now is None or usual is None or min(now.marked, usual.marked) < policy.marked_recent:
        return []
    reasons = []
    if _differs(now.area_ratio, usual.area_ratio, usual.area_range, policy.area_factor):
        reasons.append(f"marks cover {now.area_ratio:.2%} of a marked image, {usual.area_ratio:.2%} before")
    if _differs(now.regions, usual.regions, usual.regions_range, policy.regions_factor):
        reasons.append(f"a marked image has {now.regions:g} regions, {usual.regions:g} before")
    return reasons


def _differs(now: float, before: float, middle: tuple[float, float], factor: float) -> bool:
    is_inside = middle[0] <= now <= middle[1]
    return not is_inside and max(now, before) > factor * min(now, before)


def _flips(recent: Sequence[StreamScore], refit: RefitRecord | None, policy: BrakePolicy) -> list[str]:
    """Object where the teacher in service decides otherwise than the one before."""
    if refit is None or refit.evidence is None or recent[-1].weights != refit.weights[:WEIGHTS_CHARS]:
        return []
    ours, theirs = refit.evidence.candidate, refit.evidence.serving
    flips = sum(
        (score >= ours.threshold) != (other >= theirs.threshold)
        for score, other in zip(ours.scores, theirs.scores, strict=True)
    )
    compared = len(ours.scores)
    if compared < policy.flips_min or flips <= policy.flips_max * compared:
        return []
    return [f"the latest teacher decides {flips} of {compared} compared captures otherwise than the one before"]
