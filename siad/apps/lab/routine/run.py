"""The routine step by step: fit, label, train, test."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.labeler.domain.fitting import STEPS
from services.trainer.domain.training_set import FreezePolicy, MemberRole
from siad.apps.lab.evaluate.folder import ImageFolder, LabelledSample, read_images
from siad.apps.lab.evaluate.folder_names import GOOD
from siad.apps.lab.evaluate.rows import worst_rows
from siad.apps.lab.evaluate.run import (
    EvaluationRun,
    EvaluationSettings,
    Notify,
    Progress,
    fit_bundle,
    report_of,
    score_samples,
    sum_up,
)
from siad.apps.lab.routine.line import (
    FEW,
    WHOLE,
    CannotLearnError,
    PseudoLabel,
    TrainedSegmenter,
    label,
    learn,
)
from siad.apps.lab.routine.split import ImagePool, RoutineShift, draw_few, draw_whole
from siad.apps.lab.sheet_rows import SheetRow
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.vision.outliers import describe_outliers

FEW_NAME, WHOLE_NAME = "few", "whole"
NOT_TRAINED = "not-trained"
POLICIES = {FEW_NAME: FEW, WHOLE_NAME: WHOLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutineRequest:
    """How many images of each role."""

    shots: int
    online: int
    test: int
    whole: bool  # also run with the whole set
    seed: int

    def draw(self, folder: ImageFolder) -> dict[str, RoutineShift[LabelledSample]]:
        """Draw the images of each run, by name of the run.

        Raises:
            TooFewError: the folder has too few images.
        """
        pool = ImagePool(
            normals=[LabelledSample(path=path, kind=GOOD) for path in folder.normals],
            goods=[sample for sample in folder.samples if not sample.is_defect],
            defects=[sample for sample in folder.samples if sample.is_defect],
        )
        shifts = {FEW_NAME: draw_few(pool, shots=self.shots, online=self.online, defects=self.test, seed=self.seed)}
        if self.whole:
            shifts[WHOLE_NAME] = draw_whole(pool, normals_max=STEPS[-1], seed=self.seed)
        return shifts


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutineResult:
    """Outcome of one run."""

    shift: RoutineShift[LabelledSample]
    teacher: EvaluationRun
    segmenter: EvaluationRun | None  # None: none was trained; ``steps`` has the reason
    steps: dict[str, Any]  # figures of each step

    def to_json(self) -> dict[str, Any]:
        """Figures of both models and of each step.

        Keys are those of ``siad evaluate``.
        """
        segmenter = None if self.segmenter is None else report_of([self.segmenter])
        return {"teacher": report_of([self.teacher]), "segmenter": segmenter, "steps": self.steps}

    @property
    def last(self) -> EvaluationRun:
        """Run of the last model: the segmenter, or without one the teacher."""
        return self.teacher if self.segmenter is None else self.segmenter

    def worst_rows(self) -> list[SheetRow]:
        """Rows of the last model's contact sheet."""
        return worst_rows(self.last.scored, self.shift.test)


def report_of_all(results: Mapping[str, RoutineResult], failures: Mapping[str, str]) -> dict[str, Any]:
    """Reports of all runs by name; of one that failed the reason.

    The figures of the few-shot run are repeated at the top.
    """
    failed = {name: {"teacher": None, "segmenter": None, "failure": reason} for name, reason in failures.items()}
    parts = {name: result.to_json() for name, result in results.items()} | failed
    return {"teacher": parts[FEW_NAME]["teacher"], "segmenter": parts[FEW_NAME]["segmenter"], **parts}


def run_routine(
    shift: RoutineShift[LabelledSample],
    settings: EvaluationSettings,
    *,
    policy: FreezePolicy,
    seed: int,
    progress: Progress,
) -> RoutineResult:
    """Run the routine once.

    Where the pseudo-masks make no training set, the result has the teacher alone, and the reason.

    Args:
        shift: images by role.
        settings: how the teacher is fitted, and the size of pixel figures.
        policy: what a training set needs.
        seed: of names, weights and views.
        progress: called after each step, and for each image that can't be read.

    Raises:
        FolderError: the normals can't be read, or no teacher can be fitted on them.
    """
    shift, notify = _readable(shift, progress), progress.notify
    paths = [normal.path for normal in shift.normals]
    bundle, fit_s = fit_bundle(paths, settings, name="routine", skip=progress.skip)
    teacher = open_bundle(bundle.manifest, bundle.parts)
    left_out, doubted = list(teacher.manifest.left_out), list(teacher.manifest.doubted)
    doubts = describe_outliers(left_out, doubted)
    notify(f"teacher fitted on {len(shift.normals)} normals in {fit_s:.1f} s{f'; {doubts}' if doubts else ''}")
    steps: dict[str, Any] = {"normals": len(shift.normals), "left_out": left_out, "doubted": doubted, "fit_s": fit_s}

    def tested(predictor: Predictor, seconds: float) -> EvaluationRun:
        scored = score_samples(predictor, shift.test, fit_s=seconds, settings=settings, progress=progress)
        return sum_up(scored, shots=len(shift.normals), seed=seed)

    teacher_run = tested(teacher, fit_s)
    settings = replace(settings, budget=teacher_run.scored.budget)  # a segmenter has that of its teacher
    notify(f"teacher: {report_of([teacher_run])['decision']['text']}")
    began_s = time.perf_counter()
    labels = label(teacher, shift.online, progress=progress)
    steps |= _count_marks(labels, teacher.manifest.image_threshold) | {"label_s": time.perf_counter() - began_s}
    notify(
        f"{steps['online']} images online, {steps['online_defects']} of them defective: the teacher marked "
        f"{steps['marked']}, {steps['marked_defects']} of them defective"
    )
    try:
        segmenter = learn(bundle, shift.normals, labels, policy=policy, seed=seed)
    except CannotLearnError as error:
        notify(str(error))
        steps |= {"judgement": NOT_TRAINED, "reason": str(error)}
        return RoutineResult(shift=shift, teacher=teacher_run, segmenter=None, steps=steps)
    steps |= _describe_training(segmenter, notify)
    segmenter_run = tested(segmenter.predictor, segmenter.train_s)
    notify(f"both tested on {len(shift.test)} images that neither was fitted on")
    return RoutineResult(shift=shift, teacher=teacher_run, segmenter=segmenter_run, steps=steps)


def _describe_training(segmenter: TrainedSegmenter, notify: Notify) -> dict[str, Any]:
    """Figures of the training and the decision on it."""
    members = len(segmenter.training_set.members)
    held_out = sum(member.use.value != "train" for member in segmenter.training_set.members)
    seconds, judgement = segmenter.train_s, segmenter.judgement
    notify(f"segmenter trained on {members - held_out} of them and the normals in {seconds:.1f} s, {held_out} held out")
    notify(f"decision of the trainer: {judgement.outcome.value}: {judgement.reason}")
    return {
        "members": members,
        "held_out": held_out,
        "defects": segmenter.training_set.count(MemberRole.DEFECT),
        "epochs": segmenter.epochs,
        "train_s": seconds,
        "judgement": judgement.outcome.value,
        "reason": judgement.reason,
    }


def _readable(shift: RoutineShift[LabelledSample], progress: Progress) -> RoutineShift[LabelledSample]:
    """Leave out images that can't be decoded.

    One of them would end the run after minutes.
    """

    def kept(samples: Sequence[LabelledSample]) -> tuple[LabelledSample, ...]:
        found = []
        for sample in samples:
            _, read, left_out = read_images([sample.path])
            for path, why in left_out.items():
                progress.skip(path, why)
            found += [sample] if read else []
        return tuple(found)

    return RoutineShift(normals=kept(shift.normals), online=kept(shift.online), test=kept(shift.test))


def _count_marks(labels: list[PseudoLabel], threshold: float) -> dict[str, int]:
    marked = [one for one in labels if one.score >= threshold]
    return {
        "online": len(labels),
        "online_defects": sum(one.sample.is_defect for one in labels),
        "marked": len(marked),
        "marked_defects": sum(one.sample.is_defect for one in marked),
    }
