"""What every method promises, on tiny parts: fit, bundle, golden check, and a defect found where it is."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch

from siad.contracts.errors import GoldenError, UnusableWeightsError
from siad.contracts.methods import TEACHERS
from siad.models.bundle import GOLDEN, Bundle, describe_parts, open_bundle
from siad.models.teachers import (
    ensemble,
    feature_memory,
    memory_autoencoder,
    memory_recipe,
    reconstruction,
    student_teacher,
)
from siad.models.tensors import pack, unpack
from siad.vision.images import Image
from tests.synthetic import normals_of

COUNT = 10
REDRAW = reconstruction.ReconstructionRecipe(input_px=64, width=8, latent=16, steps=100, batch=2, rate=5e-3)
TINY: Mapping[str, partial[Bundle]] = {
    "feature-memory": partial(
        feature_memory.fit, recipe=memory_recipe.MemoryRecipe(input_px=64, places_max=100, candidates_max=400)
    ),
    "student-teacher": partial(
        student_teacher.fit, recipe=student_teacher.StudentRecipe(input_px=64, steps=25, width=16, rate=1e-2)
    ),
    "memory-autoencoder": partial(memory_autoencoder.fit, recipe=replace(REDRAW, slots=24)),
    "ensemble": partial(
        ensemble.fit,
        recipe=ensemble.EnsembleRecipe(members=("student-teacher", "feature-memory")),
        recipes={
            "student-teacher": student_teacher.StudentRecipe(input_px=64, steps=25, width=16, rate=1e-2),
            "feature-memory": memory_recipe.MemoryRecipe(input_px=64, places_max=100, candidates_max=400),
        },
    ),
}
pytestmark = pytest.mark.parametrize("method", TINY)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """On parts this small a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def part(seed: int, *, defect: bool = False) -> Image:
    """A dark disc on stripes with grain, uint8 [64, 64, 1]; a defect is a bright square on it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64]
    pixels = 130 + 25 * np.sin(x / 3) + rng.normal(0, 4, (64, 64))
    pixels -= 60 * ((x - 32) ** 2 + (y - 32) ** 2 < 400)
    if defect:
        pixels[20:36, 30:46] = 235
    return np.asarray(pixels.clip(0, 255), np.uint8)[:, :, None]


def fit(method: str, images: list[Image], *, order: list[int] | None = None, steps: int = 0) -> Bundle:
    """Fit as ``TINY`` says; ``steps`` other than 0 is how many are taken by those who take steps."""
    order = order or list(range(len(images)))
    names = [f"{index:032x}" for index in order]
    recipe = TINY[method].keywords["recipe"]
    if steps and hasattr(recipe, "steps"):
        recipe = replace(recipe, steps=steps)
    normals = normals_of([images[index] for index in order], names)
    return TINY[method](normals, false_reject_budget=0.05, recipe=recipe)


@cache
def bundle(method: str) -> Bundle:
    return fit(method, [part(seed) for seed in range(COUNT)], order=[3, 0, 9, 7, 1, 6, 2, 5, 8, 4])


def test_it_finds_a_defect_where_it_is_and_passes_what_is_good(method: str) -> None:
    predictor = open_bundle(bundle(method).manifest, bundle(method).parts)
    images = [part(100, defect=True), *(part(seed) for seed in range(101, 104))]
    bad, *good = predictor.predict(images)
    top, left = np.unravel_index(predictor.maps(images)[0].argmax(), (64, 64))
    assert 16 <= top < 40
    assert 26 <= left < 50
    assert bad.is_defect
    assert bad.mask_HW[24:32, 34:42].mean() > 127
    assert bad.score > max(one.score for one in good)
    assert sum(one.is_defect for one in good) <= 1


def test_the_same_normals_in_any_order_give_the_same_weights(method: str) -> None:
    images = [part(seed) for seed in range(COUNT)]
    one = fit(method, images, steps=5)
    again = fit(method, images, order=[3, 0, 9, 7, 1, 6, 2, 5, 8, 4], steps=5)
    assert again.parts == one.parts
    assert again.manifest == one.manifest


def test_other_normals_give_other_weights(method: str) -> None:
    one, other = (fit(method, [part(seed + first) for seed in range(7)], steps=2) for first in (0, 50))
    assert one.manifest.weights != other.manifest.weights


def test_it_is_called_by_its_name_and_says_what_it_held_out(method: str) -> None:
    manifest = bundle(method).manifest
    assert manifest.method == method
    assert len(manifest.held_out_scores) >= 2
    assert manifest.image_threshold > min(manifest.held_out_scores)
    assert len(manifest.normals) == COUNT


def test_normals_of_several_sizes_and_depths_can_be_fitted(method: str) -> None:
    wide = np.repeat(np.concatenate([part(1), part(2)], axis=1), 3, axis=2)
    images = [wide, wide, part(3).astype(np.uint16) * 257, part(4), part(5), part(6)]
    made = fit(method, images, steps=2)
    shapes = [map_HW.shape for map_HW in open_bundle(made.manifest, made.parts).maps(images[1:3])]
    assert shapes == [(64, 128), (64, 64)]


def test_equal_normals_can_be_fitted(method: str) -> None:
    made = fit(method, [part(0)] * 7, steps=5)
    assert np.isfinite(made.manifest.image_threshold)
    assert np.isfinite(open_bundle(made.manifest, made.parts).maps([part(0, defect=True)])[0]).all()


def test_one_normal_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="1 normals; at least"):
        fit(method, [part(0)])


def test_changed_weights_are_refused(method: str) -> None:
    made = bundle(method)
    name = max(
        (one for one in made.parts if one not in (GOLDEN, "backbone.safetensors", "recipe.json")),
        key=lambda one: len(made.parts[one]),
    )
    tensors = {key: (tensor.float() * 1.5 + 0.5).to(tensor.dtype) for key, tensor in unpack(made.parts[name]).items()}
    with pytest.raises(GoldenError):
        open_bundle(made.manifest, {**made.parts, name: pack(tensors)})
    with pytest.raises(UnusableWeightsError):
        open_bundle(made.manifest, {**made.parts, name: b"\x80\x04"})


def test_its_files_are_no_code(method: str) -> None:
    manifest = bundle(method).manifest
    assert manifest.parts == describe_parts(bundle(method).parts)
    assert all(one.name.endswith((".safetensors", ".json")) for one in manifest.parts)


def test_every_method_is_tried_here(method: str) -> None:
    assert set(TINY) == set(TEACHERS)
    assert method in TEACHERS
