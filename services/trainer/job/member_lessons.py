"""Lessons from the members of a training set.

For segmenters on a memory.
"""

from collections.abc import Iterator

from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from services.trainer.job.examples import ReadMembers
from siad.models.training.lessons import ALONE, LessonImage, LessonKind
from siad.models.training.workers import WorkerGroup


def lessons_of(training_set: TrainingSet, read: ReadMembers, *, workers: WorkerGroup = ALONE) -> Iterator[LessonImage]:
    """Read what this worker's members for training teach, one at a time."""
    members = [member for member in training_set.members if member.use is MemberUse.TRAIN]
    for member, (image_HWC, mask_hw) in read(workers.share(members)):
        is_outlined = member.is_outlined
        yield LessonImage(
            image_HWC=image_HWC,
            kind=lesson_kind(member),
            mask_hw=mask_hw if is_outlined else None,
            answered=member.capture_id if member.is_corrected else "",
        )


def lesson_kind(member: TrainingMember) -> LessonKind:
    """What a member teaches."""
    if member.is_corrected:
        return LessonKind.CORRECTED_DEFECT if member.role is MemberRole.DEFECT else LessonKind.CORRECTED_GOOD
    kinds = {
        MemberRole.NORMAL: LessonKind.NORMAL,
        MemberRole.GOOD: LessonKind.GOOD,
        MemberRole.DEFECT: LessonKind.MARKED,
    }
    return kinds[member.role]
