"""The examiner: batches by shape, answers in order, at image size."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siad.models.examine import BATCH_MAX, score_maps


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


def test_of_no_images_there_are_no_maps() -> None:
    assert score_maps(Brightness(), [], input_px=64) == []
