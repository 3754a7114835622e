"""The false-reject rate that a teacher guarantees, in words.

A threshold at a conformal quantile of n held-out normals keeps its budget for a further good part, whatever the
distribution, if that part is like them. This holds on average over draws of normals: the true rate of one draw scatters
about it, the more the fewer normals there are. Feature memory scores every normal with itself left out and then serves
with a memory of all: for that there is no such theorem (of the jackknife+, the nearest method, one that guarantees at
most twice the budget: Barber et al. 2021, theorem 1). So the sentence states an expectation, and
``benchmarks/coverage.py`` measures how it is kept.

Sources: Vovk, Gammerman and Shafer 2005 (split conformal prediction); Vovk 2015 (cross-conformal predictors); Barber,
Candes, Ramdas and Tibshirani 2021, arXiv:1905.02928 (the jackknife+).
"""

import math

from siad.contracts.fit_settings import BUDGET
from siad.contracts.manifest import Manifest


def normals_needed(budget: float) -> int:
    """Number of held-out normals that a budget in (0, 1) needs.

    The least n with 1 / (n + 1) <= budget.
    """
    return math.ceil(1 / budget - 1e-9) - 1


def promise_of(manifest: Manifest) -> str:
    """Describe the guarantee of a teacher.

    Empty where its manifest does not record the budget.
    """
    budget = dict(manifest.metrics).get(BUDGET)
    if budget is None:
        return ""
    return describe_promise(
        budget=budget, held_out=len(manifest.held_out_scores), promised=manifest.promised_false_reject
    )


def describe_promise(*, budget: float, held_out: int, promised: float | None) -> str:
    """Describe the false-reject rate to expect.

    With the number of normals that the budget needs, where it can't be guaranteed.

    Args:
        budget: share of good parts that may be rejected, in (0, 1), as the line asked.
        held_out: normals that were scored by a teacher which was not fitted on them.
        promised: the rate in the manifest; None where the normals were too few.
    """
    if promised is not None:
        return (
            f"expect at most {promised:.2%} of good parts like these {held_out} normals to be rejected, on average "
            "over draws of normals; the rate of this draw may be higher"
        )
    least = 1 / (held_out + 1)
    return (
        f"a false-reject rate of {budget:.2%} can't be guaranteed: {held_out} held-out normals allow nothing under "
        f"{least:.2%}; the threshold is an estimate. Send {normals_needed(budget)} normals, or ask for {least:.2%}"
    )
