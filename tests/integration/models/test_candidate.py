"""From members to examples, thresholds and figures."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from services.trainer.job.candidate import make_candidate
from services.trainer.job.evaluation import ScoredCapture, choose_thresholds, match_thresholds, measure, score_held_out
from services.trainer.job.examples import MemberPixels, UnreadableTrainingSetError, make_examples
from services.trainer.job.learner import CANDIDATE, TEACHER, LearnerSources
from services.trainer.job.learners import ResidualLearner, UnetLearner, make_learner, trust_for
from services.trainer.job.member_lessons import lessons_of
from siad.models.bundle import open_bundle
from siad.models.training.lessons import LessonKind
from siad.models.training.recipe import ResidualRecipe, TrainingRecipe
from siad.vision.images import Image
from tests.manifests import make_manifest
from tests.synthetic import bundle, part_image
from tests.unit.trainer.test_judge import SPEC


def member(number: int, role: MemberRole, use: MemberUse) -> TrainingMember:
    return TrainingMember(
        capture_id=f"{number:032x}",
        image_id=f"{number:064x}",
        image_uri="s3://siad/x",
        mask_uri="" if role is MemberRole.NORMAL else "s3://siad/y",
        mask_sha256="" if role is MemberRole.NORMAL else "c" * 64,
        role=role,
        use=use,
        weight=0.5,
    )


def scored(number: int, role: MemberRole, use: MemberUse, *, score: float) -> ScoredCapture:
    """A map that is ``score`` in one corner; the corner is what the mask marks, where there is a defect."""
    map_HW = np.full((64, 64), score - 5, np.float32)
    map_HW[:8, :8] = score
    mask_HW = np.zeros((64, 64), np.bool_)
    mask_HW[:8, :8] = role is MemberRole.DEFECT
    return ScoredCapture(member=member(number, role, use), score=score, map_P=map_HW.ravel(), mask_P=mask_HW.ravel())


HELD_OUT = [
    *(scored(n, MemberRole.NORMAL, MemberUse.CALIBRATE, score=n / 10) for n in range(19)),
    *(scored(100 + n, MemberRole.DEFECT, MemberUse.CALIBRATE, score=6.0 + n) for n in range(3)),
    *(scored(200 + n, MemberRole.GOOD, MemberUse.CHECK, score=n / 10) for n in range(20)),
    *(scored(300 + n, MemberRole.DEFECT, MemberUse.CHECK, score=1.05 + n) for n in range(4)),
]


def test_the_threshold_is_promised_by_the_good_captures_held_out_to_calibrate_on() -> None:
    thresholds = choose_thresholds(HELD_OUT, budget=0.05)
    assert thresholds.image == pytest.approx(1.8)  # the highest of nineteen
    assert thresholds.promised_false_reject == 0.05
    assert len(thresholds.held_out_scores) == 19
    assert thresholds.pixel <= thresholds.image


def test_marks_are_cut_where_they_agree_best_with_the_masks() -> None:
    thresholds = choose_thresholds(
        [*HELD_OUT[:19], scored(9, MemberRole.DEFECT, MemberUse.CALIBRATE, score=1.0)], budget=0.05
    )
    assert thresholds.pixel == pytest.approx(1.0)


def test_without_a_marked_defect_the_good_captures_say_where_to_mark() -> None:
    thresholds = choose_thresholds(HELD_OUT[:19], budget=0.05)
    assert thresholds.pixel == pytest.approx(np.quantile(np.concatenate([one.map_P for one in HELD_OUT[:19]]), 0.995))


def test_good_captures_that_made_the_threshold_say_nothing_of_false_rejects() -> None:
    figures = measure(HELD_OUT, image_threshold=1.75)
    assert (figures.normals, figures.false_rejects, figures.false_reject_rate) == (20, 2, 0.1)


def test_every_held_out_defect_speaks() -> None:
    figures = measure(HELD_OUT, image_threshold=1.75)
    assert (figures.defects, figures.detected) == (7, 6)
    assert 0.5 < figures.image_auroc < 1
    assert 0 < figures.pixel_ap <= 1


def test_held_out_captures_that_cannot_be_read_are_named() -> None:
    with pytest.raises(UnreadableTrainingSetError, match="no good capture for calibration can be read"):
        choose_thresholds([one for one in HELD_OUT if one.is_defect], budget=0.05)
    with pytest.raises(UnreadableTrainingSetError, match="0 held-out defects and 20 good captures"):
        measure([one for one in HELD_OUT if not one.is_defect], image_threshold=1.75)


class Store:
    """Parts in memory; those in ``gone`` can't be read."""

    def __init__(self, *gone: int) -> None:
        self.gone = {f"{number:032x}" for number in gone}
        self.asked: list[str] = []

    def read(self, members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
        for one in members:
            self.asked.append(one.capture_id)
            if one.capture_id in self.gone:
                continue
            image_HWC = part_image(int(one.capture_id, 16), defect=one.role is MemberRole.DEFECT)
            mask = np.where(image_HWC[:, :, 0] > 200, 255, 0).astype(np.uint8)
            yield one, (image_HWC, None if one.role is MemberRole.NORMAL else mask)


MEMBERS = TrainingSet(
    members=(
        member(1, MemberRole.NORMAL, MemberUse.TRAIN),
        member(2, MemberRole.DEFECT, MemberUse.TRAIN),
        member(3, MemberRole.GOOD, MemberUse.TRAIN),
        *(member(10 + n, MemberRole.GOOD, MemberUse.CALIBRATE) for n in range(3)),
        *(member(20 + n, MemberRole.GOOD, MemberUse.CHECK) for n in range(3)),
        *(member(30 + n, MemberRole.DEFECT, MemberUse.CHECK) for n in range(3)),
    )
)


def test_only_what_is_for_training_is_trained_on() -> None:
    store = Store(3)
    examples = make_examples(MEMBERS, store.read, input_px=64)
    assert store.asked == [f"{number:032x}" for number in (1, 2, 3)]
    assert [bool(example.mask_HW.any()) for example in examples] == [False, True]
    assert {example.weight for example in examples} == {0.5}


def test_a_set_of_which_no_member_can_be_read_is_named() -> None:
    with pytest.raises(UnreadableTrainingSetError, match="none of the 3 members for training can be read"):
        make_examples(MEMBERS, Store(1, 2, 3).read, input_px=64)


def test_images_of_another_shape_are_brought_to_that_of_most() -> None:
    class Odd(Store):
        def read(self, members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
            for one, (image_HWC, mask_hw) in super().read(members):
                times = 3 if one.capture_id.endswith("2") else 1
                wide_HWC = np.concatenate([image_HWC] * times, axis=1)
                yield one, (wide_HWC, None if mask_hw is None else np.concatenate([mask_hw] * times, axis=1))

    examples = make_examples(MEMBERS, Odd().read, input_px=64)
    assert {example.image_CHW.shape for example in examples} == {(3, 64, 64)}
    assert examples[1].mask_HW.any()


def test_a_candidate_opens_as_a_pod_would_open_it_and_says_the_same() -> None:
    learner, store = UnetLearner(TrainingRecipe(), input_px=64, device=torch.device("cpu")), Store()
    held_out = score_held_out(MEMBERS, store.read, learner.scorers(SPEC), input_px=64)
    assert {one.member.use for one in held_out[CANDIDATE]} == {MemberUse.CALIBRATE, MemberUse.CHECK}
    bundle, figures = make_candidate(learner.network(), SPEC, held_out, normal=part_image(0))
    manifest = bundle.manifest
    assert (manifest.training_set, manifest.parent) == (SPEC.training_set, SPEC.teacher)
    assert dict(manifest.metrics)["image_auroc"] == figures.image_auroc
    predictor = open_bundle(manifest, bundle.parts)
    assert predictor.predict([part_image(5)])[0].score == pytest.approx(-2.0, abs=1e-4)  # it has learned nothing
    again, _ = make_candidate(learner.network(), SPEC, held_out, normal=part_image(0))
    assert again.manifest.weights == manifest.weights


def test_a_network_on_its_teachers_scale_rejects_as_many_of_the_stream_as_the_teacher() -> None:
    teacher = make_manifest(image_threshold=4.0, pixel_threshold=3.0)
    uses = (MemberRole.GOOD, MemberUse.CHECK)
    stream = [scored(n, *uses, score=1.0 + n / 10) for n in range(20)]
    stream += [scored(50 + n, MemberRole.DEFECT, MemberUse.CHECK, score=6.0 + n) for n in range(5)]
    goods = [scored(80 + n, MemberRole.NORMAL, MemberUse.CALIBRATE, score=2.0) for n in range(20)]
    by_teacher = [*stream, *goods]
    doubled = [replace(one, score=2 * one.score) for one in by_teacher]
    thresholds = match_thresholds(doubled, by_teacher, teacher, budget=0.05)
    assert thresholds.image == pytest.approx(8.0)
    assert thresholds.pixel == pytest.approx(6.0)
    assert thresholds.held_out_scores == (4.0,) * 20  # the teacher chose the others by low scores


def test_the_threshold_of_a_network_keeps_the_budget_on_images_known_to_be_good() -> None:
    teacher = make_manifest(image_threshold=4.0, pixel_threshold=3.0)
    stream = [scored(n, MemberRole.GOOD, MemberUse.CHECK, score=1.0 + n / 10) for n in range(20)]
    goods = [scored(80 + n, MemberRole.NORMAL, MemberUse.CALIBRATE, score=2.0) for n in range(20)]
    risen = [replace(one, score=5.0 + n / 10) for n, one in enumerate(goods)]
    thresholds = match_thresholds([*stream, *risen], [*stream, *goods], teacher, budget=0.05)
    assert sum(one.score >= thresholds.image for one in risen) == 1


def test_captures_that_people_answered_about_do_not_count_for_the_share_of_rejects() -> None:
    answered = scored(7, MemberRole.DEFECT, MemberUse.CHECK, score=9.0)
    assert answered.is_from_stream
    assert not replace(answered, member=replace(answered.member, revision=1)).is_from_stream


RESIDUAL = replace(SPEC, segmenter="residual", input_px=64)


def test_a_residual_candidate_is_its_teacher_until_it_learns_and_shares_its_files() -> None:
    made = bundle()
    cpu = torch.device("cpu")
    sources = LearnerSources(teacher=lambda: made, slow=lambda: made, read=Store().read)
    learner = make_learner(RESIDUAL, MEMBERS, sources, device=cpu)
    held_out = score_held_out(MEMBERS, Store().read, learner.scorers(RESIDUAL), input_px=64)
    assert held_out.keys() == {CANDIDATE, TEACHER}
    candidate, _ = make_candidate(learner.network(), RESIDUAL, held_out, normal=part_image(0))
    manifest = candidate.manifest
    assert manifest.image_threshold == pytest.approx(made.manifest.image_threshold, rel=1e-5)
    assert (manifest.method, manifest.normals) == ("residual", made.manifest.normals)
    images = [part_image(5), part_image(6, defect=True)]
    own, teachers = (open_bundle(one.manifest, one.parts).predict(images) for one in (candidate, made))
    assert [one.score for one in own] == pytest.approx([one.score for one in teachers], rel=1e-4)
    assert [one.is_defect for one in own] == [False, True]
    shared = {part.sha256 for part in manifest.parts} & {part.sha256 for part in made.manifest.parts}
    assert len(shared) == len(made.manifest.parts) - 1  # all but the golden scores


def test_a_residual_learns_from_the_members_and_trusts_itself_by_the_answers() -> None:
    made = bundle()
    learner = ResidualLearner(made, ResidualRecipe(steps=10), trust=trust_for(5), device=torch.device("cpu"))
    assert learner.prepare(MEMBERS, Store().read) == 3 + 2 * 2  # with two synthetic defects on each good one
    while not learner.is_done:
        assert learner.run_epoch() > 0
    assert learner.training.segmenter.settings.trust == 0.625
    assert [trust_for(count) for count in (0, 10, 20, 500)] == [0.5, 0.75, 1.0, 1.0]


def test_members_teach_what_is_known_of_them() -> None:
    defect, normal = member(2, MemberRole.DEFECT, MemberUse.TRAIN), member(1, MemberRole.NORMAL, MemberUse.TRAIN)
    cases = [
        (normal, LessonKind.NORMAL, False),
        (replace(normal, revision=1), LessonKind.CORRECTED_GOOD, False),
        (defect, LessonKind.MARKED, False),
        (replace(defect, revision=1, weight=1.0), LessonKind.CORRECTED_DEFECT, True),
        (replace(defect, revision=1, weight=0.4), LessonKind.CORRECTED_DEFECT, False),  # with the teacher's marks
    ]
    for one, kind, is_outlined in cases:
        [lesson] = lessons_of(TrainingSet(members=(one,)), Store().read)
        assert (lesson.kind, lesson.mask_hw is not None) == (kind, is_outlined)


def plain(images: Sequence[Image]) -> list[NDArray[np.float32]]:
    return [np.zeros(image_HWC.shape[:2], np.float32) for image_HWC in images]


@pytest.mark.parametrize(("input_px", "side", "marked"), [(64, 64, 1), (256, 64, 1), (640, 160, 4)])
def test_a_speck_in_a_large_view_is_measured_as_finely_as_it_was_shown(input_px: int, side: int, marked: int) -> None:
    mask_hw = np.zeros((1280, 1280), np.uint8)
    mask_hw[648:664, 328:344] = 255  # 16 px: two places a side of 160, at most .36 of one of 64
    kept = TrainingSet(members=(member(1, MemberRole.DEFECT, MemberUse.CHECK),))

    def read(members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
        return ((one, (np.zeros((1280, 1280, 1), np.uint8), mask_hw)) for one in members)

    [one] = score_held_out(kept, read, {"it": plain}, input_px=input_px)["it"]
    assert len(one.map_P) == len(one.mask_P) == side * side
    assert int(one.mask_P.sum()) == marked


def test_what_the_teacher_was_unsure_of_is_neither_learnt_nor_measured() -> None:
    mask_hw = np.zeros((128, 128), np.uint8)
    mask_hw[:32, :32], mask_hw[:32, 32:64] = 255, 128
    image_HWC = np.full((128, 128, 1), 100, np.uint8)

    def read(members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
        return ((one, (image_HWC, mask_hw)) for one in members)

    for role in (MemberRole.DEFECT, MemberRole.GOOD):
        kept = TrainingSet(members=(member(1, role, MemberUse.TRAIN), member(2, role, MemberUse.CHECK)))
        [example] = make_examples(kept, read, input_px=64)
        assert (example.mask_HW[:16, 16:32] == 128).all()
        assert (example.mask_HW[:16, :16] == (255 if role is MemberRole.DEFECT else 0)).all()
        found = score_held_out(kept, read, {"it": plain}, input_px=64)
        [one] = found["it"]
        assert len(one.map_P) == len(one.mask_P) == 64 * 64 - 16 * 16
        assert int(one.mask_P.sum()) == (16 * 16 if role is MemberRole.DEFECT else 0)
