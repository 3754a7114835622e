"""Inputs that go through a network in tiles, compared with one pass over the whole."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from siad.models import tiled_backbone, tiling
from siad.models.backbone import STRIDES
from siad.models.tiled_backbone import outputs_of
from siad.models.tiling import run_tiled
from tests.runners import BrightnessRunner

STAGES = (2, 4, 5)


class LocalMeans(nn.Module):
    """In place of a backbone: each stage the mean of its stride's square and of the eight around it."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def forward(self, images_BCHW: Tensor, stages: tuple[int, ...]) -> list[Tensor]:
        self.largest = max(self.largest, images_BCHW[0, 0].numel())
        outputs = [functional.avg_pool2d(images_BCHW, STRIDES[stage]) for stage in stages]
        return [functional.avg_pool2d(output, 3, 1, 1, count_include_pad=False) for output in outputs]


def noise(height: int, width: int) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(512, 512), (512, 1440), (1024, 96), (96, 2048)])
def test_outputs_put_together_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    monkeypatch.setattr(tiling, "TILE_PX", 256)
    monkeypatch.setattr(tiled_backbone, "OVERLAP_PX", 32)
    images, whole, backbone = noise(*size), LocalMeans(), LocalMeans()
    given = outputs_of(backbone, images, STAGES)  # type: ignore[arg-type]
    for output, expected in zip(given, whole(images, STAGES), strict=True):
        np.testing.assert_allclose(output.numpy(), expected.numpy(), atol=1e-5)
    assert backbone.largest <= 256 * 256 < whole.largest


def test_a_small_input_is_not_cut() -> None:
    backbone = LocalMeans()
    outputs_of(backbone, noise(96, 128), STAGES)  # type: ignore[arg-type]
    assert backbone.largest == 96 * 128


@pytest.mark.parametrize(("needs_whole_input", "runs"), [(True, 1), (False, 3)])
def test_a_network_that_needs_the_whole_input_gets_it_in_one_run(
    monkeypatch: pytest.MonkeyPatch, *, needs_whole_input: bool, runs: int
) -> None:
    monkeypatch.setattr(tiling, "TILE_PX", 96)
    monkeypatch.setattr(tiling, "OVERLAP_PX", 0)
    runner = BrightnessRunner(needs_whole_input=needs_whole_input)
    run_tiled(runner, noise(96, 288).numpy())
    assert len(runner.shapes) == runs
