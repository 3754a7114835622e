"""The teacher with a learnt correction: untrained it is the teacher, and it learns what lessons say."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from siad.contracts.errors import UnusableWeightsError
from siad.contracts.events import WeightsKind
from siad.models.bundle import GOLDEN, describe_parts, golden_crops, golden_part, open_bundle
from siad.models.residual import (
    NETWORK,
    CorrectionSettings,
    ResidualSegmenter,
    UnseenScores,
    load,
    new_residual,
    parts_of,
)
from siad.models.runner.torch import TorchRunner
from siad.models.teachers.feature_memory import FeatureMemory, read_memory
from siad.models.training.lessons import LessonImage, LessonKind, LessonView, make_views
from siad.models.training.recipe import ResidualRecipe
from siad.models.training.residual import ResidualTraining, shares_of
from siad.vision.preprocess import preprocess
from siad.vision.ranking import average_precision
from tests.synthetic import SIDE_PX, bundle, part_image

RECIPE = ResidualRecipe(steps=20, steps_each=5, batch=8, synthetic_max=6)
CPU = torch.device("cpu")


@cache
def teacher() -> FeatureMemory:
    return read_memory(bundle().parts)


def segmenter(*, trust: float = 1.0, seed: int = 0) -> ResidualSegmenter:
    threshold = bundle().manifest.image_threshold
    return new_residual(teacher(), CorrectionSettings(threshold=threshold, trust=trust), seed=seed)


def inputs(images: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack([preprocess(image_HWC, input_px=SIDE_PX) for image_HWC in images]))


def marks(image_HWC: np.ndarray) -> np.ndarray:
    return np.where(image_HWC[:, :, 0] > 200, 255, 0).astype(np.uint8)


def lesson(seed: int, kind: LessonKind, *, defect: bool = False, outlined: bool = False) -> LessonImage:
    image_HWC = part_image(seed, defect=defect)
    return LessonImage(image_HWC=image_HWC, kind=kind, mask_hw=marks(image_HWC) if outlined else None)


@cache
def views() -> list[LessonView]:
    images = [
        *(lesson(1000 + n, LessonKind.NORMAL) for n in range(3)),
        *(lesson(n, LessonKind.GOOD) for n in range(3)),
        *(lesson(10 + n, LessonKind.MARKED, defect=True) for n in range(4)),
        *(lesson(20 + n, LessonKind.CORRECTED_DEFECT, defect=True, outlined=True) for n in range(3)),
    ]
    return make_views(segmenter(), images, RECIPE, input_px=SIDE_PX)


def trained(recipe: ResidualRecipe = RECIPE) -> ResidualTraining:
    training = ResidualTraining(segmenter(), recipe, CPU)
    while not training.is_done:
        training.run_epoch(views())
    return training


def test_untrained_it_gives_the_scores_of_its_teacher() -> None:
    images_BCHW = inputs([part_image(1), part_image(2, defect=True)])
    assert torch.equal(segmenter().score(images_BCHW), teacher().score(images_BCHW))


def test_a_correction_moves_the_logit_by_the_share_that_is_trusted() -> None:
    settings = CorrectionSettings(threshold=2.0, trust=0.5)
    scores = torch.tensor([0.0, 0.5, 2.0, 9.0])
    moved = settings.logits(settings.corrected(scores, torch.full((4,), 3.0)))
    assert moved.tolist() == pytest.approx((settings.logits(scores) + 1.5).tolist(), abs=1e-5)
    assert settings.logits(torch.tensor(2.0)) == pytest.approx(0.0)


def test_a_correction_without_bounds_keeps_scores_finite() -> None:
    settings = CorrectionSettings(threshold=2.0, trust=1.0)
    assert settings.corrected(torch.tensor([1.0, 1.0]), torch.tensor([1e9, -1e9])).isfinite().all()


def test_the_places_of_its_own_normals_are_hidden_and_those_of_others_are_not() -> None:
    own = [teacher().own_places(image_CHW) for image_CHW in inputs([part_image(1000 + n) for n in range(10)])]
    other = teacher().own_places(inputs([part_image(7)])[0])
    for index in range(len(other)):
        found_M = torch.stack([hidden[index] for hidden in own]).any(0)
        assert found_M.all(), "every entry was taken from one of the ten normals"
        assert not other[index].any()


def test_a_normal_is_scored_as_an_unseen_one_where_its_places_are_hidden() -> None:
    images_BCHW = inputs([part_image(1000), part_image(1001), part_image(7)])
    seen, unseen = segmenter().score(images_BCHW), UnseenScores(segmenter()).score(images_BCHW)
    assert (unseen[:2].amax((1, 2)) > 1.2 * seen[:2].amax((1, 2))).all()
    assert torch.allclose(unseen[2], seen[2], atol=1e-5)


def faint(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A part with a square that is hardly brighter, and its mask."""
    image_HWC, mask_hw = part_image(seed), np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    top, left = np.random.default_rng(seed).integers(1, 5, 2) * 8
    mask_hw[top : top + 16, left : left + 16] = 255
    return np.where(mask_hw[..., None] > 0, image_HWC + 16, image_HWC).astype(np.uint8), mask_hw


def test_it_learns_what_a_person_outlined() -> None:
    outlined = [
        LessonImage(image_HWC=image_HWC, mask_hw=mask_hw, kind=LessonKind.CORRECTED_DEFECT)
        for image_HWC, mask_hw in map(faint, range(60, 72))
    ]
    training = ResidualTraining(segmenter(), replace(RECIPE, steps=40), CPU)
    shown = make_views(training.segmenter, outlined, RECIPE, input_px=SIDE_PX)
    while not training.is_done:
        training.run_epoch(shown)
    unseen = [faint(seed) for seed in range(90, 98)]
    is_defect = np.stack([mask_hw[4::8, 4::8] > 0 for _, mask_hw in unseen])
    images_BCHW = inputs([image_HWC for image_HWC, _ in unseen])
    before, after = (
        average_precision(is_defect.ravel(), one.score(images_BCHW).detach().numpy().ravel())
        for one in (segmenter(), training.finish())
    )
    assert after > before + 0.1


def test_a_person_who_calls_marks_good_lowers_them() -> None:
    """With no other lesson than that such parts are good, the blobs score lower than before."""
    images = [lesson(30 + n, LessonKind.CORRECTED_GOOD, defect=True) for n in range(6)]
    training = ResidualTraining(segmenter(), replace(RECIPE, steps=80), CPU)
    shown = make_views(training.segmenter, images, RECIPE, input_px=SIDE_PX)
    while not training.is_done:
        training.run_epoch(shown)
    unseen = inputs([part_image(95, defect=True)])
    assert training.finish().score(unseen).max() < 0.7 * segmenter().score(unseen).max()


def test_a_resumed_training_gives_the_weights_of_one_without_interruption() -> None:
    whole = trained()
    first = ResidualTraining(segmenter(), RECIPE, CPU)
    first.run_epoch(views())
    resumed = ResidualTraining(segmenter(seed=9), RECIPE, CPU)
    resumed.restore(first.state())
    assert resumed.epoch == 1
    while not resumed.is_done:
        resumed.run_epoch(views())
    expected = whole.segmenter.decoder.state_dict()
    assert all(torch.equal(expected[name], now) for name, now in resumed.segmenter.decoder.state_dict().items())


def test_training_ends_when_its_seconds_are_used_up() -> None:
    ticks = iter(float(second) for second in range(0, 1_000, 5))
    training = ResidualTraining(segmenter(), replace(RECIPE, train_s=12.0), CPU)
    training.run_epoch(views(), clock=lambda: next(ticks))
    assert training.is_done
    assert training.seconds == 15.0


def test_the_teachers_marks_are_sure_near_their_peak_only() -> None:
    marked = next(view for view in views() if view.kind is LessonKind.MARKED)
    assert torch.unique(marked.weight_hw).tolist() == pytest.approx([0.0, 0.3, 1.0])
    sure = marked.target_hw > 0
    assert sure.any()
    assert (marked.weight_hw[sure] == 1).all()
    assert marked.logits_hw[sure].min() > marked.logits_hw[marked.weight_hw == np.float32(0.3)].max()


def test_where_lessons_say_nothing_the_teachers_score_stays() -> None:
    """Without the anchor the correction rises with every lesson that such scores are defects."""
    outlined = [lesson(20 + n, LessonKind.CORRECTED_DEFECT, defect=True, outlined=True) for n in range(3)]
    unknown = [replace(one, mask_hw=np.full((SIDE_PX, SIDE_PX), 128, np.uint8)) for one in outlined]
    corrections = []
    for anchor in (0.0, 5.0):
        training = ResidualTraining(segmenter(), replace(RECIPE, steps=40, anchor=anchor), CPU)
        shown = make_views(training.segmenter, [*outlined, *unknown], RECIPE, input_px=SIDE_PX)
        while not training.is_done:
            training.run_epoch(shown)
        unseen = training.finish().inputs(inputs([part_image(40 + n, defect=True) for n in range(3)]))
        corrections.append(float(training.segmenter.decoder(unseen.levels, unseen.hints_BKhw).detach().abs().mean()))
    assert corrections[1] < 0.5 * corrections[0]


def test_outlines_by_people_take_the_place_of_the_teachers_marks() -> None:
    recipe, none = ResidualRecipe(), dict.fromkeys(LessonKind, 0)
    counts = none | {LessonKind.NORMAL: 4, LessonKind.GOOD: 60, LessonKind.MARKED: 10, LessonKind.SYNTHETIC: 90}
    before = shares_of(counts, recipe)
    assert before == pytest.approx({"normal": 0.1, "good": 0.2, "marked": 0.35, "synthetic": 0.35})
    answered = shares_of(counts | {LessonKind.CORRECTED_DEFECT: 10, LessonKind.CORRECTED_GOOD: 10}, recipe)
    assert sum(answered.values()) == pytest.approx(1.0)
    assert answered[LessonKind.CORRECTED_DEFECT] + answered[LessonKind.CORRECTED_GOOD] == pytest.approx(0.4)
    assert answered[LessonKind.MARKED] / answered[LessonKind.SYNTHETIC] == pytest.approx(0.5)
    assert shares_of(none | {LessonKind.CORRECTED_GOOD: 1}, recipe) == {LessonKind.CORRECTED_GOOD: pytest.approx(1.0)}


def test_what_a_person_was_unsure_of_counts_for_nothing() -> None:
    mask_hw = np.full((SIDE_PX, SIDE_PX), 128, np.uint8)
    mask_hw[:8, :8] = 255
    image = LessonImage(image_HWC=part_image(3), kind=LessonKind.CORRECTED_DEFECT, mask_hw=mask_hw)
    [view] = make_views(segmenter(), [image], RECIPE, input_px=SIDE_PX)
    assert (float(view.target_hw.sum()), float(view.weight_hw.sum())) == (1.0, 1.0)


def test_a_bundle_opens_as_a_pod_would_open_it_and_judges_as_before() -> None:
    made, network = bundle(), trained().finish()
    parts = parts_of(network, made.parts)
    assert parts.keys() == made.parts.keys() - {GOLDEN} | {"correction.safetensors", "correction.json"}
    parts[GOLDEN] = golden_part(TorchRunner(network), golden_crops(part_image(0)))
    manifest = replace(made.manifest, kind=WeightsKind.SEGMENTER, method="residual", parts=describe_parts(parts))
    images = [part_image(5), part_image(6, defect=True)]
    [good, bad] = open_bundle(manifest, parts).predict(images)
    assert bad.is_defect
    assert not good.is_defect
    shared = {part.name: part.sha256 for part in made.manifest.parts}
    assert {part.name: part.sha256 for part in manifest.parts if part.name in shared and part.name != GOLDEN} == {
        name: digest for name, digest in shared.items() if name != GOLDEN
    }


def test_a_correction_for_another_network_is_refused() -> None:
    made = bundle()
    parts = parts_of(segmenter(), made.parts) | {NETWORK: made.parts["memory.safetensors"]}
    with pytest.raises(UnusableWeightsError, match="another correction than this version builds"):
        load(replace(made.manifest, method="residual"), parts)
