"""Figures of image scores, and the threshold that keeps a false-reject budget.

Shape suffixes: N = images.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from siad.vision.ranking import auroc


def image_auroc(scores_N: Sequence[float] | NDArray[np.float64], is_defect_N: Sequence[bool]) -> float:
    """Probability that a defective image scores higher than a good one.

    Ties count half.

    Raises:
        ValueError: all images are good, or all defective.
    """
    if len(set(is_defect_N)) != 2:
        msg = f"image AUROC of {len(is_defect_N)} images needs good and defective ones"
        raise ValueError(msg)
    return auroc(is_defect_N, scores_N)


def false_reject_rate(scores_N: Sequence[float] | NDArray[np.float64], *, threshold: float) -> float:
    """Share of good images that score at or over ``threshold``.

    0..1; NaN of no images.
    """
    return float(np.mean(np.asarray(scores_N) >= threshold)) if len(scores_N) else math.nan


def conformal_threshold(scores_N: Sequence[float] | NDArray[np.float64], *, budget: float) -> float | None:
    """Threshold that rejects at most ``budget`` of further good images.

    It holds whatever the distribution of their scores.

    The k-th smallest of n held-out scores, k = ceil((n + 1)(1 - budget)): a further exchangeable score exceeds it with
    probability at most ``budget``. The threshold is just over it, because a score equal to it is a defect.

    Args:
        scores_N: image scores of normals that the detector was not fitted on.
        budget: share of good images that may be rejected, in (0, 1).

    Returns:
        The threshold; None where n is too small to guarantee ``budget`` (under 1 / (n + 1)).

    Source:
        Vovk, Gammerman and Shafer 2005, split (inductive) conformal prediction; Lei et al. 2018, eq. 7.
    """
    rank = math.ceil((len(scores_N) + 1) * (1 - budget) - 1e-9)  # 1e-9: 20 * 0.95 must be 19
    if rank > len(scores_N):
        return None
    kth = float(np.sort(np.asarray(scores_N, np.float64))[rank - 1])
    return float(np.nextafter(np.float32(kth), np.float32(np.inf)))


def choose_threshold(scores_N: Sequence[float] | NDArray[np.float64], *, budget: float) -> tuple[float, float | None]:
    """Choose the guaranteed threshold, or else an estimate.

    The estimate is where a normal distribution of the scores puts a further one with probability ``budget`` over it (a
    prediction bound: Student's t, so few normals give a wide margin), and never under the highest score.

    Args:
        scores_N: image scores of at least two normals that the detector was not fitted on.
        budget: share of good images that may be rejected, in (0, 1).

    Returns:
        The threshold, and the budget if it is guaranteed, else None.

    Source:
        Hahn and Meeker 1991, Statistical Intervals, section 4.7 (the bound).
    """
    guaranteed = conformal_threshold(scores_N, budget=budget)
    if guaranteed is not None:
        return guaranteed, budget
    scores = np.asarray(scores_N, np.float64)
    count = len(scores)
    margin = float(stdtrit(count - 1, 1 - budget)) * math.sqrt(1 + 1 / count) * float(scores.std(ddof=1))
    estimated = max(float(scores.mean()) + margin, float(scores.max()))
    return float(np.nextafter(np.float32(estimated), np.float32(np.inf))), None
