"""Threshold of a candidate whose scores replace another model's.

The share of rejects on the line must not change by itself: what changes is which images are rejected. So the
candidate's threshold lies among its scores of some captures where the other threshold lies among the other model's
scores of the same captures. Scores of the stream are used, without labels; keeping the old threshold instead gave up to
.40 of false rejects on five sets of images.

Shape suffixes: N = captures.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def match_threshold(candidate_N: Sequence[float], serving_N: Sequence[float], *, threshold: float) -> float:
    """Carry a threshold over by its rank on the same captures.

    Between two scores it lies at the same part of the way in log, and beyond the last one at the same ratio to it.
    Equal scores therefore give the same threshold.

    Args:
        candidate_N: scores of the candidate, over 0.
        serving_N: scores of the model that serves, over 0, of the same captures.
        threshold: of the model that serves, over 0.

    Returns:
        The candidate's threshold; ``threshold`` itself without captures.
    """
    if not len(serving_N):
        return threshold
    candidate, serving = _ascending_logs(candidate_N), _ascending_logs(serving_N)
    cut = math.log(threshold)
    below = int(np.count_nonzero(serving < cut))
    if below in (0, len(serving)):
        at = min(below, len(serving) - 1)
        return math.exp(candidate[at] + cut - serving[at])
    low, high = below - 1, below
    gap = serving[high] - serving[low]
    part = (cut - serving[low]) / gap if gap > 0 else 1.0
    return math.exp(candidate[low] + part * (candidate[high] - candidate[low]))


def raise_to_budget(threshold: float, goods_N: Sequence[float], *, rejects_max: int) -> float:
    """Raise a threshold until it rejects few enough good images.

    Args:
        threshold: raw score.
        goods_N: scores of images known to be good, which nothing learned from.
        rejects_max: how many of them may be rejected.
    """
    scores = np.sort(np.asarray(goods_N, np.float64))[::-1]
    if len(scores) <= rejects_max or scores[rejects_max] < threshold:
        return threshold
    return float(np.nextafter(np.float32(scores[rejects_max]), np.float32(np.inf)))


def _ascending_logs(scores_N: Sequence[float]) -> NDArray[np.float64]:
    return np.sort(np.log(np.maximum(np.asarray(scores_N, np.float64), 1e-9)))
