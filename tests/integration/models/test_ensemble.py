"""Two that look at one part: on one scale, as the mean, and never one method twice."""

import numpy as np
import pytest
import torch
from torch import Tensor

from siad.models.bundle import Bundle, open_bundle
from siad.models.teachers import memory_recipe, student_teacher
from siad.models.teachers.ensemble import Ensemble, EnsembleRecipe, fit, member_maps
from siad.models.teachers.network_training import split_normals
from siad.vision.images import Image
from tests.synthetic import normals_of, part_image


class Spot:
    """Answers the same everywhere but at one place of its own grid."""

    def __init__(self, side: int, level: float, spot: float) -> None:
        self._map_hw = torch.full((side, side), level)
        self._map_hw[side // 2, side // 2] = spot

    def score(self, images_BCHW: Tensor) -> Tensor:
        return self._map_hw.expand(len(images_BCHW), -1, -1)


IMAGES = torch.zeros(2, 3, 32, 32)
SCALES = torch.tensor([[10.0, 20.0], [-1.0, 0.0]])  # middle and odd place of each


def test_both_views_are_brought_to_one_scale() -> None:
    both = Ensemble([Spot(4, 10.0, 30.0), Spot(4, -1.0, 1.0)], SCALES)
    views = both.views(IMAGES)
    assert views.shape == (2, 2, 4, 4)
    assert views[:, 0, 2, 2].tolist() == [2.0, 2.0]
    assert views[:, 0, 0, 0].tolist() == [0.0, 0.0]


def test_what_one_alone_sees_counts_half() -> None:
    agreed = Ensemble([Spot(4, 10.0, 30.0), Spot(4, -1.0, 1.0)], SCALES).score(IMAGES)
    alone = Ensemble([Spot(4, 10.0, 30.0), Spot(4, -1.0, -1.0)], SCALES).score(IMAGES)
    assert float(agreed[0].max()) == 2.0
    assert float(alone[0].max()) == 1.0


def test_the_finer_grid_is_kept() -> None:
    fine, coarse = member_maps([Spot(8, 0.0, 1.0), Spot(2, 0.0, 1.0)], IMAGES)
    assert fine.shape == coarse.shape == (2, 8, 8)


@pytest.mark.parametrize(
    "members", [("feature-memory", "feature-memory"), ("ensemble", "feature-memory"), ("feature-memory", "ensemble")]
)
def test_members_that_do_not_differ_are_refused(members: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="two different methods"):
        EnsembleRecipe(members=members)


def test_an_unknown_member_is_named() -> None:
    with pytest.raises(ValueError, match="no method 'crystal-ball'"):
        EnsembleRecipe(members=("feature-memory", "crystal-ball"))


def stain(seed: int, *, level: int | None = None) -> Image:
    """A flat part with grain; a faint broad stain is odd to one way of looking and not to every other."""
    pixels = np.random.default_rng(seed).normal(120, 4, (64, 64))
    if level is not None:
        pixels[16:48, 16:48] += level
    return np.asarray(pixels.clip(0, 255), np.uint8)[:, :, None]


def fitted(images: list[Image]) -> Bundle:
    return fit(
        normals_of(images),
        false_reject_budget=0.1,
        recipe=EnsembleRecipe(members=("student-teacher", "feature-memory")),
        recipes={
            "student-teacher": student_teacher.StudentRecipe(input_px=64, steps=25, width=16, rate=1e-2),
            "feature-memory": memory_recipe.MemoryRecipe(input_px=64, places_max=100, candidates_max=400),
        },
    )


def test_what_a_member_finds_odd_is_doubted_by_the_whole() -> None:
    training, _ = split_normals(normals_of([part_image(seed) for seed in range(12)]))
    defective = int(training.capture_ids[3], 16)
    made = fitted([part_image(seed, defect=seed == defective) for seed in range(12)])
    assert made.manifest.doubted == (training.capture_ids[3],)
    assert made.manifest.left_out == ()  # the student learned it


def test_a_fitted_ensemble_leaves_out_of_the_pseudo_mask_what_its_members_differ_on() -> None:
    made = fitted([stain(seed) for seed in range(9)])
    predictor = open_bundle(made.manifest, made.parts)
    found = predictor.predict([stain(100 + level, level=level) for level in (4, 8, 16, 32, 64)])
    assert any((one.pseudo_mask_HW == 128).any() for one in found)
    for one in found:
        assert set(np.unique(one.pseudo_mask_HW)) <= {0, 128, 255}
        assert not ((one.pseudo_mask_HW == 255) & (one.mask_HW == 0)).any()  # nothing is marked that was not told
    [clear] = predictor.predict([stain(164, level=64)])
    assert clear.is_defect
    assert (clear.pseudo_mask_HW == 255).any()
