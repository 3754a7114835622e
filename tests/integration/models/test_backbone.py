"""The backbone against a slow reading of the network: no folding, padding by TensorFlow's formula."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from siad.models import tiled_backbone, tiling
from siad.models.backbone import (
    STRIDES,
    Backbone,
    Block,
    Variant,
    fold,
    load_backbone,
    pretrained_backbone,
    stage_channels,
)
from siad.models.tiled_backbone import outputs_of


@cache
def lite0() -> Backbone:
    return pretrained_backbone("lite0")


def assert_near(found: Tensor, expected: Tensor, *, rtol: float, atol: float) -> None:
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=rtol, atol=atol)


def raw_state(backbone: Backbone, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the names of the package's file, one block past the last that is kept."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def put(conv: str, norm: str, shape: torch.Size) -> None:
        state[f"{conv}.weight"] = torch.randn(shape, generator=generator) * 0.2
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{name}"] = torch.rand(shape[0], generator=generator) + 0.5

    put("_conv_stem", "_bn0", backbone.stem.conv.weight.shape)
    number = 0
    for stage in backbone.stages:
        assert isinstance(stage, torch.nn.Sequential)
        for block in stage:
            assert isinstance(block, Block)
            if block.expand is not None:
                put(f"_blocks.{number}._expand_conv", f"_blocks.{number}._bn0", block.expand.conv.weight.shape)
            put(f"_blocks.{number}._depthwise_conv", f"_blocks.{number}._bn1", block.depthwise.conv.weight.shape)
            put(f"_blocks.{number}._project_conv", f"_blocks.{number}._bn2", block.project.conv.weight.shape)
            number += 1
    return state | {f"_blocks.{number}._bn0.weight": torch.ones(1)}


def same_conv(x: Tensor, weight: Tensor, *, stride: int, groups: int) -> Tensor:
    """tf.nn.conv2d's own words: out = ceil(in / stride), padding split with the odd pixel at the end."""
    pads = []
    for side in (x.shape[3], x.shape[2]):
        total = max((-(-side // stride) - 1) * stride + weight.shape[-1] - side, 0)
        pads += [total // 2, total - total // 2]
    return functional.conv2d(functional.pad(x, pads), weight, stride=stride, groups=groups)


def slow_layer(
    x: Tensor, state: dict[str, Tensor], conv: str, norm: str, *, stride: int = 1, groups: int = 1
) -> Tensor:
    x = same_conv(x, state[f"{conv}.weight"], stride=stride, groups=groups)
    mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
    return functional.batch_norm(x, mean, variance, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-3)


def slow_stage0(images: Tensor, state: dict[str, Tensor]) -> Tensor:
    x = slow_layer(images, state, "_conv_stem", "_bn0", stride=2).clamp(0, 6)
    x = slow_layer(x, state, "_blocks.0._depthwise_conv", "_blocks.0._bn1", groups=32).clamp(0, 6)
    return slow_layer(x, state, "_blocks.0._project_conv", "_blocks.0._bn2")


def slow_block(x: Tensor, state: dict[str, Tensor], number: int, *, stride: int) -> Tensor:
    name = f"_blocks.{number}"
    inner = slow_layer(x, state, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
    inner = slow_layer(
        inner, state, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, groups=inner.shape[1]
    ).clamp(0, 6)
    out = slow_layer(inner, state, f"{name}._project_conv", f"{name}._bn2")
    return out + x if out.shape == x.shape else out


@torch.inference_mode()
def test_folded_it_computes_what_the_paper_says() -> None:
    backbone = Backbone("lite0")
    state = raw_state(backbone)
    backbone.load_state_dict(fold(backbone, state), strict=True)
    images = torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    expected = slow_stage0(images, state)
    outputs = backbone(images, (0, 1, 2))
    assert_near(outputs[0], expected, rtol=1e-3, atol=1e-4)
    expected = slow_block(slow_block(expected, state, 1, stride=2), state, 2, stride=1)
    assert_near(outputs[1], expected, rtol=1e-3, atol=1e-3)
    expected = slow_block(slow_block(expected, state, 3, stride=2), state, 4, stride=1)
    assert_near(outputs[2], expected, rtol=1e-3, atol=1e-2)


def test_a_layer_that_is_not_there_is_an_error() -> None:
    backbone = Backbone("lite0")
    state = raw_state(backbone)
    del state["_blocks.7._depthwise_conv.weight"]
    with pytest.raises(KeyError, match=r"_blocks\.7"):
        fold(backbone, state)


def test_a_deeper_network_is_not_taken_for_this_one() -> None:
    with pytest.raises(KeyError, match="lite0 needs 16"):
        fold(Backbone("lite0"), raw_state(Backbone("lite1")))


@pytest.mark.parametrize("variant", ["lite0", "lite1", "lite2"])
@torch.inference_mode()
def test_every_stage_has_its_stride_and_channels(variant: Variant) -> None:
    outputs = Backbone(variant)(torch.zeros(1, 3, 64, 96), range(6))
    shapes = [tuple(output.shape[1:]) for output in outputs]
    expected = zip(stage_channels(variant), STRIDES, strict=True)
    assert shapes == [(channels, 64 // stride, 96 // stride) for channels, stride in expected]


@torch.inference_mode()
def test_the_packages_weights_fit_and_tell_pictures_apart() -> None:
    flat, grain = torch.zeros(1, 3, 64, 64), torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    calm, busy = (lite0()(images)[1] for images in (flat, grain))
    assert calm.isfinite().all()
    assert float((calm - busy).abs().mean()) > 0.1


@torch.inference_mode()
def test_saved_and_loaded_it_gives_the_same_bits() -> None:
    again = load_backbone("lite0", lite0().state_dict())
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for mine, theirs in zip(again(images), lite0()(images), strict=True):
        assert torch.equal(mine, theirs)


def test_odd_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        lite0()(torch.zeros(1, 3, 64, 80))


def test_the_backbone_in_tiles_is_the_backbone_but_for_what_lies_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    backbone, stages = Backbone("lite0").eval(), (2, 4, 5)
    images = torch.randn(1, 3, 320, 448, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = backbone(images, stages)
        monkeypatch.setattr(tiling, "TILE_PX", 256)
        monkeypatch.setattr(tiled_backbone, "OVERLAP_PX", 48)
        for output, whole in zip(outputs_of(backbone, images, stages), expected, strict=True):
            assert output.shape == whole.shape
            assert float((output - whole).abs().mean()) < 0.05 * float(whole.std())
