"""Drift of a line's images, named by what changed. Pure.

Each statistic has a two-sided cumulative sum (Page 1954): of what each capture deviates from the normals, less an
allowance: one deviation, and what the first captures of the stream vary slowly (``slow_change.py``). A single odd part
adds little, since deviations are clipped; a lasting change adds up. A drift begins at ``RAISED`` and ends once the sum
is back at 0.

With independent normally distributed values a sum reaches 16 by chance once in e^34 / 2 captures or less often
(Siegmund 1985, section 2.6, with an allowance of 1). The bound is that high because values of a line follow each other,
and ten normals describe it badly.

Misfits are counted by a sequential likelihood ratio, a share of 20% against 1% (Wald 1945): where 1% of the captures do
not fit, fewer than one in 10,000 begins a false alarm.

Scores have no value of the normals in the profile: the first captures of the weights are their usual value.

Shape suffixes: S = statistics, h, w = cells of the view.
"""

import math
import statistics
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.inference.domain.slow_change import SlowVariation
from siad.contracts.drift import DriftCause, DriftEvidence
from siad.contracts.view_baseline import CELLS, ViewBaseline, ViewStatistic
from siad.vision.view_figures import ViewFigures

ALLOWANCE: Final = 1.0  # deviations that are no change
CELL_ALLOWANCE: Final = 1.5  # there are 576 cells
CLIP: Final = 4.0  # deviations that one capture counts at most
RAISED: Final = 16.0  # sum at which a drift begins
CAP: Final = 24.0  # highest sum, so that a drift ends within 24 usual captures
RECENT: Final = 0.15  # weight of the newest capture in the means that evidence shows
USUAL_SHARE, CHANGED_SHARE = 0.01, 0.2  # of captures that do not fit
MISFITS_RAISED: Final = math.log(10_000)
ALIGNED: Final = 0.8  # likeness of the normals to their mean from which parts lie in one place
LOCAL: Final = 0.12  # share of the cells; dirt covers less
SCORES_USUAL: Final = 60  # captures whose scores are the usual ones
SCORE_CLIP: Final = 2.0  # a burst of defects is no rise
SCORE_FLOOR: Final = 0.1  # least deviation of log(score / threshold)
SETTLED: Final = 5  # captures in a row for which a cause is named before it counts: the first sum to rise may be a
# consequence of the cause
STATISTICS: Final = tuple(ViewStatistic)
CAUSE_OF: Final = {
    ViewStatistic.SHARPNESS: DriftCause.FOCUS,
    ViewStatistic.BRIGHTNESS: DriftCause.LIGHT,
    ViewStatistic.CONTRAST: DriftCause.LIGHT,
    ViewStatistic.ACROSS: DriftCause.SHIFT,
    ViewStatistic.DOWN: DriftCause.SHIFT,
    ViewStatistic.LIKENESS: DriftCause.PRODUCT,
}
MISFITS, SCORE = "misfits", "score"


@dataclass(slots=True)
class PageSums:
    """Two-sided cumulative sums of any shape, and which are raised."""

    rise: NDArray[np.float64]
    fall: NDArray[np.float64]
    is_raised: NDArray[np.bool_]

    @classmethod
    def zero(cls, *shape: int) -> "PageSums":
        """Begin at 0."""
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape, bool))

    @property
    def highest(self) -> NDArray[np.float64]:
        """Higher sum of the two directions."""
        return np.maximum(self.rise, self.fall)

    def add(
        self, deviations: NDArray[np.float64], *, allowance: float | NDArray[np.float64], clip: float = CLIP
    ) -> None:
        """Add one capture."""
        clipped = np.clip(deviations, -clip, clip)
        self.rise = np.clip(self.rise + clipped - allowance, 0, CAP)
        self.fall = np.clip(self.fall - clipped - allowance, 0, CAP)
        self.is_raised = (self.highest >= RAISED) | (self.is_raised & (self.highest > 0))


@dataclass(slots=True)
class ScoreSum:
    """Cumulative sum of the scores of some weights, once enough were seen."""

    usual: list[float] = field(default_factory=list)
    sums: PageSums = field(default_factory=lambda: PageSums.zero(1))
    mean: float = 0.0  # of the latest captures
    middle: float = 0.0
    deviation: float = SCORE_FLOOR

    def add(self, log_ratio: float) -> None:
        """Add log(score / threshold) of one capture."""
        if len(self.usual) < SCORES_USUAL:
            self.usual.append(log_ratio)
            self.middle = statistics.median(self.usual)
            spread = 1.4826 * statistics.median(abs(value - self.middle) for value in self.usual)
            self.deviation = max(spread, SCORE_FLOOR)
            self.mean = self.middle
            return
        self.mean += RECENT * (log_ratio - self.mean)
        rise = max((log_ratio - self.middle) / self.deviation, 0.0)  # a fall is no drift of the process
        self.sums.add(np.array([rise]), allowance=ALLOWANCE, clip=SCORE_CLIP)


class DriftDetector:
    """Sums of one line and product, against one baseline of its normals."""

    def __init__(self, baseline: ViewBaseline | None) -> None:
        self.baseline = baseline
        self.captures = 0
        self._view = PageSums.zero(len(STATISTICS))
        self._means_S = np.zeros(len(STATISTICS))
        self._slow = SlowVariation.unknown(len(STATISTICS), allowance=ALLOWANCE)
        self._cells = PageSums.zero(CELLS, CELLS)
        self._slow_cells = SlowVariation.unknown(CELLS, CELLS, allowance=CELL_ALLOWANCE)
        self._cell_means_hw = np.zeros((CELLS, CELLS))
        self._misfits, self._misfit_mean, self._is_misfit_raised = 0.0, 0.0, False
        self._scores, self._scored_by = ScoreSum(), ""
        self._named: dict[DriftCause, int] = {}  # captures in a row

    def add_misfit(self) -> None:
        """Add a capture whose image does not fit the normals."""
        self.captures += 1
        self._add_fit(is_misfit=True)
        self._count_names()

    def add(self, figures: ViewFigures | None, *, log_ratio: float, weights: str) -> None:
        """Add a judged capture.

        Args:
            figures: None where the weights have no baseline.
            log_ratio: log(score / threshold).
            weights: by which it was judged; scores of other weights begin anew.
        """
        self.captures += 1
        self._add_fit(is_misfit=False)
        if figures is not None:
            self._add_view(figures)
        self._add_score(log_ratio, weights)
        self._count_names()

    def _add_score(self, log_ratio: float, weights: str) -> None:
        if self._scored_by != weights:
            self._scores, self._scored_by = ScoreSum(), weights
        self._scores.add(log_ratio)

    def _add_view(self, figures: ViewFigures) -> None:
        deviations_S = np.array([figures.deviations[name] for name in STATISTICS])
        if not self._is_aligned:
            for name in (ViewStatistic.ACROSS, ViewStatistic.DOWN):
                deviations_S[STATISTICS.index(name)] = 0.0
        deviations_S[STATISTICS.index(ViewStatistic.LIKENESS)] = min(
            deviations_S[STATISTICS.index(ViewStatistic.LIKENESS)], 0.0
        )
        self._view.add(deviations_S, allowance=ALLOWANCE + self._slow.variation)
        self._slow.add(np.clip(deviations_S, -CLIP, CLIP))
        values_S = np.array([figures.values[name] for name in STATISTICS])
        self._means_S = values_S if self.captures == 1 else self._means_S + RECENT * (values_S - self._means_S)
        clipped_hw = np.clip(figures.cells_hw.astype(np.float64), -CLIP, CLIP)
        self._cells.add(clipped_hw, allowance=CELL_ALLOWANCE + self._slow_cells.variation)
        self._slow_cells.add(clipped_hw)
        self._cell_means_hw += RECENT * (clipped_hw - self._cell_means_hw)

    @property
    def is_usual(self) -> bool:
        """Whether no image statistic is on its way to a drift."""
        return bool(self._view.highest.max() < RAISED / 4 and self._misfits < MISFITS_RAISED / 4)

    def ratios(self) -> dict[DriftCause, float]:
        """Sum of each cause as a share of the bound.

        1 and more is a drift, until it is back at 0.
        """
        ratios = dict.fromkeys(DriftCause, 0.0)
        for name, highest in zip(STATISTICS, self._view.highest, strict=True):
            ratios[CAUSE_OF[name]] = max(ratios[CAUSE_OF[name]], float(highest) / RAISED)
        ratios[DriftCause.PRODUCT] = max(ratios[DriftCause.PRODUCT], self._misfits / MISFITS_RAISED)
        ratios[DriftCause.DIRT] = float(self._cells.highest.max()) / RAISED
        ratios[DriftCause.PROCESS] = float(self._scores.sums.highest[0]) / RAISED
        return ratios

    def drifts(self) -> dict[DriftCause, DriftEvidence]:
        """Name what drifts, once the name is settled.

        One cause at a time, the strongest: another product changes every statistic, a shift moves every cell, dims or
        brightens the view and makes it a little less like the normals. What is left after a repair is named then.
        Scores are the process only where the images are as before.
        """
        return {cause: evidence for cause, evidence in self._present().items() if self._named.get(cause, 0) >= SETTLED}

    def _count_names(self) -> None:
        self._named = {cause: self._named.get(cause, 0) + 1 for cause in self._present()}

    def _present(self) -> dict[DriftCause, DriftEvidence]:
        found = self._view_drifts()
        if self._is_misfit_raised:
            found = {DriftCause.PRODUCT: self._misfit_evidence()}
        if not found and (dirt := self._dirt()) is not None:
            found[DriftCause.DIRT] = dirt
        if not found and bool(self._scores.sums.is_raised[0]):
            found[DriftCause.PROCESS] = self._score_evidence()
        return found

    def _view_drifts(self) -> dict[DriftCause, DriftEvidence]:
        found: dict[DriftCause, DriftEvidence] = {}
        for number in np.flatnonzero(self._view.is_raised):
            evidence = self._view_evidence(STATISTICS[number])
            cause = CAUSE_OF[STATISTICS[number]]
            if cause not in found or abs(evidence.deviations) > abs(found[cause].deviations):
                found[cause] = evidence
        if (product := found.pop(DriftCause.PRODUCT, None)) and product.deviations < -CLIP:
            return {DriftCause.PRODUCT: product}  # a little less like the normals are parts of another batch too
        strongest = max(found, key=lambda cause: abs(found[cause].deviations), default=None)
        return {} if strongest is None else {strongest: found[strongest]}

    def _view_evidence(self, name: ViewStatistic) -> DriftEvidence:
        assert self.baseline is not None, "figures need a baseline"
        usual, value = self.baseline.usual(name), float(self._means_S[STATISTICS.index(name)])
        return _evidence(name.value, value, usual.mean, usual.deviation)

    def _dirt(self) -> DriftEvidence | None:
        """Return the darkest or brightest cell, where few are raised."""
        raised = int(self._cells.is_raised.sum())
        if not 0 < raised <= LOCAL * CELLS * CELLS:
            return None
        row, column = np.unravel_index(int(self._cells.highest.argmax()), (CELLS, CELLS))
        value = float(self._cell_means_hw[row, column])
        place = (round((float(column) + 0.5) / CELLS, 3), round((float(row) + 0.5) / CELLS, 3))
        return DriftEvidence(
            statistic="cell", value=round(value, 2), usual=0.0, deviation=1.0, deviations=round(value, 2), place=place
        )

    def _misfit_evidence(self) -> DriftEvidence:
        return _evidence(MISFITS, self._misfit_mean, USUAL_SHARE, math.sqrt(USUAL_SHARE * (1 - USUAL_SHARE)))

    def _score_evidence(self) -> DriftEvidence:
        return _evidence(SCORE, self._scores.mean, self._scores.middle, self._scores.deviation)

    def _add_fit(self, *, is_misfit: bool) -> None:
        self._misfit_mean += RECENT * (is_misfit - self._misfit_mean)
        changed, usual = (CHANGED_SHARE, USUAL_SHARE) if is_misfit else (1 - CHANGED_SHARE, 1 - USUAL_SHARE)
        self._misfits = min(max(self._misfits + math.log(changed / usual), 0.0), 1.5 * MISFITS_RAISED)
        self._is_misfit_raised = self._misfits >= MISFITS_RAISED or (self._is_misfit_raised and self._misfits > 0)

    @property
    def _is_aligned(self) -> bool:
        return self.baseline is not None and self.baseline.likeness.mean >= ALIGNED


def _evidence(statistic: str, value: float, usual: float, deviation: float) -> DriftEvidence:
    return DriftEvidence(
        statistic=statistic,
        value=round(value, 4),
        usual=round(usual, 4),
        deviation=round(deviation, 4),
        deviations=round((value - usual) / deviation, 2),
    )
