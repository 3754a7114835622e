"""Good and defective scores, from normals, stream and answers together.

Scores of good captures are taken as log-normal, and those of defective ones as log-normal too, higher and wider; a
share of the captures, the defect rate, is defective. The five numbers of that model are unknown. Normals give the
first two a distribution (``siad.vision.calibration``). Two kinds of evidence are added to it by Bayes' rule:

- **stream**: scores of captures without a label. A capture has the density of the mixture of both. A burst of
  defects raises the defect rate, not the mean of good ones; where good ones drift, they all do.
- **answers**: labels of captures by a person. Given the score, a label has the probability that the mixture gives it,
  so captures may be chosen by their scores, such as those nearest the threshold: the choice tells nothing more.

The result is a distribution on a grid, from which ``siad.vision.sharpening`` takes a threshold and its interval.

No log-normal is exact: the 95% quantile of good scores scatters between lines by .25 deviations about the one of this
skew. The deviation takes up a part of that, and the interval of what a cut rejects includes the rest
(``SHAPE_ERROR``). And a stream of hundreds would make this model sure of what it only assumes. So a stream counts
for at most ``STREAM_WEIGHT_MAX`` captures. Source: Bissiri, Holmes and Walker 2016, A general framework for updating
belief distributions (a likelihood raised to a power below 1).

Shape suffixes: K = distinct scores, M = means, S = deviations, G = gaps and W = widths of defects, R = defect rates;
Q = points of the grid, of all of them together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr, ndtri

STREAM_WEIGHT_MAX: Final = 60.0  # captures that a stream counts for at most
DRIFT: Final = 0.15  # deviation by which the good of a stream may have moved since the normals, in log
UNIT: Final = 0.4  # deviation of log scores of good images, the unit of the widths below
SKEW: Final = 0.3  # of log scores of good captures, which reach farther down than up
MODE_SHIFT: Final = 2 * SKEW * math.sqrt(2 / math.pi)  # of the mode over the mean, in deviations
SHAPE_ERROR: Final = 0.1  # of a cut, in deviations; at 0 intervals from stream and answers held .88 of splits, not .90
BACKGROUND: Final = 0.01  # share of captures that neither of the two explains, at any score
STEP: Final = 0.05  # of log scores that are counted together
_NODES: Final = ((-math.sqrt(3), 1 / 6), (0.0, 2 / 3), (math.sqrt(3), 1 / 6))  # places and weights
_MEANS, _DEVIATIONS = 31, 13
_GAPS: Final = np.array([1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.5, 6.5])  # of the means of defective and good ones, in units
_WIDTHS: Final = np.array([0.2, 0.5, 1.0, 2.0])  # deviation of defective ones, in units
_RATES: Final = np.array([0.002, 0.01, 0.03, 0.06, 0.1, 0.15, 0.22, 0.33, 0.48, 0.65, 0.8])
_RATE_SHAPE: Final = (0.8, 3.0)  # of the beta distribution of defect rates before any capture is seen; mean 0.21


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodScores:
    """What the normals say of the logs of good scores."""

    mean: float
    mean_error: float  # deviation of the mean
    deviation: float
    freedom: float  # degrees of freedom of the deviation
    unit: float = UNIT  # a typical deviation; for scores that are taken without logs, their own


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScores:
    """Log scores that a person judged."""

    good: Sequence[float] = ()
    defective: Sequence[float] = ()
    weight: float = 1.0  # of each, 0..1


@dataclass(frozen=True, slots=True)
class MixturePosterior:
    """Distribution of good and defective log scores: grid points with probabilities."""

    weight_Q: NDArray[np.float64]  # they sum to 1
    mean_Q: NDArray[np.float64]
    deviation_Q: NDArray[np.float64]
    defect_mean_Q: NDArray[np.float64]
    defect_deviation_Q: NDArray[np.float64]
    rate_Q: NDArray[np.float64]

    def rejects(self, cut: float, at: Sequence[float]) -> list[float]:
        """Quantiles of the share of good captures over a cut.

        The shape's error moves the cut, as a normal distribution of three points does (Gauss-Hermite).
        """
        shares = [self._shares_over(cut, moved=SHAPE_ERROR * node) for node, _ in _NODES]
        weights = [weight * self.weight_Q for _, weight in _NODES]
        return _quantiles(np.concatenate(shares), np.concatenate(weights), at)

    def cut_for(self, budget: float) -> float:
        """Find the cut that rejects a budget, at the median."""
        upper = 1 - SKEW  # the share of good ones over the mode is half of it
        distance = -float(ndtri(min(budget / upper, 0.5))) * upper
        cut_Q = self._modes + distance * self.deviation_Q
        return _quantiles(cut_Q, self.weight_Q, [0.5])[0]

    def misses(self, cut: float) -> float:
        """Expected share of defective captures under a cut."""
        return float(self.weight_Q @ ndtr((cut - self.defect_mean_Q) / self.defect_deviation_Q))

    def defect_rates(self, at: Sequence[float]) -> list[float]:
        """Quantiles of the share of captures that are defective."""
        return _quantiles(self.rate_Q, self.weight_Q, at)

    def cost(self, cut: float, *, miss_cost: float) -> float:
        """Expected cost of one capture, of which a false reject costs 1."""
        missed_Q = self.rate_Q * ndtr((cut - self.defect_mean_Q) / self.defect_deviation_Q)
        rejected_Q = (1 - self.rate_Q) * self._shares_over(cut)
        return float(self.weight_Q @ (miss_cost * missed_Q + rejected_Q))

    @property
    def _modes(self) -> NDArray[np.float64]:
        return self.mean_Q + MODE_SHIFT * self.deviation_Q

    def _shares_over(self, cut: float, *, moved: float = 0.0) -> NDArray[np.float64]:
        """Share of good captures over a cut, which is moved by deviations."""
        distance_Q = (cut - self._modes) / self.deviation_Q + moved
        upper, lower = 1 - SKEW, 1 + SKEW
        over_Q = np.where(distance_Q > 0, upper * ndtr(-distance_Q / upper), 1 - lower * ndtr(distance_Q / lower))
        return np.asarray(over_Q, np.float64)


def fit_mixture(
    good: GoodScores, *, stream: Sequence[float] = (), answers: Sequence[LabelledScores] = ()
) -> MixturePosterior:
    """Add the evidence of stream and answers to that of the normals.

    Args:
        good: what the normals say.
        stream: log scores of captures, whatever they are; the answered ones may be among them.
        answers: log scores with labels.
    """
    grid = _Grid.around(good, drifts=len(stream) > 0)
    log_MSGWR = grid.log_prior(good)
    scores_K, counts_K = _counted(stream, good.unit)
    weight = min(1.0, STREAM_WEIGHT_MAX / max(len(stream), 1))
    span = max(float(np.ptp(np.concatenate([scores_K, grid.mean_M]))) + good.unit, good.unit)
    background = math.log(BACKGROUND / span)
    for score, count in zip(scores_K, counts_K, strict=True):
        log_MSGWR = log_MSGWR + weight * count * np.logaddexp(grid.log_mixture(score), background)
    for labelled in answers:
        for scores, is_defect in ((labelled.good, False), (labelled.defective, True)):
            for score in scores:
                label = np.logaddexp(grid.log_label(score, is_defect=is_defect), math.log(BACKGROUND))
                log_MSGWR = log_MSGWR + labelled.weight * label
    return grid.posterior(log_MSGWR)


@dataclass(frozen=True, slots=True)
class _Grid:
    mean_M: NDArray[np.float64]
    deviation_S: NDArray[np.float64]
    gap_G: NDArray[np.float64]
    width_W: NDArray[np.float64]

    @classmethod
    def around(cls, good: GoodScores, *, drifts: bool) -> "_Grid":
        error = math.hypot(good.mean_error, DRIFT * good.unit / UNIT if drifts else 0.0)
        reach = np.linspace(-3.5, 3.5, _MEANS)
        return cls(
            mean_M=good.mean + error * reach,
            deviation_S=good.deviation * np.geomspace(0.4, 2.5, _DEVIATIONS),
            gap_G=_GAPS * good.unit,
            width_W=_WIDTHS * good.unit,
        )

    def log_prior(self, good: GoodScores) -> NDArray[np.float64]:
        mean_M = -0.5 * np.linspace(-3.5, 3.5, _MEANS) ** 2
        ratio_S = (good.deviation / self.deviation_S) ** 2  # scaled inverse chi-squared, by the log of the deviation
        deviation_S = 0.5 * good.freedom * (np.log(ratio_S) - ratio_S)
        first, second = _RATE_SHAPE
        rate_R = first * np.log(_RATES) + (second - 1) * np.log1p(-_RATES)  # by the log of the rate
        shape = (len(self.mean_M), len(self.deviation_S), len(self.gap_G), len(self.width_W), len(_RATES))
        log = mean_M[:, None, None, None, None] + deviation_S[:, None, None, None] + rate_R
        return np.broadcast_to(log, shape)

    def log_good(self, score: float) -> NDArray[np.float64]:
        """Log density of a good capture: [M, S, 1, 1, 1]."""
        mode_MS = self.mean_M[:, None] + MODE_SHIFT * self.deviation_S
        side_MS = np.where(score > mode_MS, 1 - SKEW, 1 + SKEW)
        found_MS = -0.5 * ((score - mode_MS) / (side_MS * self.deviation_S)) ** 2 - np.log(self.deviation_S)
        return (found_MS - 0.5 * math.log(2 * math.pi))[:, :, None, None, None]

    def log_defective(self, score: float) -> NDArray[np.float64]:
        """Log density of a defective capture: [M, 1, G, W, 1]."""
        mean_MG = self.mean_M[:, None] + self.gap_G
        return _log_normal(score, mean_MG[:, :, None], self.width_W)[:, None, :, :, None]

    def log_mixture(self, score: float) -> NDArray[np.float64]:
        """Log density of an unlabelled capture: [M, S, G, W, R]."""
        good, defective = self.log_good(score) + np.log1p(-_RATES), self.log_defective(score) + np.log(_RATES)
        return np.asarray(np.logaddexp(good, defective), np.float64)

    def log_label(self, score: float, *, is_defect: bool) -> NDArray[np.float64]:
        """Log probability of a label by score: [M, S, G, W, R]."""
        good, defective = self.log_good(score) + np.log1p(-_RATES), self.log_defective(score) + np.log(_RATES)
        own = defective if is_defect else good
        return np.asarray(own - np.logaddexp(good, defective), np.float64)

    def posterior(self, log_MSGWR: NDArray[np.float64]) -> MixturePosterior:
        parts = np.broadcast_arrays(
            self.mean_M[:, None, None, None, None],
            self.deviation_S[:, None, None, None],
            self.mean_M[:, None, None, None, None] + self.gap_G[:, None, None],
            self.width_W[:, None],
            _RATES,
        )
        weight_Q = np.exp(log_MSGWR - logsumexp(log_MSGWR)).ravel()
        return MixturePosterior(weight_Q, *(np.ascontiguousarray(part).ravel() for part in parts))


def _counted(scores: Sequence[float], unit: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count scores that are nearly equal together."""
    step = STEP * unit / UNIT
    found, counts = np.unique(np.round(np.asarray(scores, np.float64) / step), return_counts=True)
    return found * step, counts.astype(np.float64)


def _log_normal(score: float, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-0.5 * ((score - mean) / deviation) ** 2 - np.log(deviation) - 0.5 * math.log(2 * math.pi))


def _quantiles(value_Q: NDArray[np.float64], weight_Q: NDArray[np.float64], at: Sequence[float]) -> list[float]:
    values, places_Q = np.unique(value_Q, return_inverse=True)  # many points differ in what the value does not hold
    weights = np.bincount(places_Q, weight_Q)
    middle = np.cumsum(weights) - weights / 2
    return [float(np.interp(one, middle, values)) for one in at]
