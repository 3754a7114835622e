"""The examiner: batches by shape, answers in order, at image size."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from siad.models import predictor as examine
from siad.models import tiling
from siad.models.predictor import BATCH_MAX, Predictor, score_maps
from siad.vision.decide import finish_map
from tests.manifests import make_manifest


class Brightness:
    """Scores a place by its mean; keeps the shapes it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def score(self, images_BCHW: Tensor) -> Tensor:
        assert torch.is_inference_mode_enabled()
        self.asked.append(tuple(images_BCHW.shape))
        return torch.nn.functional.avg_pool2d(images_BCHW.mean(1, keepdim=True), 8)[:, 0]


def flat(height: int, width: int, value: int) -> NDArray[np.uint8]:
    return np.full((height, width, 1), value, np.uint8)


def test_images_of_one_shape_go_together_and_answers_keep_their_order() -> None:
    detector = Brightness()
    images = [flat(64, 64, 10), flat(64, 128, 20), flat(70, 70, 30), flat(60, 120, 40)]
    maps = score_maps(detector, images, input_px=64)
    assert detector.asked == [(2, 3, 64, 64), (2, 3, 32, 96)]
    assert [map_HW.shape for map_HW in maps] == [(64, 64), (64, 128), (70, 70), (60, 120)]
    for map_HW, value in zip(maps, (10, 20, 30, 40), strict=True):
        np.testing.assert_allclose(map_HW, (value - 127) / 128, atol=1e-5)


def test_a_batch_is_bounded() -> None:
    detector = Brightness()
    score_maps(detector, [flat(64, 64, 0)] * (2 * BATCH_MAX + 1), input_px=64)
    assert [shape[0] for shape in detector.asked] == [BATCH_MAX, BATCH_MAX, 1]


def test_an_image_is_scored_alike_alone_and_in_company() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(5)]
    together = score_maps(Brightness(), images, input_px=64)
    for image, map_HW in zip(images, together, strict=True):
        np.testing.assert_allclose(score_maps(Brightness(), [image], input_px=64)[0], map_HW, atol=1e-6)


class Shape:
    """Scores a place by its own channel mean at full stride; remembers the largest input."""

    def __init__(self) -> None:
        self.largest = 0

    def score(self, images_BCHW: Tensor) -> Tensor:
        self.largest = max(self.largest, images_BCHW.shape[2] * images_BCHW.shape[3])
        return torch.nn.functional.avg_pool2d(images_BCHW.mean(1, keepdim=True), 32)[:, 0]


def undrawn(
    map_hw: NDArray[np.float32], *, input_CHW: NDArray[np.float32], size_px: tuple[int, int]
) -> NDArray[np.float32]:
    return finish_map(map_hw, input_hw=(input_CHW.shape[1], input_CHW.shape[2]), size_px=size_px)


def test_a_large_input_is_scored_in_tiles_as_if_it_were_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 20, 1), dtype=np.uint8)
    image = np.repeat(np.repeat(coarse, 64, axis=0), 64, axis=1)  # 768 x 1280
    whole, tiled = Shape(), Shape()
    monkeypatch.setattr(examine, "draw_map", undrawn)  # what tiles say is asked; edges make much of little
    [expected] = score_maps(whole, [image], input_px=992)
    monkeypatch.setattr(tiling, "TILE_PX", 512)
    [given] = score_maps(tiled, [image], input_px=992)
    assert whole.largest == 768 * 1280
    assert tiled.largest <= 512 * 512
    np.testing.assert_allclose(given, expected, atol=0.05)


def test_a_region_is_all_that_is_looked_at() -> None:
    image = np.zeros((64, 128, 1), np.uint8)
    image[:, :64] = 255  # a lamp, outside
    image[20:30, 90:100] = 200
    detector = Brightness()
    examiner = Predictor(make_manifest(region=(0.5, 0.0, 1.0, 0.0, 1.0, 1.0, 0.5, 1.0)), detector)
    [map_HW] = examiner.maps([image])
    assert detector.asked == [(1, 3, 64, 64)]
    assert map_HW.shape == (64, 128)
    assert map_HW[:, :64].max() == map_HW.min()
    assert np.unravel_index(map_HW.argmax(), map_HW.shape)[1] in range(88, 102)


def test_of_no_images_there_are_no_maps() -> None:
    assert score_maps(Brightness(), [], input_px=64) == []


class Halves:
    """Two views: the brightness, and half of it."""

    def views(self, images_BCHW: Tensor) -> Tensor:
        bright_Bhw = torch.nn.functional.avg_pool2d(images_BCHW.mean(1, keepdim=True), 8)[:, 0]
        return torch.stack((bright_Bhw, 0.5 * bright_Bhw))

    def score(self, images_BCHW: Tensor) -> Tensor:
        return self.views(images_BCHW).mean(0)


def noise(height: int, width: int, *, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 1)).astype(np.uint8)


def test_a_map_of_several_views_is_their_mean_in_tiles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [noise(64, 64, seed=0), noise(64, 128, seed=1), noise(64, 64, seed=2)]
    for tile_px in (1024, 32):
        monkeypatch.setattr(tiling, "TILE_PX", tile_px)
        monkeypatch.setattr(tiling, "OVERLAP_PX", 0)
        alone = score_maps(Brightness(), images, input_px=64)
        for map_HW, expected in zip(score_maps(Halves(), images, input_px=64), alone, strict=True):
            np.testing.assert_allclose(map_HW, 0.75 * expected, atol=1e-6)


def test_views_are_told_one_by_one_and_a_lone_one_is_the_map() -> None:
    image = noise(64, 64, seed=0)
    both, lone = Predictor(make_manifest(), Halves()), Predictor(make_manifest(), Brightness())
    assert (both.has_views, lone.has_views) == (True, False)
    [[bright_HW, dim_HW]], [[only_HW]] = both.views([image]), lone.views([image])
    np.testing.assert_allclose(dim_HW, 0.5 * bright_HW, atol=1e-6)
    np.testing.assert_allclose(only_HW, lone.maps([image])[0])


def test_what_views_differ_on_is_in_the_pseudo_mask_and_not_in_the_mask() -> None:
    image = flat(64, 64, 127)
    image[16:48, 16:48] = 255
    examiner = Predictor(make_manifest(image_threshold=0.9, pixel_threshold=0.9), Halves())
    [finding] = examiner.examine([image])
    assert not finding.is_defect
    assert (finding.pseudo_mask_HW[28:36, 28:36] == 128).all()
    assert not finding.mask_HW.any()
