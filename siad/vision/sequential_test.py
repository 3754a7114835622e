"""Tests of a mean that stay valid at every look. Pure.

A bet against a hypothesis: while it is true, the expected wealth never grows, so by Ville's inequality the probability
that wealth ever reaches 1 / a is at most a, however often one looks (Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting", 2024). Wealth here is the mean over some fixed bets, so it depends on counts
alone, not on the order in which observations arrive.
"""

import math
from collections.abc import Mapping
from typing import Final

BETS: Final = (0.1, 0.3, 0.6, 0.9)  # shares of the largest bet that can't lose all


def log_wealth_above(counts: Mapping[float, int], mean: float, *, lowest: float) -> float:
    """Evidence that the mean is above ``mean``: log of the wealth.

    Args:
        counts: how often each value was observed.
        mean: the hypothesis is that the true mean is at most this; above ``lowest``.
        lowest: value that an observation may have.
    """
    logs = [
        math.fsum(number * math.log1p(share * (value - mean) / (mean - lowest)) for value, number in counts.items())
        for share in BETS
    ]
    top = max(logs)
    return top + math.log(math.fsum(math.exp(one - top) for one in logs) / len(logs))


def log_wealth_below(counts: Mapping[float, int], mean: float, *, highest: float) -> float:
    """Evidence that the mean is below ``mean``; as ``log_wealth_above``."""
    return log_wealth_above({-value: number for value, number in counts.items()}, -mean, lowest=-highest)
