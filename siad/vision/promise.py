"""What may be said of a false-reject rate, and what more normals would allow. Pure.

A threshold at a conformal quantile of n held-out normals keeps its budget for a further good part, whatever the
distribution, if that part is like them. It holds on average over draws of normals: one draw's true rate scatters about
it, the more the fewer normals there are. Feature memory and template hold out every normal in turn and then judge by a
memory of all: of that there is no such theorem (of the jackknife+, its nearest kin, one that guarantees no more than
twice the budget: Barber et al. 2021, theorem 1), so there the sentence says what to expect and no more, and
``benchmarks/coverage.py`` shows how it is kept.

Sources: Vovk, Gammerman and Shafer 2005 (split conformal prediction); Vovk 2015 (cross-conformal predictors); Barber,
Candes, Ramdas and Tibshirani 2021, arXiv:1905.02928 (the jackknife+).
"""

import math

from siad.contracts.fit_settings import BUDGET
from siad.contracts.manifest import Manifest


def normals_needed(budget: float) -> int:
    """How many held-out normals a promise of ``budget`` in (0, 1) needs: the least n with 1 / (n + 1) <= budget."""
    return math.ceil(1 / budget - 1e-9) - 1


def promise_of(manifest: Manifest) -> str:
    """What a teacher's manifest allows to say; empty where it does not say what budget was asked for."""
    budget = dict(manifest.metrics).get(BUDGET)
    if budget is None:
        return ""
    return say_promise(budget=budget, held_out=len(manifest.held_out_scores), promised=manifest.promised_false_reject)


def say_promise(*, budget: float, held_out: int, promised: float | None) -> str:
    """One sentence on what the line may expect of good parts, and what would allow more.

    Args:
        budget: share of good parts that may be rejected, in (0, 1), as the operator asked.
        held_out: normals that were scored by a teacher which had not seen them.
        promised: what the manifest promises; None where they were too few.
    """
    if promised is not None:
        return (
            f"expect at most {promised:.2%} of good parts like these {held_out} normals to be rejected, as a mean over "
            "draws of normals; this draw's own rate may lie over it"
        )
    least = 1 / (held_out + 1)
    return (
        f"a false-reject rate of {budget:.2%} can't be promised: {held_out} held-out normals allow nothing under "
        f"{least:.2%}; the threshold is an estimate. Send {normals_needed(budget)} normals, or ask for {least:.2%}"
    )
