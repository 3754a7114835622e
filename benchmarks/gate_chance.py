"""Shares of good and of bad candidates that the gate accepts.

    python -m benchmarks.gate_chance

Candidates are drawn: changes of merit on 12 hosts of synthetic defects, with a true mean and a standard error, and
changes of pixel AP on corrected masks, with a true mean in units of their own deviation. The rules on both are those of
``siad.vision.gate``; rank, false rejects, decisions and families take no part.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import binom

from siad.vision.gate_rule import DEFAULT_POLICY

DRAWS, HOSTS = 20_000, 12
SCATTERS = (0.003, 0.018)  # two models that are nearly one, and two fits on other captures
TRUTHS = (
    (0.01, 0.5),
    (0.0, 0.5),
    (-0.006, 0.5),
    (0.0, 0.0),
    (-0.005, 0.0),
    (-0.01, -0.25),
    (-0.01, -0.5),
    (-0.02, -0.5),
)
Bools = NDArray[np.bool_]


def accepted(merit: float, scatter: float, marks: float, *, masks: int, leans: bool) -> float:
    """Share accepted.

    Args:
        merit: true change on synthetic defects.
        scatter: standard error of its estimate.
        marks: true change of pixel AP on a mask, in deviations.
        masks: corrected masks that neither model learned.
        leans: whether masks that lean the candidate's way outweigh a loss within chance.
    """
    rng, policy = np.random.default_rng(0), DEFAULT_POLICY
    hosts = rng.normal(merit, scatter * HOSTS**0.5, (DRAWS, HOSTS))
    gain, error = hosts.mean(1), hosts.std(1, ddof=1) / HOSTS**0.5
    is_beyond: Bools = (gain < 0) & (-gain > -stdtrit(HOSTS - 1, policy.doubt) * error)
    is_over: Bools = (gain < -policy.merit_loss_max) & ~is_beyond
    changes = rng.normal(marks, 1.0, (DRAWS, masks))
    better, mean = (changes > 0).sum(1), changes.mean(1)
    worse = masks - better
    objects = (mean < 0) & (worse > better) & (binom.sf(worse - 1, masks, 0.5) <= policy.corrected_doubt)
    proves = (mean > 0) & (better > worse) & (binom.sf(better - 1, masks, 0.5) <= policy.corrected_proof)
    leaning = (mean > 0) & (better > worse) & (leans and masks >= policy.leaning_min)
    return float(np.mean(~objects & (proves | (~is_beyond & (~is_over | leaning)))))


def main() -> None:
    """Print the table."""
    print("scatter  merit   marks   3 masks   12 masks   12 masks, leaning")
    for scatter in SCATTERS:
        for merit, marks in TRUTHS:
            shares = [
                accepted(merit, scatter, marks, masks=masks, leans=leans)
                for masks, leans in ((3, False), (12, False), (12, True))
            ]
            print(f"{scatter:.3f}   {merit:+.3f}  {marks:+.2f}   " + "      ".join(f"{share:.2f}" for share in shares))


if __name__ == "__main__":
    main()
