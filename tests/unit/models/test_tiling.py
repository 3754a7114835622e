"""Inputs that go through a network in tiles, against the whole."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from siad.models import tiling
from siad.models.backbone import STRIDES
from siad.models.tiling import outputs_of, views_of

STAGES = (2, 4, 5)


class Near(nn.Module):
    """In place of a backbone: each stage the mean of its stride's square and of the eight around it."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def forward(self, images_BCHW: Tensor, stages: tuple[int, ...]) -> list[Tensor]:
        self.largest = max(self.largest, images_BCHW[0, 0].numel())
        outputs = [functional.avg_pool2d(images_BCHW, STRIDES[stage]) for stage in stages]
        return [functional.avg_pool2d(output, 3, 1, 1, count_include_pad=False) for output in outputs]


class Whole:
    """Compares places with the image's mean, so it can't be asked in tiles."""

    sees_whole = True

    def score(self, images_BCHW: Tensor) -> Tensor:
        grey_BHW = images_BCHW.mean(1)
        return functional.avg_pool2d((grey_BHW - grey_BHW.mean((1, 2), keepdim=True))[:, None], 8)[:, 0]


def noise(height: int, width: int) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(512, 512), (512, 1440), (1024, 96), (96, 2048)])
def test_outputs_put_together_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    monkeypatch.setattr(tiling, "TILE_PX", 256)
    monkeypatch.setattr(tiling, "OVERLAP_PX", 32)
    images, near, backbone = noise(*size), Near(), Near()
    given = outputs_of(backbone, images, STAGES)  # type: ignore[arg-type]
    for output, expected in zip(given, near(images, STAGES), strict=True):
        np.testing.assert_allclose(output.numpy(), expected.numpy(), atol=1e-5)
    assert backbone.largest <= 256 * 256 < near.largest


def test_a_small_input_is_not_cut() -> None:
    backbone = Near()
    outputs_of(backbone, noise(96, 128), STAGES)  # type: ignore[arg-type]
    assert backbone.largest == 96 * 128


def test_a_detector_that_sees_whole_is_handed_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(96, 256) + torch.linspace(-1, 1, 256)
    expected = Whole().score(images)
    monkeypatch.setattr(tiling, "TILE_PX", 96)
    monkeypatch.setattr(tiling, "OVERLAP_PX", 32)
    np.testing.assert_allclose(views_of(Whole(), images)[:, 0].numpy(), expected.numpy())
