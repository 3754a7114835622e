"""Whether a detector decides well, in words. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from siad.apps.lab.evaluate.scored import ScoredSet

GAP_MAX: Final = 0.1  # misses that a threshold may have over those at the true quantile
RANKING_MISSES_MAX: Final = 0.25  # misses at the true quantile from which on the scores are to blame
REJECTS_MAX: Final = 1.5  # times the budget, besides one image

TOO_MANY_REJECTS: Final = (
    "it rejects more than the budget: good parts vary more than the normals show. Add normals of the kind that is "
    "rejected"
)
TOO_HIGH: Final = "its threshold is too high for these images. Add normals, or answer captures near the threshold"
NOT_SEPARATED: Final = (
    "the scores do not separate these defects from good images at any threshold. Try more normals, --region, a larger "
    "--input-px or another --method"
)
NO_GOOD_OR_NO_DEFECTS: Final = "not measured: the set has no good or no defective test images"


def describe_decision(figures: Mapping[str, float | None], scored: ScoredSet, *, budget: float) -> dict[str, Any]:
    """Say whether the decision works, and what keeps it from it.

    Args:
        figures: of ``EvaluationFigures.to_json``, their mean over draws.
        scored: test images of one draw.
        budget: share of good images that may be rejected.

    Returns:
        ``works``, None where the set can't tell, and ``text``.
    """
    rejected, missed, at_best = (figures[name] for name in ("false_rejects", "misses", "misses_at_quantile"))
    goods, defects = len(scored.scores(defects=False)), len(scored.scores(defects=True))
    if rejected is None or missed is None or at_best is None:
        return {"works": None, "text": f"decision: {NO_GOOD_OR_NO_DEFECTS}"}
    counts = (
        f"{missed:.1%} of {defects} defective images are missed, {rejected:.1%} of {goods} unseen good ones rejected "
        f"(budget {budget:.1%}); at the good images' true {1 - budget:.1%} quantile {at_best:.1%} would be missed"
    )
    faults = []
    if rejected > REJECTS_MAX * budget + 1 / goods:
        faults.append(TOO_MANY_REJECTS)
    if missed - at_best > GAP_MAX:
        faults.append(TOO_HIGH)
    if at_best > RANKING_MISSES_MAX:
        faults.append(NOT_SEPARATED)
    if not faults:
        return {"works": True, "text": f"the decision works: {counts}"}
    return {"works": False, "text": f"the decision does not work: {counts}. Reason: {'; '.join(faults)}"}
