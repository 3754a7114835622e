"""The false-reject rate of a teacher, in words.

A threshold at a conformal quantile of n held-out normals keeps its budget for a further good part, whatever the
distribution, if that part is like them. This holds on average over draws of normals: the true rate of one draw scatters
about it, the more the fewer normals there are. Feature memory scores every normal with itself left out and then serves
with a memory of all: for that there is no such theorem (of the jackknife+, the nearest method, one that guarantees at
most twice the budget: Barber et al. 2021, theorem 1). So the sentence states an expectation with an interval, and
``benchmarks/coverage.py`` and ``benchmarks/calibration.py`` measure how they are kept.

Sources: Vovk, Gammerman and Shafer 2005 (split conformal prediction); Vovk 2015 (cross-conformal predictors); Barber,
Candes, Ramdas and Tibshirani 2021, arXiv:1905.02928 (the jackknife+).
"""

import math

from siad.contracts.fit_settings import BUDGET, TIGHTENS, TIGHTEST_BUDGET
from siad.contracts.manifest import Manifest, RateEstimate
from siad.vision.calibration import INTERVAL, normals_to_promise
from siad.vision.nearest_teacher import describe_nearest


def promise_of(manifest: Manifest) -> str:
    """Describe a teacher's threshold and its false rejects.

    Empty where its manifest does not record the budget.
    """
    asked = dict(manifest.metrics).get(BUDGET)
    if asked is None:
        return ""
    promised, rate = manifest.promised_false_reject, manifest.false_rejects
    held_out = len(manifest.held_out_scores)
    if promised is not None:
        sentence = _describe_promise(promised, held_out) + ("" if rate is None else f"; {_describe_interval(rate)}")
    elif rate is None:
        sentence = f"threshold estimated for a false-reject rate of {asked:.2%} from {held_out} held-out normals"
    else:
        sentence = _describe_estimate(rate, held_out)
    start = describe_nearest(manifest.nearest)
    told = ". ".join([sentence, *([f"{start[0].upper()}{start[1:]}"] if start else [])])
    return f"threshold {manifest.image_threshold:.4g}: {told}. {_describe_next(manifest, asked)}".rstrip()


def advice_of(manifest: Manifest) -> str:
    """Say what would sharpen the estimate of a teacher's false rejects.

    Empty where nothing would, or where its manifest does not record the budget.
    """
    asked = dict(manifest.metrics).get(BUDGET)
    return "" if asked is None else _describe_next(manifest, asked)


def _describe_promise(promised: float, held_out: int) -> str:
    return (
        f"expect at most {promised:.2%} of good parts like these {held_out} normals to be rejected, on average over "
        "draws of normals; the rate of this draw may be higher"
    )


def _describe_estimate(rate: RateEstimate, held_out: int) -> str:
    return (
        f"expect about {rate.estimated:.1%} of good parts to be rejected, for a budget of {rate.budget:.2%}; "
        f"{_describe_interval(rate)}, since {held_out} held-out normals say no more"
    )


def _describe_interval(rate: RateEstimate) -> str:
    return f"with {INTERVAL:.0%} probability {rate.low:.1%} to {rate.high:.1%}"


def _describe_next(manifest: Manifest, asked: float) -> str:
    """Say what would sharpen the estimate; empty where nothing would."""
    held_out = len(manifest.held_out_scores)
    if manifest.promised_false_reject is not None:
        is_loose = TIGHTENS in dict(manifest.metrics) and manifest.promised_false_reject > TIGHTEST_BUDGET
        return f"More normals tighten the budget, to {TIGHTEST_BUDGET:.2%} at last" if is_loose else ""
    needed = normals_to_promise(asked)
    used = len(set(manifest.normals).difference(manifest.left_out))  # captures of the stream may be left out too
    each = max(1.0, used / held_out) if held_out else 1.0  # a method that holds out a third needs three for a score
    more = max(1, math.ceil((needed - held_out) * each - 1e-9))
    normals = "normal" if more == 1 else "normals"
    return f"This is an estimate: {more} more {normals} would allow a promise of {asked:.2%}"
