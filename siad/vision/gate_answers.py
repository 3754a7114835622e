"""Rules of the gate on captures that people corrected. Pure."""

from collections import defaultdict
from collections.abc import Sequence

from siad.contracts.release_evidence import CORRECTED, EvidenceKind, GateEvidence
from siad.vision.gate_rule import (
    GatePolicy,
    RuleFinding,
    count_only,
    is_worse,
    pixel_ap_pairs,
    positions_of,
    rejects,
    take,
)
from siad.vision.ranking import auroc


def compare_corrected(evidence: GateEvidence, policy: GatePolicy) -> RuleFinding:
    """Compare on corrected captures: decisions, order and marks."""
    corrected = positions_of(evidence, *CORRECTED)
    if not corrected:
        return RuleFinding(unknown=("real defects and hard good captures, no corrected capture is held out",))
    objections, proofs, praise, figures = [], [], [], []
    ranks_better = False
    is_defect = [evidence.captures[index].kind is EvidenceKind.DEFECT for index in corrected]
    ours, theirs = (
        [rejected == truth for rejected, truth in zip(rejects(figures_of, corrected), is_defect, strict=True)]
        for figures_of in (evidence.candidate, evidence.serving)
    )
    text = f"decides {sum(ours)} of {len(corrected)} corrected captures right, serving weights {sum(theirs)}"
    praise.append(text)
    lost, won = count_only(theirs, ours), count_only(ours, theirs)
    objections += [text] if is_worse(lost, won, policy.corrected_doubt) else []
    proofs.append(is_worse(won, lost, policy.corrected_proof))
    figures += [("corrected_right", float(sum(ours))), ("corrected_right_serving", float(sum(theirs)))]
    if min(sum(is_defect), len(is_defect) - sum(is_defect)) >= policy.corrected_each_min:
        order = [auroc(is_defect, take(side.scores, corrected)) for side in (evidence.candidate, evidence.serving)]
        text = f"ranks corrected captures with AUROC {order[0]:.3f}, serving weights {order[1]:.3f}"
        objections += [text] if order[0] < order[1] - policy.corrected_auroc_slack else []
        ranks_better = order[0] > order[1] + policy.corrected_auroc_slack
        figures += [("corrected_auroc", order[0]), ("corrected_auroc_serving", order[1])]
    marks = _compare_marks(evidence, corrected, policy)
    objections += marks.objections
    return RuleFinding(
        objections=tuple(objections),
        praise=(*praise, *marks.praise),
        figures=(*figures, *marks.figures),
        is_proof=(any(proofs) or marks.is_proof) and not objections,
        is_leaning=(marks.is_leaning or (ranks_better and not marks.figures)) and not objections,
    )


def _compare_marks(evidence: GateEvidence, corrected: Sequence[int], policy: GatePolicy) -> RuleFinding:
    """Compare pixel AP on each corrected mask and over all together.

    A region of a few captures that wrongly scores as the strongest defects do leaves most masks better, and all pixels
    together worse.
    """
    pairs = pixel_ap_pairs(evidence, corrected)
    if not pairs:
        return RuleFinding()
    worse, better = sum(one < other for one, other in pairs), sum(one > other for one, other in pairs)
    ours, theirs = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    text = f"pixel AP {ours:.3f} on {len(pairs)} corrected masks, serving weights {theirs:.3f}"
    objections = [text] if ours < theirs and is_worse(worse, better, policy.corrected_doubt) else []
    figures = [("corrected_pixel_ap", ours), ("corrected_pixel_ap_serving", theirs)]
    pooled = (evidence.candidate.corrected_pixel_ap, evidence.serving.corrected_pixel_ap)
    change = 0.0 if pooled[0] is None or pooled[1] is None else pooled[0] - pooled[1]
    if change < -policy.corrected_pooled_slack:
        objections.append(f"pixel AP {pooled[0]:.3f} over all corrected captures together, serving {pooled[1]:.3f}")
    return RuleFinding(
        objections=tuple(objections),
        praise=(text,),
        figures=(*figures, ("corrected_pooled_change", change)),
        is_proof=ours > theirs and is_worse(better, worse, policy.corrected_proof),
        is_leaning=len(pairs) >= policy.leaning_min and ours > theirs and better > worse and change >= 0,
    )


def compare_families(evidence: GateEvidence, policy: GatePolicy) -> RuleFinding:
    """Object where a family of defects is forgotten.

    The reference is the best that the line had: small losses must not add up over releases. Families that are too
    small to measure are measured together. Cross-fitted captures take no part: a network without the only defect of its
    kind says nothing of what the candidate forgot.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, capture in enumerate(evidence.captures):
        if (
            capture.family
            and not capture.is_cross_fitted
            and None not in (evidence.candidate.pixel_aps[index], evidence.serving.pixel_aps[index])
        ):
            members[capture.family].append(index)
    small = [family for family, indices in members.items() if len(indices) < policy.family_min]
    if small:
        members["other"] = [index for family in small for index in members.pop(family)]
    objections, figures = [], []
    for family, indices in sorted(members.items()):
        pairs = pixel_ap_pairs(evidence, indices)
        ours, theirs = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
        earlier = [best for index in indices if (best := evidence.captures[index].best_pixel_ap) is not None]
        best = max(theirs, sum(earlier) / len(indices)) if len(earlier) == len(indices) else theirs
        figures.append((f"family_{family}", ours))
        if ours < best - policy.forgetting_max:
            objections.append(f"pixel AP {ours:.3f} on the {len(indices)} defects of family {family}, best {best:.3f}")
    return RuleFinding(objections=tuple(objections), figures=tuple(figures))
