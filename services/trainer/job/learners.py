"""Learners of U-Nets and residual segmenters, and the choice.

The trainer's job and the routine in memory use the same ones.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch

from services.trainer.domain.training_set import MemberUse, TrainingSet
from services.trainer.job.evaluation import ScoreImages
from services.trainer.job.examples import ReadMembers, UnreadableTrainingSetError, make_examples
from services.trainer.job.fast_learner import FastLearner
from services.trainer.job.learner import (
    CANDIDATE,
    TEACHER,
    CrossFit,
    Learner,
    LearnerSources,
    TrainedNetwork,
    scorer_of,
)
from services.trainer.job.member_lessons import lessons_of
from siad.contracts.methods import FAST, RESIDUAL, UNET
from siad.contracts.training_runs import RunSpec
from siad.models import residual, segmenter
from siad.models.bundle import Bundle
from siad.models.residual import CorrectionSettings, ResidualSegmenter, UnseenScores, new_residual
from siad.models.segmenter import new_segmenter
from siad.models.teachers.feature_memory import read_memory
from siad.models.training.augment import TrainingExample
from siad.models.training.lessons import LessonView, make_views
from siad.models.training.recipe import FastRecipe, ResidualRecipe, TrainingRecipe
from siad.models.training.residual import ResidualTraining
from siad.models.training.segmenter import SegmenterTraining

TRUST_MIN: Final = 0.5  # of a correction that no person's answer stands behind
CORRECTIONS_TRUSTED: Final = 20  # from which a correction is trusted wholly


def make_learner(
    spec: RunSpec, training_set: TrainingSet, sources: LearnerSources, *, device: torch.device, seed: int = 0
) -> Learner:
    """Build the learner that a run asks for.

    Args:
        spec: of the run.
        training_set: how many people's answers it has decides how far a correction is trusted.
        sources: what the method builds on.
        device: of the training.
        seed: of the first weights and of everything that is drawn.

    Raises:
        UnreadableTrainingSetError: a fast segmenter's memory has too few readable normals.
    """
    if spec.method == RESIDUAL:
        corrected = sum(one.is_corrected and one.use is MemberUse.TRAIN for one in training_set.members)
        recipe = ResidualRecipe(train_s=spec.train_s, seed=seed)
        return ResidualLearner(sources.teacher(), recipe, trust=trust_for(corrected), device=device)
    if spec.method == FAST:
        return FastLearner.of(spec, training_set, sources, FastRecipe(train_s=spec.train_s, seed=seed), device=device)
    recipe_of_unet = TrainingRecipe(epochs=spec.epochs, train_s=spec.train_s, seed=seed)
    return UnetLearner(recipe_of_unet, input_px=spec.input_px, device=device)


def trust_for(corrections: int) -> float:
    """Choose the share of a correction that is applied.

    By the number of people's answers behind it.
    """
    return TRUST_MIN + (1 - TRUST_MIN) * min(1.0, corrections / CORRECTIONS_TRUSTED)


class UnetLearner:
    """Trains a network of its own from the teacher's masks; implements ``Learner``."""

    def __init__(self, recipe: TrainingRecipe, *, input_px: int, device: torch.device) -> None:
        self.training = SegmenterTraining(new_segmenter(seed=recipe.seed), recipe, device)
        self._input_px = input_px
        self._examples: list[TrainingExample] = []

    @property
    def is_done(self) -> bool:
        """Whether the training has ended."""
        return self.training.is_done

    def prepare(self, training_set: TrainingSet, read: ReadMembers) -> int:
        """Preprocess the members for training, and count them."""
        self._examples = make_examples(training_set, read, input_px=self._input_px)
        return len(self._examples)

    def run_epoch(self) -> float:
        """Train for one pass over the examples; returns the mean loss."""
        return self.training.run_epoch(self._examples)

    def network(self) -> TrainedNetwork:
        """Return the network as it is now."""
        network = self.training.segmenter
        return TrainedNetwork(method=UNET, detector=network, parts=segmenter.parts_of(network))

    def cross_fit(self, folds: Sequence[frozenset[str]]) -> list[CrossFit]:
        """Give none: each would cost a whole training."""
        del folds
        return []

    def scorers(self, spec: RunSpec) -> dict[str, ScoreImages]:
        """Make the function that scores with the network."""
        return {CANDIDATE: scorer_of(self.training.segmenter, spec)}


class ResidualLearner:
    """Trains a correction of the teacher's map; implements ``Learner``."""

    def __init__(self, teacher: Bundle, recipe: ResidualRecipe, *, trust: float, device: torch.device) -> None:
        settings = CorrectionSettings(threshold=teacher.manifest.image_threshold, trust=trust)
        network = new_residual(read_memory(teacher.parts), settings, seed=recipe.seed)
        self.training = ResidualTraining(network, recipe, device)
        self._teacher = teacher
        self._views: list[LessonView] = []

    @property
    def is_done(self) -> bool:
        """Whether the training has ended."""
        return self.training.is_done

    def prepare(self, training_set: TrainingSet, read: ReadMembers) -> int:
        """Show the members for training to the teacher, and count the views."""
        training, workers = self.training, self.training.workers
        lessons = lessons_of(training_set, read, workers=workers)
        input_px = self._teacher.manifest.input_px
        self._views = make_views(training.segmenter, lessons, training.recipe, input_px=input_px, workers=workers)
        if not self._views:
            msg = f"none of the {len(training_set.members)} members can be read for training"
            raise UnreadableTrainingSetError(msg)
        return len(self._views)

    def run_epoch(self) -> float:
        """Train for some steps; returns the mean loss."""
        return self.training.run_epoch(self._views)

    def network(self) -> TrainedNetwork:
        """Return the teacher with its correction as it is now."""
        network = self.training.finish()
        return TrainedNetwork(
            method=RESIDUAL,
            detector=network,
            parts=residual.parts_of(network, self._teacher.parts),
            teacher=self._teacher.manifest,
        )

    def cross_fit(self, folds: Sequence[frozenset[str]]) -> list[CrossFit]:
        """Train a correction without each fold of answers.

        All together may take as long as the training itself is allowed to.
        """
        settings, recipe = self.training.segmenter.settings, self.training.recipe
        shorter = replace(recipe, train_s=recipe.train_s / max(1, len(folds)))
        return [CrossFit(detector=self._trained_without(fold, settings, shorter), left_out=fold) for fold in folds]

    def _trained_without(
        self, fold: frozenset[str], settings: CorrectionSettings, recipe: ResidualRecipe
    ) -> ResidualSegmenter:
        views = [view for view in self._views if view.answered not in fold]
        network = new_residual(self.training.segmenter.teacher, settings, seed=recipe.seed)
        training = ResidualTraining(network, recipe, self.training.device)
        while not training.is_done:
            training.run_epoch(views)
        return training.finish()

    def scorers(self, spec: RunSpec) -> dict[str, ScoreImages]:
        """Make functions that score with the correction and without it.

        Both score an image that is in the memory as one that is not.
        """
        network = self.training.finish()
        alone = ResidualSegmenter(network.teacher, replace(network.settings, trust=0.0), network.decoder)
        return {
            CANDIDATE: scorer_of(UnseenScores(network), spec),
            TEACHER: scorer_of(UnseenScores(alone), spec),
        }
