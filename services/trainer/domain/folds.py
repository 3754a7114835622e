"""Folds of the answers that a segmenter learns, for cross-fitting. Pure.

Of twenty answers about six are held out for the gate: three masks say little. Of the others each is judged by a network
that was trained alike without its fold, so the gate has all of them.
"""

from collections.abc import Collection
from typing import Final

from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingSet
from siad.contracts.ids import sha256_hex

FOLDS: Final = 3  # each costs a training of the correction; a fold then leaves two thirds of the answers
ANSWERS_MIN: Final = 6  # of fewer a fold would leave hardly any


def answer_folds(training_set: TrainingSet, *, taught: Collection[str]) -> list[frozenset[str]]:
    """Divide the answers for training into folds, by their captures' ids.

    Good and defective ones are spread alike; none where there are too few.

    Args:
        training_set: of the run.
        taught: captures that the serving weights learned. On those a comparison would be unfair to the candidate.
    """
    answers = [
        member
        for member in training_set.members
        if member.is_corrected and member.use is MemberUse.TRAIN and member.capture_id not in taught
    ]
    if len(answers) < ANSWERS_MIN:
        return []
    ranked = sorted(
        answers,
        key=lambda member: (member.role is MemberRole.DEFECT, sha256_hex(member.capture_id.encode())),
    )
    return [frozenset(member.capture_id for member in ranked[fold::FOLDS]) for fold in range(FOLDS)]
