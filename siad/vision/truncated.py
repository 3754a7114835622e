"""Quantile of good images' scores, from the lower part of a stream.

Most captures of a stream are good, and the defective ones score high. So the lower part of the scores is that of good
images alone, cut off on the right. Scores of good images are close to log-normal: mean and deviation of their logs are
estimated by maximum likelihood under right truncation, and give the quantile that no good image was seen to reach.

Source: Cohen 1959, Simplified estimators for the normal distribution when samples are singly censored or truncated.
Measured with the refits of docs/adr/0033-gate.md.

Shape suffixes: N = captures, K = those of the lower part.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtri

LOWER_SHARE: Final = 0.6  # of the scores; up to this the stream may hold defective captures without effect
CAPTURES_MIN: Final = 30  # fewer give a quantile that scatters by a factor
_DEVIATIONS: Final = (0.02, 0.8)  # of log scores; a flat lower part would give any
# Deviations from the mean of the good ones up to the cut. If some captures are defective, the lower part is more than
# this share of the good ones; so the cut is at least their quantile of that share.
_APART: Final = (float(ndtri(LOWER_SHARE)), 4.0)

Floats = NDArray[np.float64]


def stream_threshold(scores_N: Sequence[float], *, budget: float) -> float | None:
    """Estimate the score that a share ``budget`` of good captures exceeds.

    Args:
        scores_N: image scores of captures of the stream that the detector was not fitted on.
        budget: share of good captures that may be rejected, in (0, 1).

    Returns:
        The raw score; None of fewer than ``CAPTURES_MIN`` captures, or where lower scores are not above 0.
    """
    ordered_N = np.sort(np.asarray(scores_N, np.float64))
    count = int(len(ordered_N) * LOWER_SHARE)
    if len(ordered_N) < CAPTURES_MIN or not ordered_N[0] > 0 or not math.isfinite(ordered_N[-1]):
        return None
    logs_K, cut = np.log(ordered_N[:count]), math.log(ordered_N[count])

    def loss(parameters: Floats) -> float:
        apart, deviation = float(parameters[0]), math.exp(float(parameters[1]))
        z_K = (logs_K - cut) / deviation + apart
        return float(0.5 * np.mean(z_K**2) + math.log(deviation) + log_ndtr(apart))

    found = minimize(loss, (1.0, math.log(0.3)), method="L-BFGS-B", bounds=(_APART, np.log(_DEVIATIONS)))
    apart, deviation = float(found.x[0]), math.exp(float(found.x[1]))
    return math.exp(cut + (float(ndtri(1 - budget)) - apart) * deviation)
