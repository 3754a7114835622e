"""Normals and bundles, the same for every method, with a detector of brightness."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from siad.contracts.errors import OutOfMemoryError
from siad.contracts.fit_settings import FitSettings
from siad.contracts.methods import SEGMENTERS, TEACHERS
from siad.models.bundle import GOLDEN, Bundle
from siad.models.method_modules import METHODS
from siad.models.teachers import feature_memory
from siad.models.teachers.bundling import FittedDetector, Marking, make_bundle
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.models.tensors import unpack
from siad.vision.calibration import calibrate
from siad.vision.images import Image
from tests.synthetic import normals_of


class Brightness:
    def score(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW.mean(1)[:, ::8, ::8]


def image(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 1), dtype=np.uint8)


def normals(order: list[int]) -> Normals:
    return normals_of([image(index) for index in order], [f"{index:032x}" for index in order])


def fitted(held_out: tuple[float, ...] = (1.0, 2.0, 3.0)) -> FittedDetector:
    return FittedDetector(
        method="bright", detector=Brightness(), parts={"x": b"1"}, input_px=64, held_out=held_out, metrics=(("z", 1.0),)
    )


def test_normals_are_in_the_order_of_their_ids() -> None:
    one, again = normals([2, 0, 1]), normals([1, 2, 0])
    assert one.capture_ids == again.capture_ids == tuple(f"{index:032x}" for index in range(3))
    assert all(np.array_equal(one.images[index], image(index)) for index in range(3))


def test_an_id_for_each_image_is_needed() -> None:
    with pytest.raises(ValueError, match="2 images and 1 capture ids"):
        normals_of([image(0), image(1)], ["a"])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_normals_are_refused_with_both_counts(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} normals; at least 3"):
        normals(list(range(count))).require(3)
    normals([0, 1, 2]).require(3)


def test_normals_can_be_selected_and_changed() -> None:
    some = normals([0, 1, 2]).subset([0, 2]).mapped(lambda image_HWC: image_HWC[:8])
    assert some.capture_ids == tuple(f"{index:032x}" for index in (0, 2))
    assert [one.shape for one in some.images] == [(8, 64, 1)] * 2


def bundle_of(count: int, *, budget: float = 0.3) -> Bundle:
    return make_bundle(normals(list(range(count))), fitted(), false_reject_budget=budget)


def test_the_bundle_says_by_what_it_decides() -> None:
    manifest = bundle_of(3).manifest
    assert manifest.held_out_scores == (1.0, 2.0, 3.0)
    assert manifest.promised_false_reject is None  # three held out promise nothing
    assert manifest.image_threshold == calibrate((1.0, 2.0, 3.0), budget=0.3).threshold
    assert manifest.false_rejects == calibrate((1.0, 2.0, 3.0), budget=0.3).rate
    assert (manifest.pixel_threshold, manifest.footprint_px) == (manifest.image_threshold, 0.0)
    assert manifest.metrics == (("normals", 3.0), ("z", 1.0))
    assert [part.name for part in manifest.parts] == [GOLDEN, "x"]


def test_an_outlier_of_the_stream_is_left_out_and_not_learned() -> None:
    names = [f"{index:032x}" for index in range(4)]
    some = replace(normals([0, 1, 2, 3]), unconfirmed=frozenset(names[2:]))
    manifest = make_bundle(some, replace(fitted(), left_out=(names[3],)), false_reject_budget=0.3).manifest
    assert (manifest.normals, manifest.stream_normals) == (tuple(names[:2]), (names[2],))
    assert manifest.left_out == (names[3],)


def test_a_budget_that_many_normals_allow_is_promised() -> None:
    many = fitted(held_out=tuple(float(score) for score in range(1, 61)))
    manifest = make_bundle(normals([0, 1]), many, false_reject_budget=0.05).manifest
    assert manifest.promised_false_reject == 0.05
    assert manifest.image_threshold == np.nextafter(np.float32(58.0), np.float32(np.inf))


def test_scores_with_one_normal_left_out_give_a_lower_threshold() -> None:
    plain, biased = (
        make_bundle(normals([0, 1]), replace(fitted(), is_left_one_out=one), false_reject_budget=0.1).manifest
        for one in (False, True)
    )
    assert biased.image_threshold < plain.image_threshold


@pytest.mark.parametrize("normal_pixel", [0.0, 0.5, 1.0, 2.0, 9.0])
def test_the_pixel_threshold_is_between_normals_pixels_and_the_image_threshold(normal_pixel: float) -> None:
    marked = replace(fitted(), marking=Marking(normal_pixel=normal_pixel, footprint_px=20.0))
    manifest = make_bundle(normals([0, 1]), marked, false_reject_budget=0.1).manifest
    threshold = manifest.image_threshold
    quarter_way = (normal_pixel * threshold**3) ** 0.25
    assert manifest.pixel_threshold == pytest.approx(min(max(threshold / 2, quarter_way), 0.8 * threshold))
    assert manifest.footprint_px == 20.0


def test_golden_outputs_are_the_detectors_own() -> None:
    golden = unpack(bundle_of(3).parts[GOLDEN])
    expected = ((golden["crops"].float().permute(0, 3, 1, 2) - 127) / 128).mean(1)[:, ::8, ::8]
    assert torch.allclose(golden["maps"], expected, atol=1e-5)


def test_every_teacher_has_a_module_that_fits_and_loads() -> None:
    assert set(TEACHERS) == set(METHODS) - set(SEGMENTERS)
    for name in TEACHERS:
        module = importlib.import_module(METHODS[name])
        assert callable(module.fit)
        assert callable(module.load)


def test_an_unknown_method_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no method 'unet'; choose feature-memory, student-teacher"):
        fit_teacher(normals_of([]), FitSettings(false_reject_budget=0.1, method="unet"))


def test_a_line_that_still_names_a_removed_method_learns_what_to_choose() -> None:
    with pytest.raises(ValueError, match=r"'draem' was removed.*choose feature-memory, .*auto"):
        fit_teacher(normals_of([]), FitSettings(false_reject_budget=0.1, method="draem"))


def test_a_fit_that_finds_no_memory_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*_: object, **__: object) -> Bundle:
        raise MemoryError

    monkeypatch.setattr(feature_memory, "fit", exhaust)
    with pytest.raises(OutOfMemoryError, match="fitting a feature-memory teacher on 2 normals"):
        fit_teacher(normals([0, 1]), FitSettings(false_reject_budget=0.1))
