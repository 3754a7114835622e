"""Which of some normals are odd: good images that somebody picked by hand are now and then not good. Pure.

Left in, one defect among ten normals teaches that it is usual, and raises the threshold over its like. Left out, a good
part of a rare kind is lost to the line, which costs more; so only what is far out goes.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

SHARE_MAX: Final = 0.2  # of the normals that may be left out; where more look odd, it is the line that varies
NORMALS_MIN: Final = 5  # fewer say nothing about what is usual
ALPHA: Final = (
    1e-3  # chance that anything at all is left out of normals the roots of whose scores are normally distributed
)
_SPREAD_MIN: Final = 0.05  # of the root over the median's: normals that are nearly equal make no small difference odd


def find_odd(scores_N: Sequence[float] | NDArray[np.float64]) -> list[int]:
    """Find the scores that are too high to belong to the others.

    The generalised extreme Studentised deviate, on the upper side: the highest score is held against mean and deviation
    of all that are left, taken out, and so on; the largest number of scores for which the test still fails is out. So
    two defects do not hide each other. It looks at square roots: scores of normals are skewed, and of eight draws of
    ten solar cells the scores themselves would condemn a good cell in one, and its whole kind with it; logarithms
    would condemn hardly a real defect.

    Args:
        scores_N: image scores of normals, each by a detector that was not fitted on it; 0 or more.

    Returns:
        Their positions, ascending; at most a fifth of all, none of fewer than five.

    Source:
        Rosner 1983, Percentage points for a generalized ESD many-outlier procedure, Technometrics 25(2), eq. 2.5.
    """
    scores = np.asarray(scores_N, np.float64)
    count = len(scores)
    if count < NORMALS_MIN or float(np.median(scores)) <= 0:
        return []
    order = np.argsort(-scores, kind="stable")
    roots = np.sqrt(np.maximum(scores, 0) / np.median(scores))
    odd = 0
    for taken in range(1, int(count * SHARE_MAX) + 1):
        left = roots[order[taken - 1 :]]
        deviate = float(left[0] - left.mean()) / max(float(left.std(ddof=1)), _SPREAD_MIN)
        if deviate > _critical(len(left)):
            odd = taken
    return sorted(order[:odd].tolist())


def _critical(count: int) -> float:
    """What the highest of ``count`` normally distributed scores deviates by with probability ``ALPHA``."""
    quantile = float(student_t.ppf(1 - ALPHA / count, count - 2))
    return (count - 1) * quantile / math.sqrt((count - 2 + quantile**2) * count)
