"""Evidence for the gate, from the held-out members of a training set."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from services.trainer.job.examples import ReadMembers
from services.trainer.job.learner import CrossFit
from siad.contracts.release_evidence import EvidenceKind, GateEvidence, HeldOutCapture
from siad.contracts.training_runs import RunReport
from siad.models.gate_evidence import CrossFittedCandidate, HeldOutPixels, collect_evidence
from siad.models.predictor import Predictor
from siad.models.runner.torch import TorchRunner
from siad.vision.gate import balance_after_release


def cross_fitted(candidate: Predictor, fits: Iterable[CrossFit]) -> CrossFittedCandidate:
    """Put the networks that were trained without some answers beside a candidate.

    They judge at its threshold.
    """
    without: dict[str, Predictor] = {}
    for fit in fits:
        runner = TorchRunner(fit.detector)
        predictor = Predictor(candidate.manifest, runner, image_threshold=candidate.image_threshold)
        without |= dict.fromkeys(fit.left_out, predictor)
    return CrossFittedCandidate(candidate, without)


def gather_evidence(
    candidate: CrossFittedCandidate, serving: Predictor, training_set: TrainingSet, read: ReadMembers, *, budget: float
) -> GateEvidence:
    """Compare a candidate with what serves on held-out members and cross-fitted answers.

    What one of the two was fitted on is left out, since a memory knows it by heart; the normals that were sent since
    the fit remain. Pseudo-masks are no truth, so only the outlines that people drew give pixel figures.

    Args:
        candidate: opened from its bundle, with the networks that did not learn some answers.
        serving: the segmenter in service, else the teacher. It learned none of those answers.
        training_set: its members for calibration and for the check are held out.
        read: reads members at image size.
        budget: share of good captures that may be rejected, in (0, 1).
    """
    manifests = (candidate.predictor.manifest, serving.manifest)
    learned = {name for manifest in manifests for name in (*manifest.normals, *manifest.stream_normals)}
    fitted = [one for one in training_set.members if one.capture_id in candidate.without.keys() - learned]
    members = {member.capture_id: member for member in (*held_out(training_set, learned), *fitted)}

    def read_captures(captures: Sequence[HeldOutCapture]) -> Iterator[tuple[HeldOutCapture, HeldOutPixels]]:
        by_id = {capture.capture_id: capture for capture in captures}
        for member, (image_HWC, mask_HW) in read([members[capture.capture_id] for capture in captures]):
            yield by_id[member.capture_id], (image_HWC, mask_HW if member.is_outlined else None)

    captures = [
        HeldOutCapture(
            capture_id=one.capture_id,
            kind=kind_of(one),
            is_drawn=one.is_drawn,
            is_cross_fitted=one.use is MemberUse.TRAIN,
        )
        for one in members.values()
    ]
    return collect_evidence(candidate, serving, captures, read_captures, budget=budget)


def without_learned(training_set: TrainingSet, learned: Collection[str]) -> TrainingSet:
    """Drop the members that a teacher was fitted on."""
    return TrainingSet(members=tuple(one for one in training_set.members if one.capture_id not in learned))


def held_out(training_set: TrainingSet, learned: Collection[str]) -> list[TrainingMember]:
    """List the members that neither network nor memory learned from."""
    return [
        member
        for member in training_set.members
        if member.use is not MemberUse.TRAIN and member.capture_id not in learned
    ]


def kind_of(member: TrainingMember) -> EvidenceKind:
    """What the gate may conclude from a held-out member."""
    if member.is_corrected:
        return EvidenceKind.DEFECT if member.role is MemberRole.DEFECT else EvidenceKind.GOOD
    return EvidenceKind.NORMAL if member.role is MemberRole.NORMAL else EvidenceKind.STREAM


def best_pixel_aps(reports: Iterable[RunReport]) -> dict[str, float]:
    """Find the highest pixel AP on each capture that released candidates reached."""
    best: dict[str, float] = {}
    for report in reports:
        if report.evidence is None:
            continue
        for capture, found in zip(report.evidence.captures, report.evidence.candidate.pixel_aps, strict=True):
            if found is not None:
                best[capture.capture_id] = max(found, best.get(capture.capture_id, 0.0))
    return best


def with_history(evidence: GateEvidence, reports: Sequence[RunReport], *, serving: str) -> GateEvidence:
    """Add what the line reached before, and what releases lost.

    Args:
        evidence: of a candidate.
        reports: of accepted candidates.
        serving: weights that it is compared with; where they are none of these, nothing was lost yet.
    """
    best = best_pixel_aps(reports)
    captures = (replace(one, best_pixel_ap=best.get(one.capture_id)) for one in evidence.captures)
    released = (one.evidence for one in reports if one.weights == serving and one.evidence is not None)
    balances = map(balance_after_release, released)
    return replace(evidence, captures=tuple(captures), merit_balance=next(balances, 0.0))
