"""Learner of the fast segmenter."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Self

import torch

from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from services.trainer.job.evaluation import ScoreImages, make_scorer
from services.trainer.job.examples import ReadMembers, UnreadableTrainingSetError
from services.trainer.job.learner import CANDIDATE, TEACHER, CrossFit, LearnerSources, TrainedNetwork, scorer_of
from services.trainer.job.member_lessons import lessons_of
from siad.contracts.manifest import Manifest
from siad.contracts.methods import FAST, RESIDUAL
from siad.contracts.place import Place
from siad.contracts.training_runs import RunSpec
from siad.models import residual
from siad.models.bundle import Bundle
from siad.models.fast import fit_small_memory
from siad.models.residual import CorrectionSettings, ResidualSegmenter, UnseenScores, new_residual
from siad.models.teachers.feature_memory import read_memory
from siad.models.teachers.normals import Normals
from siad.models.training.distillation import DistillationTraining, DistilledPair
from siad.models.training.lessons import LessonView, with_synthetic_defects
from siad.models.training.recipe import FastRecipe
from siad.vision.region import RegionOfInterest

NORMALS_MIN = 2  # of a memory


class FastLearner:
    """Trains a fast segmenter on the map of slow weights; implements ``Learner``."""

    def __init__(self, slow: Bundle, small: Bundle, recipe: FastRecipe, *, device: torch.device) -> None:
        """Begin with the small memory alone.

        Args:
            slow: weights whose map is learned.
            small: memory of the fast segmenter.
            recipe: of the training.
            device: likewise.
        """
        settings = CorrectionSettings(threshold=_threshold_of(small.manifest, slow.manifest), trust=1.0)
        network = new_residual(read_memory(small.parts), settings, seed=recipe.seed)
        self.training = DistillationTraining(network, recipe, device)
        self._slow, self._small = slow, small
        self._views: list[LessonView] = []

    @classmethod
    def of(
        cls,
        spec: RunSpec,
        training_set: TrainingSet,
        sources: LearnerSources,
        recipe: FastRecipe,
        *,
        device: torch.device,
    ) -> Self:
        """Read the slow weights, and fit the small memory.

        Raises:
            UnreadableTrainingSetError: fewer than two normals can be read.
        """
        slow = sources.slow()
        members = [one for one in training_set.members if _is_for_memory(one, slow.manifest)]
        images = {member.capture_id: image_HWC for member, (image_HWC, _) in sources.read(members)}
        if len(images) < NORMALS_MIN:
            msg = f"{len(images)} of {len(members)} normals can be read; a fast segmenter needs {NORMALS_MIN}"
            raise UnreadableTrainingSetError(msg)
        normals = Normals.ordered(list(images.values()), list(images), Place(spec.line, spec.product))
        small = fit_small_memory(normals, slow, input_px=spec.input_px, budget=spec.false_reject_budget)
        return cls(slow, small, recipe, device=device)

    @property
    def is_done(self) -> bool:
        """Whether the training has ended."""
        return self.training.is_done

    def prepare(self, training_set: TrainingSet, read: ReadMembers) -> int:
        """Show the members for training to both segmenters, and count the views."""
        training, workers = self.training, self.training.workers
        pair = DistilledPair(
            fast=training.segmenter,
            fast_px=self._small.manifest.input_px,
            slow=_slow_segmenter(self._slow),
            slow_px=self._slow.manifest.input_px,
        )
        lessons = lessons_of(training_set, read, workers=workers)
        groups = with_synthetic_defects(lessons, training.recipe, input_px=pair.slow_px, workers=workers)
        self._views = list(pair.views(groups))
        if not self._views:
            msg = f"none of the {len(training_set.members)} members can be read for training"
            raise UnreadableTrainingSetError(msg)
        return len(self._views)

    def run_epoch(self) -> float:
        """Train for some steps; returns the mean loss."""
        return self.training.run_epoch(self._views)

    def network(self) -> TrainedNetwork:
        """Return the fast segmenter as it is now."""
        network, slow, small = self.training.finish(), self._slow.manifest, self._small.manifest
        return TrainedNetwork(
            method=FAST,
            detector=network,
            parts=residual.parts_of(network, self._small.parts),
            teacher=replace(
                slow,
                normals=small.normals,
                stream_normals=(),
                left_out=small.left_out,
                doubted=small.doubted,
                footprint_px=slow.footprint_px * small.input_px / slow.input_px,
            ),
            distilled=slow.weights if slow.method == RESIDUAL else "",
        )

    def cross_fit(self, folds: Sequence[frozenset[str]]) -> list[CrossFit]:
        """Give none: the slow weights, whose map is learned, know these answers."""
        del folds
        return []

    def scorers(self, spec: RunSpec) -> dict[str, ScoreImages]:
        """Make functions that score with the fast and with the slow segmenter.

        Both score an image that is in their memory as one that is not.
        """
        slow = UnseenScores(_slow_segmenter(self._slow))
        region = RegionOfInterest(spec.region)
        return {
            CANDIDATE: scorer_of(UnseenScores(self.training.finish()), spec),
            TEACHER: make_scorer(slow, input_px=self._slow.manifest.input_px, region=region, bits=spec.bits),
        }


def _threshold_of(small: Manifest, slow: Manifest) -> float:
    """Carry the slow threshold over to the scale of the small memory.

    Where normals score alike on both, the decoder has the least to learn.
    """
    if not (small.held_out_scores and slow.held_out_scores):
        return small.image_threshold
    usual, usual_slow = median(small.held_out_scores), median(slow.held_out_scores)
    return slow.image_threshold * usual / usual_slow if min(usual, usual_slow) > 0 else small.image_threshold


def _is_for_memory(member: TrainingMember, slow: Manifest) -> bool:
    """Whether the small memory may learn a member.

    Held-out normals that the slow memory does not know stay held out.
    """
    if member.role is not MemberRole.NORMAL:
        return False
    return member.use is MemberUse.TRAIN or member.capture_id in slow.normals


def _slow_segmenter(slow: Bundle) -> ResidualSegmenter:
    """Open slow weights; a teacher is a correction that changes nothing."""
    threshold = slow.manifest.image_threshold
    if slow.manifest.method != RESIDUAL:
        return new_residual(read_memory(slow.parts), CorrectionSettings(threshold=threshold, trust=0.0))
    network = residual.load(slow.manifest, slow.parts)
    return ResidualSegmenter(network.teacher, network.settings, network.decoder)
