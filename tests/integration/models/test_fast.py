"""The fast segmenter: a small memory that learns a slower map, and is bundled as any other weights."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from services.trainer.job.candidate import make_candidate
from services.trainer.job.evaluation import score_held_out
from services.trainer.job.examples import MemberPixels, UnreadableTrainingSetError
from services.trainer.job.fast_learner import FastLearner
from services.trainer.job.learner import CANDIDATE, TEACHER, LearnerSources
from services.trainer.job.learners import ResidualLearner, make_learner
from siad.models.bundle import Bundle, open_bundle
from siad.models.training.distillation import FOUND, PASSED, target_of
from siad.models.training.lessons import LessonImage, LessonKind
from siad.models.training.recipe import FastRecipe, ResidualRecipe
from tests.integration.models.test_candidate import Store, member
from tests.synthetic import bundle, part_image
from tests.unit.trainer.test_judge import SPEC

CPU = torch.device("cpu")
FAST = replace(SPEC, segmenter="fast", input_px=32)
KNOWN = tuple(range(1000, 1010))  # normals of the teacher
MEMBERS = TrainingSet(
    members=(
        *(member(n, MemberRole.NORMAL, MemberUse.CHECK if n > 1004 else MemberUse.TRAIN) for n in KNOWN),
        member(1, MemberRole.NORMAL, MemberUse.CHECK),  # the teacher does not know it
        *(member(2 + n, MemberRole.DEFECT, MemberUse.TRAIN) for n in range(3)),
        *(member(10 + n, MemberRole.GOOD, MemberUse.CALIBRATE) for n in range(3)),
        *(member(20 + n, MemberRole.GOOD, MemberUse.CHECK) for n in range(3)),
        *(member(30 + n, MemberRole.DEFECT, MemberUse.CHECK) for n in range(3)),
    )
)


def sources(slow: Bundle) -> LearnerSources:
    return LearnerSources(teacher=bundle, slow=lambda: slow, read=Store().read)


def learner_of(slow: Bundle, recipe: FastRecipe) -> FastLearner:
    return FastLearner.of(FAST, MEMBERS, sources(slow), recipe, device=CPU)


def candidate_of(learner: FastLearner) -> Bundle:
    scored = score_held_out(MEMBERS, Store().read, learner.scorers(FAST), input_px=32)
    assert scored.keys() == {CANDIDATE, TEACHER}
    made, _ = make_candidate(learner.network(), FAST, scored, normal=part_image(0))
    return made


def test_it_learns_the_map_of_its_teacher_and_serves_from_its_own_bundle() -> None:
    teacher = bundle()
    learner = learner_of(teacher, FastRecipe(steps=120, synthetic_max=6))
    assert learner.prepare(MEMBERS, Store().read) == 5 + 3 + 6
    losses = []
    while not learner.is_done:
        losses.append(learner.run_epoch())
    assert losses[-1] < 0.8 * losses[0]
    made = candidate_of(learner)
    manifest = made.manifest
    assert (manifest.method, manifest.input_px, manifest.distilled) == ("fast", 32, "")
    assert manifest.footprint_px == pytest.approx(teacher.manifest.footprint_px / 2)
    shared = {part.sha256 for part in manifest.parts} & {part.sha256 for part in teacher.manifest.parts}
    assert len(shared) == 1  # the backbone
    good, bad = open_bundle(manifest, made.parts).predict([part_image(9001), part_image(9002, defect=True)])
    assert bad.score > 2 * good.score


def test_the_same_captures_and_seed_give_the_same_weights() -> None:
    made = []
    for _ in range(2):
        learner = learner_of(bundle(), FastRecipe(steps=10, synthetic_max=2))
        learner.prepare(MEMBERS, Store().read)
        while not learner.is_done:
            learner.run_epoch()
        made.append(candidate_of(learner).manifest.weights)
    assert made[0] == made[1]


def test_a_residual_is_named_as_what_it_learned_from() -> None:
    residual = ResidualLearner(bundle(), ResidualRecipe(), trust=1.0, device=CPU)
    scored = score_held_out(MEMBERS, Store().read, residual.scorers(replace(FAST, input_px=64)), input_px=64)
    slow, _ = make_candidate(residual.network(), replace(FAST, input_px=64), scored, normal=part_image(0))
    manifest = candidate_of(learner_of(slow, FastRecipe())).manifest
    assert (manifest.distilled, manifest.parent) == (slow.manifest.weights, FAST.teacher)


def test_its_memory_knows_no_held_out_normal_that_the_slow_one_does_not() -> None:
    assert learner_of(bundle(), FastRecipe()).network().teacher is not None
    normals = candidate_of(learner_of(bundle(), FastRecipe())).manifest.normals
    assert normals == tuple(f"{number:032x}" for number in KNOWN)


def test_the_trainer_chooses_it_by_the_spec() -> None:
    assert isinstance(make_learner(FAST, MEMBERS, sources(bundle()), device=CPU), FastLearner)


def test_too_few_readable_normals_are_named() -> None:
    def read_none(members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
        yield from Store(*KNOWN).read(members)

    with pytest.raises(UnreadableTrainingSetError, match="0 of 10 normals can be read; a fast segmenter needs 2"):
        FastLearner.of(FAST, MEMBERS, replace(sources(bundle()), read=read_none), FastRecipe(), device=CPU)


def test_what_is_known_beyond_the_slow_map_is_the_target() -> None:
    released_hw = torch.full((4, 4), 0.5)
    mask_hw = np.zeros((16, 16), np.uint8)
    mask_hw[:8, :8], mask_hw[8:, 8:] = 255, 128
    image = LessonImage(image_HWC=part_image(0), kind=LessonKind.SYNTHETIC, mask_hw=mask_hw)
    target_hw, known_hw = target_of(image, released_hw)
    assert (target_hw[:2, :2] == FOUND).all()
    assert (target_hw[2:, :2] == 0.5).all()
    assert (known_hw[2:, 2:] == 0).all()  # a person was unsure
    good_hw, _ = target_of(replace(image, kind=LessonKind.CORRECTED_GOOD, mask_hw=None), released_hw)
    assert (good_hw == PASSED).all()
    marked_hw, _ = target_of(replace(image, kind=LessonKind.MARKED), released_hw)
    assert (marked_hw == released_hw).all()
