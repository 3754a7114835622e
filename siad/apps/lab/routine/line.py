"""The stages' own functions in memory, without broker, store or Ray.

Labeler: fit a teacher on the normals, draw pseudo-masks. Trainer: freeze a training set, train on it, score the
candidate on held-out members, judge it. All decisions are those of the stages; only the minima of a training set are
lower for a few images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from services.trainer.domain.folds import answer_folds
from services.trainer.domain.freeze import freeze
from services.trainer.domain.judge import JudgePolicy, judge
from services.trainer.domain.method import choose_method
from services.trainer.domain.training_set import (
    FreezePolicy,
    MemberRole,
    MemberUse,
    TooFewCaptures,
    TrainingSet,
)
from services.trainer.job.candidate import make_candidate
from services.trainer.job.evaluation import score_held_out
from services.trainer.job.evidence import cross_fitted, gather_evidence
from services.trainer.job.examples import as_inputs
from services.trainer.job.learner import LearnerSources
from services.trainer.job.learners import make_learner
from services.trainer.settings import TrainerSettings
from siad.apps.lab.evaluate.folder import LabelledSample
from siad.apps.lab.routine.captures import LINE, START, Answer, MemoryCaptures, PseudoLabel, name_captures
from siad.contracts.fit_settings import FitSettings
from siad.contracts.manifest import Manifest
from siad.contracts.methods import RESIDUAL
from siad.contracts.training_runs import CandidateJudgement, RunReport, RunSpec
from siad.models.bundle import Bundle, open_bundle
from siad.models.predictor import Predictor
from siad.models.training.recipe import TrainingRecipe

FEW: Final = FreezePolicy(normals_min=2, defects_min=2, held_out_defects_min=1, held_out_goods_min=2)
WHOLE: Final = FreezePolicy()
_STEPS_MIN: Final = 150  # of training; with few images, fifteen epochs would be too few steps
_NAMINGS_MAX: Final = 200
_TRAIN_S: Final = 600.0  # epochs end the training first, so that a slow machine gives the same weights


class CannotLearnError(ValueError):
    """Pseudo-masks that make no training set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How captures are named, and the seed of weights and views."""

    salt: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a segmenter learns from."""

    normals: Sequence[LabelledSample]
    labels: Sequence[PseudoLabel]  # by the teacher
    answers: Sequence[Answer] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedSegmenter:
    """A segmenter, its training set, and the decision of the trainer's judge."""

    predictor: Predictor
    training_set: TrainingSet
    judgement: CandidateJudgement
    epochs: int
    train_s: float


def learn(
    teacher: Bundle, serving: Predictor, lesson: Lesson, *, policy: FreezePolicy, naming: Naming
) -> TrainedSegmenter:
    """Train a segmenter and judge it, as the trainer does.

    Raises:
        CannotLearnError: the images make no training set.
    """
    captures = name_captures(lesson.normals, lesson.labels, lesson.answers, salt=naming.salt)
    training_set = _freeze(captures, teacher.manifest, policy)
    if isinstance(training_set, TooFewCaptures):
        raise CannotLearnError(_no_training_set(lesson.labels, training_set.reason))
    spec = _spec(teacher.manifest, training_set)
    inputs = as_inputs(spec, captures.look)
    sources = LearnerSources(teacher=lambda: teacher, slow=lambda: teacher, read=inputs)
    learner = make_learner(spec, training_set, sources, device=torch.device("cpu"), seed=naming.seed)
    training = learner.training
    learner.prepare(training_set, inputs)
    while not learner.is_done:
        learner.run_epoch()
    fits = learner.cross_fit(answer_folds(training_set, taught=()))  # what serves learned no answer
    scores = score_held_out(training_set, captures.look, learner.scorers(spec), input_px=spec.input_px)
    golden = next(member for member in training_set.members if member.role is MemberRole.NORMAL)
    [(_, (normal, _))] = inputs([golden])
    bundle, figures = make_candidate(learner.network(), spec, scores, normal=normal)
    predictor = open_bundle(bundle.manifest, bundle.parts)
    report = RunReport(
        run=spec.run,
        weights=bundle.manifest.weights,
        candidate=figures,
        serving=None,
        epochs=training.epoch,
        resumed_from_epoch=0,
        seconds=training.seconds,
        device="cpu",
        evidence=gather_evidence(
            cross_fitted(predictor, fits), serving, training_set, captures.look, budget=spec.false_reject_budget
        ),
    )
    return TrainedSegmenter(
        predictor=predictor,
        training_set=training_set,
        judgement=judge(spec, report, policy=JudgePolicy(), now=START),
        epochs=training.epoch,
        train_s=training.seconds,
    )


def _spec(teacher: Manifest, training_set: TrainingSet) -> RunSpec:
    """The training run, as the trainer would record it."""
    settings = TrainerSettings()
    goods = sum(training_set.count(role, MemberUse.TRAIN) for role in (MemberRole.NORMAL, MemberRole.GOOD))
    steps = math.ceil((goods + training_set.count(MemberRole.DEFECT, MemberUse.TRAIN)) / TrainingRecipe().batch)
    choice = choose_method("", teacher)
    is_residual = choice.method == RESIDUAL
    return RunSpec(
        run=f"{LINE}.{LINE}.000001",
        line=LINE,
        product=LINE,
        training_set=training_set.digest,
        teacher=teacher.weights,
        serving="",
        ledger_until_at=START,
        false_reject_budget=FitSettings.budget_of(teacher),
        input_px=teacher.input_px if is_residual else settings.size.side_px(teacher.input_px),
        epochs=max(settings.epochs, math.ceil(_STEPS_MIN / steps)),
        train_s=_TRAIN_S,
        frozen_at=START,
        profile=teacher.profile,
        region=teacher.region,
        segmenter=choice.method,
        segmenter_note=choice.note,
    )


def choose_naming(teacher: Manifest, lesson: Lesson, *, policy: FreezePolicy, seed: int) -> Naming:
    """Choose capture ids with which the images make a training set.

    A capture's id decides whether it is held out. With few captures all may fall on one side; then other ids are
    assigned, because ids have no other meaning here. Where none make a set, the last ones are chosen.
    """
    salts = (f"{seed}/{number}" for number in range(_NAMINGS_MAX))
    for salt in salts:
        captures = name_captures(lesson.normals, lesson.labels, (), salt=salt)
        if isinstance(_freeze(captures, teacher, policy), TrainingSet):
            break
    return Naming(salt=salt, seed=seed)


def _freeze(captures: MemoryCaptures, teacher: Manifest, policy: FreezePolicy) -> TrainingSet | TooFewCaptures:
    return freeze(captures.rows, captures.normals, captures.corrections, teachers=[teacher.weights], policy=policy)


def _no_training_set(labels: Sequence[PseudoLabel], reason: str) -> str:
    marked = sum(one.score >= one.threshold for one in labels)
    return (
        f"no segmenter was trained: of {len(labels)} images online the teacher marked {marked}, which makes no "
        f"training set: {reason}. Use more images online (--online) or more normals (--shots)"
    )
