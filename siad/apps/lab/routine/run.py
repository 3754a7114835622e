"""The routine step by step: fit, label, train, test."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.labeler.domain.fitting import STEPS
from services.trainer.domain.training_set import FreezePolicy, MemberRole
from siad.apps.lab.evaluate.folder import ImageFolder, LabelledSample, read_images
from siad.apps.lab.evaluate.folder_names import GOOD
from siad.apps.lab.evaluate.run import (
    EvaluationSettings,
    Notify,
    Progress,
    fit_bundle,
    report_of,
    score_samples,
    sum_up,
)
from siad.apps.lab.routine.captures import LINE, PseudoLabel, label
from siad.apps.lab.routine.line import FEW, WHOLE, CannotLearnError, Lesson, TrainedSegmenter, choose_naming, learn
from siad.apps.lab.routine.refit import CannotRefitError, refit
from siad.apps.lab.routine.reviewer import answer_captures, threshold_after
from siad.apps.lab.routine.split import ImagePool, RoutineShift, StreamRoles, draw_few, draw_stream, draw_whole
from siad.apps.lab.routine.stages import FEW_NAME, WHOLE_NAME, RoutineResult, RoutineStage, StageName, StageOutcome
from siad.contracts.corrections import CorrectionVerdict
from siad.contracts.events import WeightsKind
from siad.contracts.fit_settings import FitSettings
from siad.contracts.training_runs import RunOutcome
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.vision.outliers import describe_outliers

POLICIES = {FEW_NAME: FEW, WHOLE_NAME: WHOLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutinePlan:
    """What a run learns by."""

    policy: FreezePolicy
    answers: int  # of the simulated reviewer; 0: none
    seed: int  # of names, weights and views


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutineRequest:
    """How many images of each role."""

    shots: int
    online: int
    test: int
    whole: bool  # also run with the whole set
    seed: int
    online_defects: float | None = None  # share of the images online; None: as in the folder

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
        if self.online_defects is None:
            few = draw_few(pool, shots=self.shots, online=self.online, defects=self.test, seed=self.seed)
        else:
            bad = round(self.online * self.online_defects)
            roles = StreamRoles(shots=self.shots, goods=self.online - bad, defects=bad, test=self.test)
            few = draw_stream(pool, roles, seed=self.seed)
        shifts = {FEW_NAME: few}
        if self.whole:
            shifts[WHOLE_NAME] = draw_whole(pool, normals_max=STEPS[-1], seed=self.seed)
        return shifts


def run_routine(
    shift: RoutineShift[LabelledSample], settings: EvaluationSettings, *, plan: RoutinePlan, progress: Progress
) -> RoutineResult:
    """Run the routine once.

    Where the pseudo-masks make no training set, the result says so, and has the other stages.

    Args:
        shift: images by role.
        settings: how the teacher is fitted, and the size of pixel figures.
        plan: what a training set needs, answers, and the seed.
        progress: called after each step, and for each image that can't be read.

    Raises:
        FolderError: the normals can't be read, or no teacher can be fitted on them.
    """
    run = _RoutineRun(_readable(shift, progress), settings, plan, progress)
    run.learn(StageName.REFIT, StageName.SEGMENTER)
    if plan.answers:
        run.answer(plan.answers)
        run.learn(StageName.ANSWERED_REFIT, StageName.ANSWERED_SEGMENTER)
        run.move_threshold()
    progress.notify(
        f"all tested on {len(run.shift.test)} images that none was fitted on; {run.stages[-1].name} is last"
    )
    return RoutineResult(shift=run.shift, stages=tuple(run.stages), steps=run.steps)


class _RoutineRun:
    """State of one run: what serves, and what was found so far."""

    def __init__(
        self, shift: RoutineShift[LabelledSample], settings: EvaluationSettings, plan: RoutinePlan, progress: Progress
    ) -> None:
        self.shift, self._settings, self._plan, self._progress = shift, settings, plan, progress
        self.stages: list[RoutineStage] = []
        paths = [normal.path for normal in shift.normals]
        self._teacher, fit_s = fit_bundle(paths, settings, name=LINE, skip=progress.skip)
        manifest = self._teacher.manifest
        self._serving = open_bundle(manifest, self._teacher.parts)
        doubts = describe_outliers(manifest.left_out, manifest.doubted)
        fitted = f"teacher fitted on {len(shift.normals)} normals in {fit_s:.1f} s{f'; {doubts}' if doubts else ''}"
        progress.notify(fitted)
        self.steps: dict[str, Any] = {
            "normals": len(shift.normals),
            "left_out": list(manifest.left_out),
            "doubted": list(manifest.doubted),
            "fit_s": fit_s,
        }
        self._add(StageName.TEACHER, self._serving, StageOutcome.RELEASED, "it is the first teacher", fit_s)
        assert self.stages[0].run is not None
        self._settings = replace(settings, budget=self.stages[0].run.scored.budget)  # all have the teacher's
        began_s = time.perf_counter()
        labels = label(self._serving, shift.online, progress=progress)
        self.steps |= _count_marks(labels) | {"label_s": time.perf_counter() - began_s}
        progress.notify(
            f"{len(labels)} images online, {self.steps['online_defects']} of them defective: the teacher marked "
            f"{self.steps['marked']}, {self.steps['marked_defects']} of them defective"
        )
        self._lesson = Lesson(normals=shift.normals, labels=labels)
        self._naming = choose_naming(manifest, self._lesson, policy=plan.policy, seed=plan.seed)

    def learn(self, refit_name: StageName, segmenter_name: StageName) -> None:
        """Refit the teacher, then train a segmenter on it.

        Each serves if its gate accepts it.
        """
        self._refit(refit_name)
        began_s = time.perf_counter()
        try:
            made = learn(self._teacher, self._serving, self._lesson, policy=self._plan.policy, naming=self._naming)
        except CannotLearnError as error:
            self._progress.notify(str(error))
            self.steps.setdefault("judgement", StageOutcome.NOT_TRAINED.value)
            self.steps.setdefault("reason", str(error))
            self.stages.append(
                RoutineStage(name=segmenter_name, outcome=StageOutcome.NOT_TRAINED, reason=str(error), run=None)
            )
            return
        described = _describe_training(made, self._progress.notify)
        self.steps = described | self.steps  # those of the first segmenter stay
        accepted = made.judgement.outcome is RunOutcome.ACCEPTED
        outcome = StageOutcome.RELEASED if accepted else StageOutcome.REFUSED
        self._add(segmenter_name, made.predictor, outcome, made.judgement.reason, time.perf_counter() - began_s)

    def answer(self, count: int) -> None:
        """Have the simulated reviewer answer the captures that the console would show."""
        shown = label(self._serving, self.shift.online, progress=self._progress)
        answers = answer_captures(shown, count=count, salt=self._naming.salt)
        self._lesson = replace(self._lesson, answers=answers)
        defects = sum(one.verdict is CorrectionVerdict.DEFECT for one in answers)
        self.steps["answers"] = {"asked": len(answers), "good": len(answers) - defects, "defect": defects}
        self._progress.notify(
            f"simulated reviewer (the folder's own labels): {len(answers)} answers to the captures nearest the "
            f"threshold, {defects} of them defective"
        )

    def move_threshold(self) -> None:
        """Move the threshold by the answers, as the console does."""
        shown = label(self._serving, self.shift.online, progress=self._progress)
        found = threshold_after(self._serving, shown, self._lesson.answers, budget=self._settings.budget)
        moved = self._serving.at_threshold(found.threshold)
        self._add(StageName.THRESHOLD, moved, StageOutcome.RELEASED, found.reason, 0.0)

    def _refit(self, name: StageName) -> None:
        settings = self._settings
        asked = FitSettings(
            false_reject_budget=settings.budget,
            method=settings.method,
            region=settings.region,
            input_px=settings.input_px,
            bits=settings.bits,
        )
        began_s = time.perf_counter()
        try:
            made = refit(self._teacher, asked, self._lesson, naming=self._naming)
        except CannotRefitError as error:
            reason = str(error)
            self.stages.append(RoutineStage(name=name, outcome=StageOutcome.NOT_TRAINED, reason=reason, run=None))
            return
        accepted = made.decision.accepted
        predictor = open_bundle(made.bundle.manifest, made.bundle.parts)
        outcome = StageOutcome.RELEASED if accepted else StageOutcome.REFUSED
        serving = self._serving
        self._add(name, predictor, outcome, made.decision.text, time.perf_counter() - began_s)
        if accepted:
            self._teacher = made.bundle
            self._lesson = replace(self._lesson, labels=label(predictor, self.shift.online, progress=self._progress))
            if serving.manifest.kind is WeightsKind.SEGMENTER:
                self._serving = serving  # a segmenter serves until the next one is released

    def _add(self, name: StageName, predictor: Predictor, outcome: StageOutcome, reason: str, seconds: float) -> None:
        """Test a candidate, and let it serve if it was released."""
        scored = score_samples(
            predictor, self.shift.test, fit_s=seconds, settings=self._settings, progress=self._progress
        )
        tested = sum_up(scored, shots=len(self.shift.normals), seed=self._plan.seed)
        self.stages.append(RoutineStage(name=name, outcome=outcome, reason=reason, run=tested))
        self._progress.notify(f"{name.value}, {outcome.value} ({reason}): {report_of([tested])['decision']['text']}")
        if outcome is StageOutcome.RELEASED:
            self._serving = predictor


def _describe_training(segmenter: TrainedSegmenter, notify: Notify) -> dict[str, Any]:
    """Figures of the training and the decision on it."""
    members = len(segmenter.training_set.members)
    held_out = sum(member.use.value != "train" for member in segmenter.training_set.members)
    seconds, judgement = segmenter.train_s, segmenter.judgement
    notify(f"segmenter trained on {members - held_out} of them and the normals in {seconds:.1f} s, {held_out} held out")
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


def _count_marks(labels: list[PseudoLabel]) -> dict[str, int]:
    marked = [one for one in labels if one.score >= one.threshold]
    return {
        "online": len(labels),
        "online_defects": sum(one.sample.is_defect for one in labels),
        "marked": len(marked),
        "marked_defects": sum(one.sample.is_defect for one in marked),
    }
