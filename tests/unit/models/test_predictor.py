"""Predictor: batches by shape, answers in order, at image size."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from siad.contracts.errors import OutOfMemoryError
from siad.contracts.normals_profile import SizeRule
from siad.models import tiling, view_maps
from siad.models.predictor import Predictor, marking_of, pixel_threshold_at
from siad.models.view_maps import BATCH_MAX, score_maps
from siad.vision import decide
from siad.vision.decide import smooth_map
from siad.vision.edges import follow_edges
from siad.vision.images import Image
from siad.vision.plausibility import Misfit, MisfitError, profile_normals
from tests.manifests import make_manifest
from tests.runners import BrightnessRunner

TWO_VIEWS = (1.0, 0.5)


def flat(height: int, width: int, value: int) -> NDArray[np.uint8]:
    return np.full((height, width, 1), value, np.uint8)


def noise(height: int, width: int, *, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 1)).astype(np.uint8)


def test_images_of_one_shape_share_a_run_and_answers_keep_their_order() -> None:
    runner = BrightnessRunner()
    images = [flat(64, 64, 10), flat(64, 128, 20), flat(70, 70, 30), flat(60, 120, 40)]
    maps = score_maps(runner, images, input_px=64)
    assert runner.shapes == [(2, 3, 64, 64), (2, 3, 32, 96)]
    assert [map_HW.shape for map_HW in maps] == [(64, 64), (64, 128), (70, 70), (60, 120)]
    for map_HW, value in zip(maps, (10, 20, 30, 40), strict=True):
        np.testing.assert_allclose(map_HW, (value - 127) / 128, atol=1e-5)


def test_a_batch_is_bounded() -> None:
    runner = BrightnessRunner()
    score_maps(runner, [flat(64, 64, 0)] * (2 * BATCH_MAX + 1), input_px=64)
    assert [shape[0] for shape in runner.shapes] == [BATCH_MAX, BATCH_MAX, 1]


def test_an_image_is_scored_the_same_alone_and_in_a_batch() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(5)]
    together = score_maps(BrightnessRunner(), images, input_px=64)
    for image, map_HW in zip(images, together, strict=True):
        np.testing.assert_allclose(score_maps(BrightnessRunner(), [image], input_px=64)[0], map_HW, atol=1e-6)


def test_another_threshold_moves_the_decision_and_the_pixel_threshold_in_its_ratio() -> None:
    manifest = replace(make_manifest(input_px=64), image_threshold=0.4, pixel_threshold=0.3)
    one = Predictor(manifest, BrightnessRunner())
    image = flat(64, 64, 165)  # scores 0.297
    higher = one.at_threshold(0.2)
    [before], [after] = one.predict([image]), higher.predict([image])
    assert (before.is_defect, after.is_defect) == (False, True)
    assert marking_of(manifest, image_threshold=0.2) == pytest.approx(0.15)
    assert marking_of(manifest) == 0.3
    assert (one.image_threshold, higher.image_threshold, higher.at_threshold(None).image_threshold) == (0.4, 0.2, 0.4)
    assert higher.manifest.weights == one.manifest.weights, "weights keep their name"
    assert pixel_threshold_at(replace(manifest, image_threshold=-1.0), 0.5) == pytest.approx(1.8), "no ratio to below 0"


def test_findings_have_a_map_for_people_only_where_it_is_asked_for() -> None:
    manifest = replace(make_manifest(input_px=64), image_threshold=0.4, pixel_threshold=0.1)
    one = Predictor(manifest, BrightnessRunner())
    image = flat(64, 64, 165)  # scores 0.297
    assert one.predict([image])[0].score_map_hw is None
    for asking in (one.with_score_maps().at_threshold(0.8), one.at_threshold(0.8).with_score_maps()):
        [finding] = asking.predict([image])
        assert finding.score_map_hw is not None
        assert set(np.unique(finding.score_map_hw)) == {95}  # 64 * 0.297 / 0.2


def undrawn(
    map_hw: NDArray[np.float32], *, input_CHW: NDArray[np.float32], size_px: tuple[int, int], **_: object
) -> NDArray[np.float32]:
    return smooth_map(map_hw, input_hw=(input_CHW.shape[1], input_CHW.shape[2]), size_px=size_px)


def test_a_large_input_is_scored_in_tiles_as_if_it_were_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 20, 1), dtype=np.uint8)
    image = np.repeat(np.repeat(coarse, 64, axis=0), 64, axis=1)  # 768 x 1280
    whole, tiled = BrightnessRunner(side_px=32), BrightnessRunner(side_px=32)
    monkeypatch.setattr(view_maps, "refine_map", undrawn)  # the tiles' scores are compared; edges magnify differences
    [expected] = score_maps(whole, [image], input_px=992)
    monkeypatch.setattr(tiling, "TILE_PX", 512)
    [given] = score_maps(tiled, [image], input_px=992)
    assert whole.shapes == [(1, 3, 768, 1280)]
    assert max(height * width for *_, height, width in tiled.shapes) <= 512 * 512
    np.testing.assert_allclose(given, expected, atol=0.05)


def test_only_the_region_is_scored() -> None:
    image = np.zeros((64, 128, 1), np.uint8)
    image[:, :64] = 255  # a lamp, outside
    image[20:30, 90:100] = 200
    runner = BrightnessRunner()
    [map_HW] = Predictor(make_manifest(region=(0.5, 0.0, 1.0, 0.0, 1.0, 1.0, 0.5, 1.0)), runner).maps([image])
    assert runner.shapes == [(1, 3, 64, 64)]
    assert map_HW.shape == (64, 128)
    assert map_HW[:, :64].max() == map_HW.min()
    assert np.unravel_index(map_HW.argmax(), map_HW.shape)[1] in range(88, 102)


def test_no_images_give_no_maps() -> None:
    assert score_maps(BrightnessRunner(), [], input_px=64) == []


def test_a_map_of_several_views_is_their_mean_in_tiles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [noise(64, 64, seed=0), noise(64, 128, seed=1), noise(64, 64, seed=2)]
    for tile_px in (1024, 32):
        monkeypatch.setattr(tiling, "TILE_PX", tile_px)
        monkeypatch.setattr(tiling, "OVERLAP_PX", 0)
        alone = score_maps(BrightnessRunner(), images, input_px=64)
        both = score_maps(BrightnessRunner(TWO_VIEWS), images, input_px=64)
        for map_HW, expected in zip(both, alone, strict=True):
            np.testing.assert_allclose(map_HW, 0.75 * expected, atol=1e-6)


def test_several_views_come_separately_and_a_single_one_is_the_map() -> None:
    image = noise(64, 64, seed=0)
    both, single = (Predictor(make_manifest(), BrightnessRunner(gains)) for gains in (TWO_VIEWS, (1.0,)))
    assert (both.has_views, single.has_views) == (True, False)
    [[bright_HW, dim_HW]], [[only_HW]] = both.views([image]), single.views([image])
    np.testing.assert_allclose(dim_HW, 0.5 * bright_HW, atol=1e-6)
    np.testing.assert_allclose(only_HW, single.maps([image])[0])


def test_pixels_where_views_differ_are_in_the_pseudo_mask_and_not_in_the_mask() -> None:
    image = flat(64, 64, 127)
    image[16:48, 16:48] = 255
    manifest = make_manifest(image_threshold=0.9, pixel_threshold=0.9)
    [finding] = Predictor(manifest, BrightnessRunner(TWO_VIEWS)).predict([image])
    assert not finding.is_defect
    assert (finding.pseudo_mask_HW[28:36, 28:36] == 128).all()
    assert not finding.mask_HW.any()


class ExhaustedRunner(BrightnessRunner):
    """Needs more memory than there is."""

    def run(self, images_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        return super().run(np.empty((10**6, *images_BCHW.shape[1:], 10**4), np.float32))


def test_memory_that_runs_out_has_a_name_of_ours() -> None:
    manifest = make_manifest()
    with pytest.raises(OutOfMemoryError, match="memory ran out while scoring 1 images; it is tried again"):
        Predictor(manifest, ExhaustedRunner()).predict([flat(64, 64, 0)])


def test_memory_that_opencv_lacks_has_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def enlarge(map_hw: NDArray[np.float32], **_: object) -> object:
        return cv2.resize(map_hw, (40_000, 400_000_000))

    monkeypatch.setattr(view_maps, "refine_map", enlarge)
    with pytest.raises(OutOfMemoryError, match="Insufficient memory"):
        score_maps(BrightnessRunner(), [flat(64, 64, 0)], input_px=64)


def test_other_errors_keep_their_names() -> None:
    class FaultyRunner(BrightnessRunner):
        def run(self, images_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
            raise RuntimeError("shapes 3 and 4 do not match")

    with pytest.raises(RuntimeError, match="do not match"):
        score_maps(FaultyRunner(), [flat(64, 64, 0)], input_px=64)


def line_of(normals: list[Image], bits: int) -> Predictor:
    """Weights of a line with these normals, by brightness."""
    manifest = make_manifest(image_threshold=0.5, pixel_threshold=0.5, profile=profile_normals(normals, bits))
    return Predictor(manifest, BrightnessRunner())


def deep(value: int, *, side_px: int = 64) -> NDArray[np.uint16]:
    return np.full((side_px, side_px, 1), value, np.uint16)


def test_a_deep_image_scores_as_its_eight_bit_version() -> None:
    eight = np.random.default_rng(0).integers(0, 256, (64, 64, 1)).astype(np.uint16)
    twelve = np.rint(eight * (4095 / 255)).astype(np.uint16)
    [expected] = line_of([eight.astype(np.uint8)], 8).maps([eight.astype(np.uint8)])
    [scaled] = line_of([twelve], 12).maps([twelve])
    [unscaled] = Predictor(make_manifest(), BrightnessRunner()).maps([twelve])
    np.testing.assert_allclose(scaled, expected, atol=2e-3)
    assert float(np.abs(unscaled - expected).max()) > 0.4


def test_images_that_do_not_fit_are_named_in_their_places_and_never_scored() -> None:
    runner = BrightnessRunner()
    line = line_of([flat(64, 64, 100)], 8)
    predictor = Predictor(line.manifest, runner)
    tiny, wide, colour = flat(1, 1, 0), flat(64, 128, 250), np.zeros((64, 64, 3), np.uint8)
    colour[5, 5, 0] = 200
    found = predictor.examine([tiny, flat(64, 64, 10), colour, deep(9), wide, flat(64, 64, 250)])
    reasons = [one.reason.value if isinstance(one, Misfit) else one.is_defect for one in found]
    assert reasons == ["size", False, "channels", "depth", "size", True]
    assert sum(shape[0] for shape in runner.shapes) == 2


def test_images_of_every_size_are_scored_where_the_line_accepts_them() -> None:
    found = line_of([flat(64, 64, 100)], 8).examine([flat(1, 1, 0), flat(64, 128, 250)], sizes=SizeRule.ANY)
    assert [isinstance(one, Misfit) for one in found] == [False, False]


def test_a_caller_that_expects_findings_learns_of_a_misfit() -> None:
    with pytest.raises(MisfitError, match="the image has 1x1 px, the normals have 64x64 px"):
        line_of([flat(64, 64, 100)], 8).predict([flat(64, 64, 10), flat(1, 1, 0)])


def test_weights_that_do_not_record_their_normals_judge_as_before() -> None:
    predictor = Predictor(make_manifest(), BrightnessRunner())
    images: list[Image] = [flat(1, 1, 0), deep(4095)]
    assert not any(isinstance(one, Misfit) for one in predictor.examine(images))
    assert predictor.darkness(flat(64, 64, 0)) == ""
    assert predictor.at_full_range(images[1]) is images[1]


def test_a_dark_image_is_said_to_be_dark() -> None:
    line = line_of([deep(4000)], 12)
    assert "of white" in line.darkness(deep(100))
    assert line.darkness(deep(2000)) == ""


def followed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Highest score of each map whose edges were followed, from now on."""
    found: list[float] = []

    def follow(map_HW: NDArray[np.float32], input_CHW: NDArray[np.float32], *, position_px: float) -> object:
        found.append(float(map_HW.max()))
        return follow_edges(map_HW, input_CHW, position_px=position_px)

    monkeypatch.setattr(decide, "follow_edges", follow)
    return found


def spotted(value: int) -> NDArray[np.uint8]:
    image = flat(64, 64, 100)
    image[16:40, 24:48] = value
    return image


def test_only_what_is_marked_follows_the_edges_of_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Predictor(make_manifest(input_px=64, image_threshold=0.4, pixel_threshold=0.2), BrightnessRunner())
    edges = followed(monkeypatch)
    good, bad = one.predict([spotted(165), spotted(240)])
    assert (good.is_defect, bad.is_defect) == (False, True)
    assert len(edges) == 1
    assert edges[0] > 0.4


def test_a_map_for_people_follows_the_edges_of_good_images_too(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = make_manifest(input_px=64, image_threshold=0.4, pixel_threshold=0.2)
    edges = followed(monkeypatch)
    Predictor(manifest, BrightnessRunner()).with_score_maps().predict([spotted(165)])
    Predictor(manifest, BrightnessRunner(gains=TWO_VIEWS)).predict([spotted(165)])
    assert len(edges) == 3


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5])
def test_a_finding_is_that_of_the_map_along_the_edges(threshold: float) -> None:
    one = Predictor(make_manifest(input_px=64, image_threshold=threshold, pixel_threshold=0.1), BrightnessRunner())
    images = [spotted(value) for value in range(120, 250, 10)]
    for finding, map_HW in zip(one.predict(images), one.maps(images), strict=True):
        expected = one.decide(map_HW)
        assert finding.is_defect is expected.is_defect
        assert (finding.score, finding.confidence) == pytest.approx((expected.score, expected.confidence), abs=1e-4)
        assert finding.regions == expected.regions
        np.testing.assert_array_equal(finding.mask_HW, expected.mask_HW)
        np.testing.assert_array_equal(finding.pseudo_mask_HW, expected.pseudo_mask_HW)
