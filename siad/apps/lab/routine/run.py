"""The routine, step by step: fit, label, train, and both judged by images that neither has seen."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.trainer.domain.training_set import FreezePolicy, MemberRole
from siad.apps.lab.evaluate.folder import LabelledSample
from siad.apps.lab.evaluate.run import EvaluationRun, EvaluationSettings, fit, judge, report_of, sum_up
from siad.apps.lab.routine.line import LabelledImage, label, learn
from siad.apps.lab.routine.split import RoutineShift
from siad.vision.outliers import say_doubts

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutineResult:
    """What one shift came to."""

    shift: RoutineShift[LabelledSample]
    teacher: EvaluationRun
    segmenter: EvaluationRun
    told: dict[str, Any]  # what was done, in numbers

    def to_json(self) -> dict[str, Any]:
        """Both detectors' figures under the keys of ``siad evaluate``, and what was done."""
        return {"teacher": report_of([self.teacher]), "segmenter": report_of([self.segmenter]), "steps": self.told}


def go_through(
    shift: RoutineShift[LabelledSample], settings: EvaluationSettings, *, policy: FreezePolicy, seed: int, say: Say
) -> RoutineResult:
    """Run one shift.

    Args:
        shift: which images are for what.
        settings: how the teacher is fitted, and at which size pixel figures are taken.
        policy: what a training set needs.
        seed: of names, weights and views.
        say: told after each step.

    Raises:
        FolderError: the normals can't be read, or no teacher can be fitted on them.
        CannotLearnError: the teacher's marks make no training set.
    """
    teacher, fit_s = fit([normal.path for normal in shift.normals], settings, name="routine", say=say)
    left_out, doubted = list(teacher.manifest.left_out), list(teacher.manifest.doubted)
    doubts = say_doubts(left_out, doubted)
    say(f"teacher fitted on {len(shift.normals)} normals in {fit_s:.1f} s{f'; {doubts}' if doubts else ''}")
    began_s = time.perf_counter()
    labelled = label(teacher, shift.online)
    told: dict[str, Any] = {"normals": len(shift.normals), "left_out": left_out, "doubted": doubted, "fit_s": fit_s}
    told |= _marks(labelled, teacher.manifest.image_threshold) | {"label_s": time.perf_counter() - began_s}
    say(
        f"{told['online']} images online, {told['online_defects']} of them defective: the teacher marked "
        f"{told['marked']}, {told['marked_defects']} of them defective"
    )
    learnt = learn(teacher, shift.normals, labelled, policy=policy, seed=seed)
    held_out = sum(member.use.value != "train" for member in learnt.chosen.members)
    told |= {
        "members": len(learnt.chosen.members),
        "held_out": held_out,
        "defects": learnt.chosen.count(MemberRole.DEFECT),
        "epochs": learnt.epochs,
        "train_s": learnt.train_s,
        "judgement": learnt.judgement.outcome.value,
        "reason": learnt.judgement.reason,
    }
    trained = told["members"] - held_out
    say(f"segmenter trained on {trained} of them and the normals in {learnt.train_s:.1f} s, {held_out} held out")
    say(f"the trainer's judge: {learnt.judgement.outcome.value}: {learnt.judgement.reason}")
    runs = []
    for examiner, seconds in ((teacher, fit_s), (learnt.examiner, learnt.train_s)):
        judged = judge(examiner, shift.test, fit_s=seconds, pixels_px=settings.pixels_px, say=say, tick=lambda: None)
        runs.append(sum_up(judged, shots=len(shift.normals), seed=seed))
    say(f"both judged by {len(shift.test)} images that neither has seen")
    return RoutineResult(shift=shift, teacher=runs[0], segmenter=runs[1], told=told)


def _marks(labelled: list[LabelledImage], threshold: float) -> dict[str, int]:
    marked = [one for one in labelled if one.score >= threshold]
    return {
        "online": len(labelled),
        "online_defects": sum(one.sample.is_defect for one in labelled),
        "marked": len(marked),
        "marked_defects": sum(one.sample.is_defect for one in marked),
    }
