"""Gate for every release of weights. Pure.

No release may make a line worse, as far as that can be known. Candidate and serving weights score the same held-out
captures and the same synthetic defects; each rule below objects, and one objection refuses the candidate. What could
not be compared is listed in the decision. Only corrected captures can outweigh objections, since they alone are labels.

- **rank**: Spearman's correlation of the image scores on held-out captures of the stream.
- **probes**: image AUROC + pixel AP on synthetic defects in held-out good captures. A fall refuses where it is beyond
  chance, or over a bound together with what earlier releases lost.
- **missed probes**: at its own threshold the candidate must not miss clearly more of them.
- **false rejects**: on known good captures (held-out normals, and captures drawn at random and confirmed good) the
  budget holds beyond chance, and of these and pseudo-normals (the lowest scores of the stream) no more are rejected
  than by the serving weights, beyond chance.
- **corrections**: decisions, ranking and pixel AP on captures that a person corrected.
- **families**: pixel AP on each family of defects, against the best that the line had.

Reasons and measurements: docs/adr/0033-gate.md, docs/adr/0041-paired-probes.md and benchmarks/gate.py. The change on
probes is ``siad.vision.merit_change``. Other chance is judged by the exact binomial test: of captures that only one of
two models decides right, each is better with probability 1/2 if they are level (the sign test; Dixon and Mood 1946).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from siad.contracts.release_evidence import (
    CORRECTED,
    EvidenceKind,
    GateDecision,
    GateEvidence,
    ModelFigures,
)
from siad.vision.merit_change import why_lost
from siad.vision.ranking import auroc, rank_correlation


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """Limits of the rules; docs/adr/0033-gate.md has the reasons."""

    captures_min: int = 12  # of the stream; the correlation of fewer scatters too much
    rank_agreement_min: float = 0.9
    merit_loss_max: float = 0.005  # of the sum of two figures of 0..1, that releases may lose by chance
    missed_probes_max: float = 0.1  # share of the probes that may be missed besides those that the serving weights miss
    doubt: float = 0.05  # a difference whose probability by chance is lower is no chance
    pseudo_normal_share: float = 0.6  # of the stream, from the lowest score up
    corrected_doubt: float = 0.25  # as ``doubt``, of corrected captures against the candidate: two of two, four of five
    corrected_proof: float = 0.125  # as ``doubt``, in its favour: three of three, five of six
    corrected_each_min: int = 3  # good and defective ones, to compare how they rank
    corrected_auroc_slack: float = 0.02
    forgetting_max: float = 0.03  # of pixel AP of a family
    family_min: int = 2  # captures; a single one is no measure


DEFAULT_POLICY: Final = GatePolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """What one rule found."""

    objections: tuple[str, ...] = ()
    praise: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    figures: tuple[tuple[str, float], ...] = ()
    is_proof: bool = False  # that corrected captures favour the candidate


def judge_release(evidence: GateEvidence, policy: GatePolicy = DEFAULT_POLICY) -> GateDecision:
    """Accept or refuse a candidate, with the figures that decided it."""
    weak = [rule(evidence, policy) for rule in (_rank, _probes)]  # evidence without labels, which labels outweigh
    strong = [rule(evidence, policy) for rule in (_false_rejects, _families)]
    corrected = _corrections(evidence, policy)
    findings = [*weak, *strong, corrected]
    doubts = [text for finding in weak for text in finding.objections]
    overruled = doubts if corrected.is_proof else []
    objections = [] if corrected.is_proof else list(doubts)
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


def chance_of_at_least(count: int, trials: int, rate: float) -> float:
    """Return P(X >= ``count``) of a binomial with ``trials`` and ``rate``."""
    return 1 - sum(math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(count))


def _rank(evidence: GateEvidence, policy: GatePolicy) -> _Finding:
    stream = _positions(evidence, EvidenceKind.STREAM)
    if len(stream) < policy.captures_min:
        text = f"rank agreement, {len(stream)} held-out captures of the stream, {policy.captures_min} needed"
        return _Finding(unknown=(text,))
    ours, theirs = (_take(figures.scores, stream) for figures in (evidence.candidate, evidence.serving))
    rho = rank_correlation(ours, theirs)
    text = f"ranks {len(stream)} held-out captures as the serving weights with correlation {rho:.3f}"
    figures = (("rank_agreement", rho),)
    if rho >= policy.rank_agreement_min:
        return _Finding(praise=(text,), figures=figures)
    return _Finding(objections=(f"{text}, under {policy.rank_agreement_min:g}",), figures=figures)


def _probes(evidence: GateEvidence, policy: GatePolicy) -> _Finding:
    ours, theirs = evidence.candidate.probes, evidence.serving.probes
    if ours is None or theirs is None:
        return _Finding(unknown=("synthetic defects, too few held-out good captures to put them in",))
    text = (
        f"image AUROC {ours.image_auroc:.3f} and pixel AP {ours.pixel_ap:.3f} on {len(ours.scores)} synthetic defects, "
        f"serving weights {theirs.image_auroc:.3f} and {theirs.pixel_ap:.3f}"
    )
    figures = (("probe_merit", ours.merit), ("probe_merit_serving", theirs.merit))
    loss = why_lost(evidence, loss_max=policy.merit_loss_max, doubt=policy.doubt)
    objections = [f"{text}: {loss}"] if loss else []
    objections += _missed(_found(evidence.candidate), _found(evidence.serving), policy)
    return _Finding(objections=tuple(objections), praise=(text,), figures=figures)


def _found(figures: ModelFigures) -> list[bool]:
    """By probe, whether it reaches the threshold."""
    return [] if figures.probes is None else [score >= figures.threshold for score in figures.probes.scores]


def _missed(ours: Sequence[bool], theirs: Sequence[bool], policy: GatePolicy) -> list[str]:
    """Object to a threshold that is clearly too high."""
    lost, won = _only(theirs, ours), _only(ours, theirs)
    if lost - won <= policy.missed_probes_max * len(ours) or not _is_worse(lost, won, policy.doubt):
        return []
    return [f"finds {sum(ours)} of {len(ours)} synthetic defects at its threshold, serving weights {sum(theirs)}"]


def _false_rejects(evidence: GateEvidence, policy: GatePolicy) -> _Finding:
    known = [index for index, capture in enumerate(evidence.captures) if capture.is_good_sample]
    goods = [*known, *_pseudo_normals(evidence, policy)]
    if not goods:
        return _Finding(unknown=("false rejects, no held-out good captures",))
    ours, theirs = (_rejects(figures, goods) for figures in (evidence.candidate, evidence.serving))
    text = f"rejects {sum(ours)} of {len(goods)} held-out good captures, serving weights {sum(theirs)}"
    unknown = () if known else ("false rejects at the budget, no held-out capture is known to be good",)
    figures = (("false_rejects", sum(ours) / len(goods)), ("false_rejects_serving", sum(theirs) / len(goods)))
    probability = chance_of_at_least(sum(ours[: len(known)]), len(known), evidence.budget)
    is_over = probability < policy.doubt and sum(ours) > sum(theirs)  # with fewer rejects the line gains
    if is_over or _is_worse(_only(ours, theirs), _only(theirs, ours), policy.doubt):
        return _Finding(objections=(f"{text}, budget {evidence.budget:g}",), figures=figures)
    return _Finding(praise=(text,), unknown=unknown, figures=figures)


def _corrections(evidence: GateEvidence, policy: GatePolicy) -> _Finding:
    """Compare on corrected captures: decisions, order and marks."""
    corrected = _positions(evidence, *CORRECTED)
    if not corrected:
        return _Finding(unknown=("real defects and hard good captures, no corrected capture is held out",))
    objections, proofs, praise, figures = [], [], [], []
    is_defect = [evidence.captures[index].kind is EvidenceKind.DEFECT for index in corrected]
    ours, theirs = (
        [rejected == truth for rejected, truth in zip(_rejects(figures_of, corrected), is_defect, strict=True)]
        for figures_of in (evidence.candidate, evidence.serving)
    )
    text = f"decides {sum(ours)} of {len(corrected)} corrected captures right, serving weights {sum(theirs)}"
    praise.append(text)
    lost, won = _only(theirs, ours), _only(ours, theirs)
    objections += [text] if _is_worse(lost, won, policy.corrected_doubt) else []
    proofs.append(_is_worse(won, lost, policy.corrected_proof))
    figures += [("corrected_right", float(sum(ours))), ("corrected_right_serving", float(sum(theirs)))]
    if min(sum(is_defect), len(is_defect) - sum(is_defect)) >= policy.corrected_each_min:
        order = [auroc(is_defect, _take(side.scores, corrected)) for side in (evidence.candidate, evidence.serving)]
        text = f"ranks corrected captures with AUROC {order[0]:.3f}, serving weights {order[1]:.3f}"
        objections += [text] if order[0] < order[1] - policy.corrected_auroc_slack else []
        proofs.append(order[0] > order[1] + policy.corrected_auroc_slack)
        figures += [("corrected_auroc", order[0]), ("corrected_auroc_serving", order[1])]
    pairs = _pixel_aps(evidence, corrected)
    if pairs:
        worse, better = sum(one < other for one, other in pairs), sum(one > other for one, other in pairs)
        means = [sum(side) / len(pairs) for side in zip(*pairs, strict=True)]
        text = f"pixel AP {means[0]:.3f} on {len(pairs)} corrected masks, serving weights {means[1]:.3f}"
        objections += [text] if means[0] < means[1] and _is_worse(worse, better, policy.corrected_doubt) else []
        proofs.append(means[0] > means[1] and _is_worse(better, worse, policy.corrected_proof))
        praise.append(text)
        figures += [("corrected_pixel_ap", means[0]), ("corrected_pixel_ap_serving", means[1])]
    return _Finding(
        objections=tuple(objections),
        praise=tuple(praise),
        figures=tuple(figures),
        is_proof=any(proofs) and not objections,
    )


def _families(evidence: GateEvidence, policy: GatePolicy) -> _Finding:
    """Object where a family of defects is forgotten.

    The reference is the best that the line had: small losses must not add up over releases. Families that are too
    small to measure are measured together.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, capture in enumerate(evidence.captures):
        if capture.family and None not in (evidence.candidate.pixel_aps[index], evidence.serving.pixel_aps[index]):
            members[capture.family].append(index)
    small = [family for family, indices in members.items() if len(indices) < policy.family_min]
    if small:
        members["other"] = [index for family in small for index in members.pop(family)]
    objections, figures = [], []
    for family, indices in sorted(members.items()):
        pairs = _pixel_aps(evidence, indices)
        ours, theirs = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
        earlier = [best for index in indices if (best := evidence.captures[index].best_pixel_ap) is not None]
        best = max(theirs, sum(earlier) / len(indices)) if len(earlier) == len(indices) else theirs
        figures.append((f"family_{family}", ours))
        if ours < best - policy.forgetting_max:
            objections.append(f"pixel AP {ours:.3f} on the {len(indices)} defects of family {family}, best {best:.3f}")
    return _Finding(objections=tuple(objections), figures=tuple(figures))


def _pseudo_normals(evidence: GateEvidence, policy: GatePolicy) -> list[int]:
    """Choose the captures that the serving weights score lowest."""
    stream = sorted(_positions(evidence, EvidenceKind.STREAM), key=lambda index: evidence.serving.scores[index])
    return stream[: int(len(stream) * policy.pseudo_normal_share)]


def _positions(evidence: GateEvidence, *kinds: EvidenceKind) -> list[int]:
    return [index for index, capture in enumerate(evidence.captures) if capture.kind in kinds]


def _take(scores: Sequence[float], positions: Iterable[int]) -> list[float]:
    return [scores[index] for index in positions]


def _rejects(figures: ModelFigures, positions: Iterable[int]) -> list[bool]:
    return [score >= figures.threshold for score in _take(figures.scores, positions)]


def _pixel_aps(evidence: GateEvidence, positions: Iterable[int]) -> list[tuple[float, float]]:
    """Pixel AP of candidate and serving weights, where both have one."""
    sides = [(evidence.candidate.pixel_aps[index], evidence.serving.pixel_aps[index]) for index in positions]
    return [(ours, theirs) for ours, theirs in sides if ours is not None and theirs is not None]


def _only(these: Sequence[bool], others: Sequence[bool]) -> int:
    """Count the positions where only the first holds."""
    return int(np.count_nonzero(np.asarray(these, bool) & ~np.asarray(others, bool)))


def _is_worse(losses: int, wins: int, doubt: float) -> bool:
    """Whether losses outnumber wins beyond chance, by the sign test."""
    return losses > wins and chance_of_at_least(losses, losses + wins, 0.5) <= doubt
