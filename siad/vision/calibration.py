"""Threshold of a teacher, and the false-reject rate to expect.

The threshold is the best estimate of the score that a share ``budget`` of further good images exceeds. Scores of good
images are close to log-normal, so with h the logs of the held-out scores,

    threshold = exp(mean(h) - bias + z s),    z = the standard normal quantile of 1 - budget.

**Bias.** Feature memory scores each normal with itself left out, so with less than it serves with, and these scores are
higher than those of unseen good images: by 0.13 in log on twelve sets of images and on six at hand
(``LEAVE_ONE_OUT_BIAS``). The fit of a line does not tell its own bias: docs/calibration.md has what was tried.

**Deviation.** The deviation of ten scores is uncertain by a quarter, and unseen images scatter more. So it is combined
with that of unseen good images of other lines (``PRIOR_DEVIATION``, which counts as ``PRIOR_FREEDOM`` degrees of
freedom), as under a conjugate prior.

**Interval.** The true rate at the threshold is unknown, because mean, deviation and bias are. The interval holds the
middle 90% of the rates that follow from the posterior of the three.

**Start.** Where a teacher of parts like these has judged a stream, its threshold T and the share r of good captures
over it move the mean: by the share ``weight_of`` of the way from mean(h) - bias + z_r s to log T.

From ``PROMISED_MIN`` held-out normals on, if they allow the budget, the threshold is the conformal quantile instead. It
promises the budget whatever the distribution. Of fewer normals it is their highest score, and misses many defects.

Sources: Gelman et al. 2013, Bayesian Data Analysis, section 3.3 (the posterior); Vovk, Gammerman and Shafer 2005 (the
conformal quantile; its rate has a beta distribution: Vovk 2012, arXiv:1209.2673, section 3).

Shape suffixes: N = normals, S = deviations and M = means in a grid over the posterior.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, chdtri, ndtr, ndtri

from siad.contracts.manifest import NearestTeacher, RateEstimate
from siad.vision.nearest_teacher import weight_of
from siad.vision.score_mixture import UNIT, GoodScores
from siad.vision.scores import conformal_threshold

PROMISED_MIN: Final = 50  # held-out normals; with 20 solar cells the conformal quantile missed 36%, the true one 9%
INTERVAL: Final = 0.9  # probability of the interval
LEAVE_ONE_OUT_BIAS: Final = 0.13  # of a log score
BIAS_ERROR: Final = 0.2  # its deviation between sets and draws
PRIOR_DEVIATION: Final = 0.4  # of log scores
PRIOR_FREEDOM: Final = 12.0
_RATIO_MAX: Final = 1e3  # of the highest to the lowest score; beyond it logs would be those of noise near 0
_AT: Final = ((1 - INTERVAL) / 2, 0.5, (1 + INTERVAL) / 2)
_GRID: Final = (np.arange(60) + 0.5) / 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A threshold, and the share of good images that it rejects."""

    threshold: float  # raw score
    promised: float | None  # the budget, where it is promised
    rate: RateEstimate


def calibrate(
    scores_N: Sequence[float], *, budget: float, is_left_one_out: bool = False, nearest: NearestTeacher | None = None
) -> Calibration:
    """Choose a teacher's threshold by a false-reject budget.

    Args:
        scores_N: image scores of at least two normals that the detector was not fitted on.
        budget: share of good images that may be rejected, in (0, 1).
        is_left_one_out: whether each normal was left out alone, and the detector serves with all of them.
        nearest: teacher that the threshold starts from; None, or one that was declined: the normals alone tell.

    Raises:
        ValueError: fewer than two scores, or a score that is not finite.
    """
    scores = np.asarray(scores_N, np.float64)
    if len(scores) < 2 or not np.isfinite(scores).all():
        msg = f"a threshold needs two finite scores of held-out normals, not {scores.tolist()}; fit on more normals"
        raise ValueError(msg)
    promised = conformal_threshold(scores, budget=budget) if len(scores) >= PROMISED_MIN else None
    if promised is None:
        return _estimate(scores, budget, _further_scores(scores, is_left_one_out=is_left_one_out, nearest=nearest))
    over = int(np.count_nonzero(scores >= promised))
    low, middle, high = (float(rate) for rate in betaincinv(over + 1, len(scores) - over, _AT))
    rate = RateEstimate(budget=budget, estimated=middle, low=low, high=high)
    return Calibration(threshold=promised, promised=budget, rate=rate)


def is_log_scale(scores_N: Sequence[float]) -> bool:
    """Whether to take logs: scores are over 0, of one size."""
    return min(scores_N) > 0 and max(scores_N) < _RATIO_MAX * min(scores_N)


def good_scores(
    scores_N: Sequence[float], *, is_left_one_out: bool, nearest: NearestTeacher | None = None
) -> GoodScores:
    """Describe good scores as held-out normals show them.

    Args:
        scores_N: as for ``calibrate``.
        is_left_one_out: as for ``calibrate``.
        nearest: as for ``calibrate``.
    """
    posterior = _further_scores(np.asarray(scores_N, np.float64), is_left_one_out=is_left_one_out, nearest=nearest)
    return GoodScores(
        mean=posterior.mean,
        mean_error=math.hypot(posterior.mean_error, posterior.deviation / math.sqrt(posterior.count)),
        deviation=posterior.deviation,
        freedom=posterior.freedom,
        unit=UNIT if is_log_scale(scores_N) else posterior.deviation,
    )


def score_exceeded_by(scores_N: Sequence[float], rate: float, *, is_left_one_out: bool) -> float:
    """Estimate the raw score that a share of good images exceeds.

    By the normals alone; 0 for scores without logs.

    Args:
        scores_N: as for ``calibrate``.
        rate: the share, in (0, 1).
        is_left_one_out: as for ``calibrate``.
    """
    if not is_log_scale(scores_N):
        return 0.0
    return math.exp(_log_posterior(np.log(scores_N), is_left_one_out=is_left_one_out).exceeded_by(rate))


def normals_to_promise(budget: float) -> int:
    """Count the held-out normals that a promise of a budget needs.

    The least n with 1 / (n + 1) <= budget, in (0, 1), and at least ``PROMISED_MIN``.
    """
    return max(PROMISED_MIN, math.ceil(1 / budget - 1e-9) - 1)


def _further_scores(
    scores_N: NDArray[np.float64], *, is_left_one_out: bool, nearest: NearestTeacher | None
) -> "_Posterior":
    """Distribution of further good scores, or of their logs."""
    if not is_log_scale(scores_N.tolist()):
        return _posterior(scores_N)
    posterior = _log_posterior(np.log(scores_N), is_left_one_out=is_left_one_out)
    if nearest is None or not nearest.threshold:
        return posterior
    apart = math.log(nearest.threshold) - posterior.exceeded_by(nearest.rate)
    return replace(posterior, mean=posterior.mean + weight_of(nearest.distance) * apart)


def _estimate(scores_N: NDArray[np.float64], budget: float, posterior: "_Posterior") -> Calibration:
    cut = posterior.exceeded_by(budget)
    threshold = math.exp(cut) if is_log_scale(scores_N.tolist()) else cut
    low, middle, high = posterior.rates_over(cut)
    return Calibration(
        threshold=float(np.nextafter(np.float32(threshold), np.float32(np.inf))),
        promised=None,
        rate=RateEstimate(budget=budget, estimated=middle, low=low, high=high),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Posterior:
    """Distribution of further values: normal, of uncertain mean and deviation."""

    mean: float
    deviation: float
    count: int  # values that gave the mean
    freedom: float  # degrees of freedom of the deviation
    mean_error: float  # deviation of the mean, besides that of its count

    def exceeded_by(self, rate: float) -> float:
        """Value that a share of further values exceeds."""
        return self.mean + float(ndtri(1 - rate)) * self.deviation

    def rates_over(self, cut: float) -> tuple[float, float, float]:
        """Share of further values over ``cut``: low end, median, high end."""
        deviation_S = self.deviation * np.sqrt(self.freedom / chdtri(self.freedom, _GRID))
        error_S = np.sqrt(deviation_S**2 / self.count + self.mean_error**2)
        mean_SM = self.mean + error_S[:, None] * ndtri(_GRID)
        low, middle, high = np.quantile(ndtr((mean_SM - cut) / deviation_S[:, None]), _AT)
        return float(low), float(middle), float(high)


def _log_posterior(logs_N: NDArray[np.float64], *, is_left_one_out: bool) -> _Posterior:
    """Estimate for logs of scores, whose deviation on other lines is known."""
    own = len(logs_N) - 1
    freedom = own + PRIOR_FREEDOM
    variance = (own * float(logs_N.var(ddof=1)) + PRIOR_FREEDOM * PRIOR_DEVIATION**2) / freedom
    return _Posterior(
        mean=float(logs_N.mean()) - (LEAVE_ONE_OUT_BIAS if is_left_one_out else 0.0),
        deviation=math.sqrt(variance),
        count=len(logs_N),
        freedom=freedom,
        mean_error=BIAS_ERROR,
    )


def _posterior(values_N: NDArray[np.float64]) -> _Posterior:
    """Estimate for scores whose unit no other line shares."""
    smallest = 1e-4 * max(1e-3, float(np.abs(values_N).max()))  # equal normals have no deviation
    return _Posterior(
        mean=float(values_N.mean()),
        deviation=max(float(values_N.std(ddof=1)), smallest),
        count=len(values_N),
        freedom=len(values_N) - 1.0,
        mean_error=0.0,
    )
