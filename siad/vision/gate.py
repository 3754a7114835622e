"""Gate for every release of weights. Pure.

No release may make a line worse, as far as that can be known. Candidate and serving weights score the same held-out
captures and the same synthetic defects; each rule below objects, and one objection refuses the candidate. What could
not be compared is listed in the decision. Only corrected captures can outweigh objections, since they alone are labels:
beyond chance they outweigh rank and probes, and where they lean the candidate's way, a loss on probes within chance.

- **rank**: Spearman's correlation of the image scores on held-out captures of the stream.
- **probes**: image AUROC + pixel AP on synthetic defects in held-out good captures. A fall refuses where it is beyond
  chance, or over a bound together with what earlier releases lost.
- **missed probes**: at its own threshold the candidate must not miss clearly more of them.
- **false rejects**: on known good captures (held-out normals, and captures drawn at random and confirmed good) the
  budget holds beyond chance, and of these and pseudo-normals (the lowest scores of the stream) no more are rejected
  than by the serving weights, beyond chance.
- **corrections**: decisions, ranking and pixel AP on captures that a person corrected.
- **families**: pixel AP on each family of defects, against the best that the line had.

Reasons and measurements: docs/adr/0033-gate.md, docs/adr/0041-paired-probes.md, docs/adr/0057-answers-outweigh.md and
benchmarks/gate.py. The change on probes is ``siad.vision.merit_change``. Other chance is judged by the exact binomial
test: of captures that only one of two models decides right, each is better with probability 1/2 if they are level (the
sign test; Dixon and Mood 1946).
"""

from collections.abc import Sequence

from siad.contracts.release_evidence import EvidenceKind, GateDecision, GateEvidence, ModelFigures
from siad.vision.gate_answers import compare_corrected, compare_families
from siad.vision.gate_rule import (
    DEFAULT_POLICY,
    GatePolicy,
    RuleFinding,
    chance_of_at_least,
    count_only,
    is_worse,
    positions_of,
    rejects,
    take,
)
from siad.vision.merit_change import balance_after, find_loss
from siad.vision.ranking import rank_correlation


def judge_release(evidence: GateEvidence, policy: GatePolicy = DEFAULT_POLICY) -> GateDecision:
    """Accept or refuse a candidate, with the figures that decided it."""
    weak = [rule(evidence, policy) for rule in (_rank, _probes)]  # evidence without labels, which labels outweigh
    strong = [rule(evidence, policy) for rule in (_false_rejects, compare_families)]
    corrected = compare_corrected(evidence, policy)
    findings = [*weak, *strong, corrected]
    doubts = [text for finding in weak for text in finding.objections]
    overruled = _outweighed(weak, corrected)
    objections = [text for text in doubts if text not in overruled]
    objections += [text for finding in (*strong, corrected) for text in finding.objections]
    if all(finding.unknown for finding in weak) and not corrected.is_proof:
        objections.append("nothing shows that it is not worse")
    praise = [text for finding in findings for text in finding.praise]
    return GateDecision(
        accepted=not objections,
        reasons=tuple(objections or praise),
        unknown=tuple(text for finding in findings for text in finding.unknown),
        overruled=tuple(overruled) if not objections else (),
        figures=tuple(sorted(figure for finding in findings for figure in finding.figures)),
    )


def balance_after_release(evidence: GateEvidence, policy: GatePolicy = DEFAULT_POLICY) -> float:
    """Compute what releases have lost on synthetic defects, once this candidate serves.

    A loss that corrected captures outweighed is none.
    """
    if judge_release(evidence, policy).overruled:
        return evidence.merit_balance
    return balance_after(evidence, doubt=policy.doubt)


def _outweighed(weak: Sequence[RuleFinding], corrected: RuleFinding) -> list[str]:
    """List the objections without labels that corrected captures outweigh."""
    if corrected.is_proof:
        return [text for finding in weak for text in finding.objections]
    if corrected.is_leaning:
        return [text for finding in weak for text in finding.within_chance]
    return []


def _rank(evidence: GateEvidence, policy: GatePolicy) -> RuleFinding:
    stream = positions_of(evidence, EvidenceKind.STREAM)
    if len(stream) < policy.captures_min:
        text = f"rank agreement, {len(stream)} held-out captures of the stream, {policy.captures_min} needed"
        return RuleFinding(unknown=(text,))
    ours, theirs = (take(figures.scores, stream) for figures in (evidence.candidate, evidence.serving))
    rho = rank_correlation(ours, theirs)
    text = f"ranks {len(stream)} held-out captures as the serving weights with correlation {rho:.3f}"
    figures = (("rank_agreement", rho),)
    if rho >= policy.rank_agreement_min:
        return RuleFinding(praise=(text,), figures=figures)
    return RuleFinding(objections=(f"{text}, under {policy.rank_agreement_min:g}",), figures=figures)


def _probes(evidence: GateEvidence, policy: GatePolicy) -> RuleFinding:
    ours, theirs = evidence.candidate.probes, evidence.serving.probes
    if ours is None or theirs is None:
        return RuleFinding(unknown=("synthetic defects, too few held-out good captures to put them in",))
    text = (
        f"image AUROC {ours.image_auroc:.3f} and pixel AP {ours.pixel_ap:.3f} on {len(ours.scores)} synthetic defects, "
        f"serving weights {theirs.image_auroc:.3f} and {theirs.pixel_ap:.3f}"
    )
    figures = (("probe_merit", ours.merit), ("probe_merit_serving", theirs.merit))
    loss = find_loss(evidence, loss_max=policy.merit_loss_max, doubt=policy.doubt)
    lost = () if loss is None else (f"{text}: {loss.text}",)
    missed = _missed(_found(evidence.candidate), _found(evidence.serving), policy)
    return RuleFinding(
        objections=(*lost, *missed),
        within_chance=lost if loss is not None and loss.is_within_chance else (),
        praise=(text,),
        figures=figures,
    )


def _found(figures: ModelFigures) -> list[bool]:
    """By probe, whether it reaches the threshold."""
    return [] if figures.probes is None else [score >= figures.threshold for score in figures.probes.scores]


def _missed(ours: Sequence[bool], theirs: Sequence[bool], policy: GatePolicy) -> list[str]:
    """Object to a threshold that is clearly too high."""
    lost, won = count_only(theirs, ours), count_only(ours, theirs)
    if lost - won <= policy.missed_probes_max * len(ours) or not is_worse(lost, won, policy.doubt):
        return []
    return [f"finds {sum(ours)} of {len(ours)} synthetic defects at its threshold, serving weights {sum(theirs)}"]


def _false_rejects(evidence: GateEvidence, policy: GatePolicy) -> RuleFinding:
    known = [index for index, capture in enumerate(evidence.captures) if capture.is_good_sample]
    goods = [*known, *_pseudo_normals(evidence, policy)]
    if not goods:
        return RuleFinding(unknown=("false rejects, no held-out good captures",))
    ours, theirs = (rejects(figures, goods) for figures in (evidence.candidate, evidence.serving))
    text = f"rejects {sum(ours)} of {len(goods)} held-out good captures, serving weights {sum(theirs)}"
    unknown = () if known else ("false rejects at the budget, no held-out capture is known to be good",)
    figures = (("false_rejects", sum(ours) / len(goods)), ("false_rejects_serving", sum(theirs) / len(goods)))
    probability = chance_of_at_least(sum(ours[: len(known)]), len(known), evidence.budget)
    is_over = probability < policy.doubt and sum(ours) > sum(theirs)  # with fewer rejects the line gains
    if is_over or is_worse(count_only(ours, theirs), count_only(theirs, ours), policy.doubt):
        return RuleFinding(objections=(f"{text}, budget {evidence.budget:g}",), figures=figures)
    return RuleFinding(praise=(text,), unknown=unknown, figures=figures)


def _pseudo_normals(evidence: GateEvidence, policy: GatePolicy) -> list[int]:
    """Choose the captures that the serving weights score lowest."""
    stream = sorted(positions_of(evidence, EvidenceKind.STREAM), key=lambda index: evidence.serving.scores[index])
    return stream[: int(len(stream) * policy.pseudo_normal_share)]
