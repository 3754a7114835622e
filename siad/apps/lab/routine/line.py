"""The stages' own functions in memory, without broker, store or Ray.

Labeler: fit a teacher on the normals, draw pseudo-masks. Trainer: freeze a training set, train on it, score the
candidate on held-out members, judge it. All decisions are those of the stages; only the minima of a training set are
lower for a few images.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from services.trainer.domain.freeze import freeze
from services.trainer.domain.judge import JudgePolicy, judge
from services.trainer.domain.ledger import LedgerRow
from services.trainer.domain.method import choose_method
from services.trainer.domain.records import CandidateJudgement, RunReport, RunSpec
from services.trainer.domain.training_set import (
    FreezePolicy,
    MemberRole,
    MemberUse,
    NormalCapture,
    TooFewCaptures,
    TrainingMember,
    TrainingSet,
)
from services.trainer.job.candidate import make_candidate
from services.trainer.job.evaluation import score_held_out
from services.trainer.job.evidence import gather_evidence
from services.trainer.job.examples import MemberPixels, as_inputs
from services.trainer.job.learners import make_learner
from services.trainer.settings import TrainerSettings
from siad.apps.files import printable
from siad.apps.lab.evaluate.folder import FolderError, LabelledSample, read_images
from siad.apps.lab.evaluate.run import Progress
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import sha256_hex
from siad.contracts.manifest import Manifest
from siad.contracts.methods import RESIDUAL
from siad.models.bundle import Bundle, open_bundle
from siad.models.predictor import Predictor
from siad.models.training.recipe import TrainingRecipe
from siad.vision.images import Image
from siad.vision.plausibility import Misfit

LINE: Final = "routine"
FEW: Final = FreezePolicy(normals_min=2, defects_min=2, held_out_defects_min=1, held_out_goods_min=2)
WHOLE: Final = FreezePolicy()
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)  # no clock: a repeat must give the same weights
_STEPS_MIN: Final = 150  # of training; with few images, fifteen epochs would be too few steps
_NAMINGS_MAX: Final = 200
_TRAIN_S: Final = 600.0  # epochs end the training first, so that a slow machine gives the same weights


class CannotLearnError(ValueError):
    """Pseudo-masks that make no training set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoLabel:
    """Score and pseudo-mask of one image, by the teacher."""

    sample: LabelledSample
    score: float
    defect_ratio: float
    confidence: float
    mask_HW: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedSegmenter:
    """A segmenter, its training set, and the decision of the trainer's judge."""

    predictor: Predictor
    training_set: TrainingSet
    judgement: CandidateJudgement
    epochs: int
    train_s: float


def label(teacher: Predictor, samples: Sequence[LabelledSample], *, progress: Progress) -> list[PseudoLabel]:
    """Draw pseudo-masks.

    An image that can't be decoded, or does not fit the normals, gets none and is reported.
    """
    labels = []
    for sample in samples:
        images, _, left_out = read_images([sample.path])
        for path, why in left_out.items():
            progress.skip(path, why)
        for finding in teacher.examine(images):
            if isinstance(finding, Misfit):
                progress.notify(f"{sample.name} was not labelled ({finding.reason}): {finding.detail}")
            else:
                labels.append(
                    PseudoLabel(
                        sample=sample,
                        score=finding.score,
                        defect_ratio=finding.defect_ratio,
                        confidence=finding.confidence,
                        mask_HW=finding.pseudo_mask_HW,
                    )
                )
    return labels


@dataclass(frozen=True, slots=True)
class _MemoryCaptures:
    """Normals and labelled images by capture id."""

    samples: Mapping[str, LabelledSample]
    masks: Mapping[str, NDArray[np.uint8]]  # of labelled images
    normals: tuple[NormalCapture, ...]
    rows: tuple[LedgerRow, ...]

    def look(self, members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
        """Read members, as the training job does from the store."""
        for member in members:
            mask_hw = None if member.role is MemberRole.NORMAL else self.masks[member.capture_id]
            yield member, (self.pixels(member.capture_id), mask_hw)

    def pixels(self, capture_id: str) -> Image:
        """Decode the image of one capture.

        Raises:
            FolderError: it became unreadable during the run.
        """
        images, _, left_out = read_images([self.samples[capture_id].path])
        for path, why in left_out.items():
            msg = f"{printable(path)} became unreadable during the run: {why}. Restore it, or run again without it"
            raise FolderError(msg)
        return images[0]


def learn(
    teacher: Bundle,
    normals: Sequence[LabelledSample],
    labels: Sequence[PseudoLabel],
    *,
    policy: FreezePolicy,
    seed: int,
) -> TrainedSegmenter:
    """Train a segmenter on pseudo-masks and judge it, as the trainer does.

    Raises:
        CannotLearnError: the images make no training set.
    """
    captures, training_set = _freeze(teacher.manifest, normals, labels, policy=policy, seed=seed)
    spec = _spec(teacher.manifest, training_set)
    learner = make_learner(spec, training_set, lambda: teacher, device=torch.device("cpu"), seed=seed)
    training = learner.training
    inputs = as_inputs(spec, captures.look)
    learner.prepare(training_set, inputs)
    while not learner.is_done:
        learner.run_epoch()
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
            predictor,
            open_bundle(teacher.manifest, teacher.parts),
            training_set,
            captures.look,
            budget=spec.false_reject_budget,
        ),
    )
    return TrainedSegmenter(
        predictor=predictor,
        training_set=training_set,
        judgement=judge(spec, report, policy=JudgePolicy(), now=_START),
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
        ledger_until_at=_START,
        false_reject_budget=FitSettings.budget_of(teacher),
        input_px=teacher.input_px if is_residual else settings.size.side_px(teacher.input_px),
        epochs=max(settings.epochs, math.ceil(_STEPS_MIN / steps)),
        train_s=_TRAIN_S,
        frozen_at=_START,
        profile=teacher.profile,
        region=teacher.region,
        segmenter=choice.method,
        segmenter_note=choice.note,
    )


def _freeze(
    teacher: Manifest,
    normals: Sequence[LabelledSample],
    labels: Sequence[PseudoLabel],
    *,
    policy: FreezePolicy,
    seed: int,
) -> tuple[_MemoryCaptures, TrainingSet]:
    """Assign capture ids and freeze a training set.

    A capture's id decides whether it is held out. With few captures all may fall on one side; then other ids are
    assigned, because ids have no other meaning here.
    """
    reason = ""
    for naming in range(_NAMINGS_MAX):
        captures = _name(teacher, normals, labels, salt=f"{seed}/{naming}")
        chosen = freeze(captures.rows, captures.normals, teachers=[teacher.weights], policy=policy)
        if isinstance(chosen, TrainingSet):
            return captures, chosen
        assert isinstance(chosen, TooFewCaptures)
        reason = chosen.reason
    marked = sum(one.score >= teacher.image_threshold for one in labels)
    msg = (
        f"no segmenter was trained: of {len(labels)} images online the teacher marked {marked}, which makes no "
        f"training set: {reason}. Use more images online (--online) or more normals (--shots)"
    )
    raise CannotLearnError(msg)


def _name(
    teacher: Manifest, normals: Sequence[LabelledSample], labels: Sequence[PseudoLabel], *, salt: str
) -> _MemoryCaptures:
    known = {_capture_id(salt, sample): sample for sample in normals}
    seen = {_capture_id(salt, one.sample): one for one in labels}
    return _MemoryCaptures(
        samples=known | {name: one.sample for name, one in seen.items()},
        masks={name: one.mask_HW for name, one in seen.items()},
        normals=tuple(NormalCapture(capture_id=name, image_id=name, image_uri="") for name in known),
        rows=tuple(
            LedgerRow(
                capture_id=name,
                image_id=name,
                image_uri="",
                captured_at=_START + timedelta(seconds=index),
                received_at=_START + timedelta(seconds=index),
                mask_uri="",
                mask_sha256="",
                weights=teacher.weights,
                score=one.score,
                threshold=teacher.image_threshold,
                defect_ratio=one.defect_ratio,
                confidence=one.confidence,
            )
            for index, (name, one) in enumerate(seen.items())
        ),
    )


def _capture_id(salt: str, sample: LabelledSample) -> str:
    return sha256_hex(f"{salt}/{sample.path}".encode())[:32]
