"""Teachers of lines whose cameras use few bits of 16: they score as on the 8-bit version of the same images."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from siad.contracts.depth import white_of
from siad.contracts.fit_settings import FitSettings
from siad.contracts.manifest import Manifest
from siad.models.bundle import Bundle, open_bundle
from siad.models.predictor import Predictor
from siad.models.teachers import feature_memory
from siad.models.teachers.fit import choose_depth, fit_teacher, prepare_normals
from siad.vision.images import Image
from siad.vision.plausibility import Misfit, profile_normals
from tests.synthetic import TINY, normals_of, part_image

SETTINGS = FitSettings(false_reject_budget=0.1)
SEEDS = range(10)
TESTS = [*((seed, False) for seed in range(100, 112)), *((seed, True) for seed in range(200, 212))]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits take a second."""
    monkeypatch.setattr(feature_memory, "fit", partial(feature_memory.fit, recipe=TINY))


def in_sixteen(image_HWC: NDArray[np.uint8], bits: int) -> NDArray[np.uint16]:
    """The same image as a camera of fewer bits writes it into a file of 16."""
    values: NDArray[np.uint16] = np.rint(image_HWC * (white_of(bits) / 255)).astype(np.uint16)
    return values


def view(seed: int, bits: int, *, defect: bool = False) -> Image:
    image_HWC = part_image(seed, defect=defect)
    return image_HWC if bits == 0 else in_sixteen(image_HWC, bits)


@cache
def fitted(bits: int, *, stated: int = 0) -> Bundle:
    """A teacher fitted on images of this depth; 0: 8-bit files."""
    settings = FitSettings(false_reject_budget=0.1, bits=stated)
    return fit_teacher(normals_of([view(seed, bits) for seed in SEEDS]), settings)


def opened(bundle: Bundle) -> Predictor:
    return open_bundle(bundle.manifest, bundle.parts)


def scores(predictor: Predictor, bits: int) -> list[float]:
    return [one.score for one in predictor.predict([view(seed, bits, defect=bad) for seed, bad in TESTS])]


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_weights_score_deep_images_as_their_eight_bit_version(bits: int) -> None:
    plain = fitted(0)
    deep_images = [view(seed, bits) for seed in SEEDS]
    deep = Bundle(replace(plain.manifest, profile=profile_normals(deep_images, bits)), plain.parts)
    np.testing.assert_allclose(scores(opened(deep), bits), scores(opened(plain), 0), rtol=0.1)


# The brightest normal is at 70 % of white, so that the depth that is found is that of the camera.
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_the_depth_is_found_and_restores_the_scores(bits: int) -> None:
    found, plain = fitted(bits), fitted(0)
    assert found.manifest.profile is not None
    assert found.manifest.profile.bits == bits
    assert clearness(scores(opened(found), bits)) > 0.8 * clearness(scores(opened(plain), 0))


def test_without_the_depth_every_deep_image_is_unlike_the_normals() -> None:
    plain = fitted(0)
    goods = [view(seed, 12) for seed, is_defect in TESTS if not is_defect]
    blind = [one.score for one in opened(Bundle(replace(plain.manifest, profile=None), plain.parts)).predict(goods)]
    deep = replace(plain.manifest, profile=profile_normals(goods, 12))
    sighted = [one.score for one in opened(Bundle(deep, plain.parts)).predict(goods)]
    assert min(blind) > max(sighted)


def clearness(found: list[float]) -> float:
    """Distance of the defects from the good parts, in deviations of the good parts."""
    good = [score for score, (_, is_defect) in zip(found, TESTS, strict=True) if not is_defect]
    bad = [score for score, (_, is_defect) in zip(found, TESTS, strict=True) if is_defect]
    return float((np.mean(bad) - np.mean(good)) / np.std(good))


def test_the_fit_logs_the_depth_and_why() -> None:
    with capture_logs() as logs:
        fit_teacher(normals_of([view(seed, 12) for seed in SEEDS]), SETTINGS)
    [chosen] = [one for one in logs if one["event"] == "depth_chosen"]
    assert chosen["bits"] == 12
    assert "the highest value of 10 16-bit normals is" in chosen["why"]
    [profiled] = [one for one in logs if one["event"] == "normals_profiled"]
    assert profiled["normals"] == "64x64 px, grey, 12 of 16 bits"


def test_a_stated_depth_is_recorded_as_the_lines_setting() -> None:
    manifest = fitted(12, stated=12).manifest
    assert FitSettings.of_manifest(Manifest.from_json(manifest.to_json())) == FitSettings(
        false_reject_budget=0.1, bits=12
    )
    assert manifest.profile is not None
    assert Manifest.from_json(manifest.to_json()).profile == manifest.profile


def test_a_stated_depth_that_the_normals_exceed_refuses_the_fit() -> None:
    with pytest.raises(ValueError, match=r"the line states 8 bits, and 10 of 10 normals have values beyond 255"):
        fit_teacher(normals_of([view(seed, 12) for seed in SEEDS]), FitSettings(false_reject_budget=0.1, bits=8))


def test_a_normal_that_the_teacher_left_out_does_not_widen_what_fits() -> None:
    large = np.repeat(np.repeat(part_image(3, defect=True), 4, axis=0), 4, axis=1)
    images = [*(part_image(seed) for seed in SEEDS), large]
    names = [*(f"{seed:032x}" for seed in SEEDS), "odd"]
    bundle = fit_teacher(normals_of(images, names), SETTINGS)
    assert bundle.manifest.left_out == ("odd",)
    [misfit] = open_bundle(bundle.manifest, bundle.parts).examine([large])
    assert isinstance(misfit, Misfit)


def test_normals_of_several_sizes_are_logged() -> None:
    images = [part_image(seed)[: 64 - 8 * (seed % 2)] for seed in SEEDS]
    with capture_logs() as logs:
        fit_teacher(normals_of(images), SETTINGS)
    assert [one["log_level"] for one in logs if one["event"] == "normals_vary_in_size"] == ["warning"]


def test_the_few_normals_of_another_size_are_logged_and_recorded_and_those_of_the_stream_count_for_nothing() -> None:
    images = [part_image(seed) for seed in SEEDS]
    images[3] = images[3][:48]
    normals = normals_of(images)
    with capture_logs() as logs:
        bundle = fit_teacher(normals, SETTINGS)
    [told] = [one for one in logs if one["event"] == "normals_odd"]
    assert (told["log_level"], told["normals"]) == ("warning", [normals.capture_ids[3]])
    assert "64x48 px, grey; the other 9: 64x64 px, grey; learned from like the others" in told["what"]
    assert f"siad forget capture {normals.capture_ids[3]} --line {normals.place.line}" in told["advice"]
    assert [one.capture_id for one in bundle.manifest.odd_normals] == [normals.capture_ids[3]]
    streamed = replace(normals, unconfirmed=frozenset(normals.capture_ids[3:4]))
    assert fit_teacher(streamed, SETTINGS).manifest.odd_normals == ()


def test_normals_are_scaled_before_they_are_cut() -> None:
    normals = normals_of([view(seed, 12) for seed in SEEDS])
    ready = prepare_normals(normals, bits=choose_depth(normals, 0), region=(0.0, 0.0, 0.5, 0.0, 0.25, 1.0))
    outside = ready.images[0][-1, 0, 0]
    assert outside == 32768  # mid grey of the full range
    assert ready.images[0].max() > 30000
