"""The segmenter: a U-Net over the same backbone as the teacher, taught by pseudo-masks.

The encoder is EfficientNet-Lite; the decoder climbs from stride 32 to stride 4 and says for every place how likely it
is defective, as a logit. Logits are raw scores: unbounded, so strong defects stay apart where probabilities saturate.

Shape suffixes: B = batch, C = channels, H, W = size of the network's input, h, w = size of the map, stride 4.

Source:
    Ronneberger, Fischer and Brox 2015, arXiv:1505.04597; the encoder is ``backbone.py``.
"""

from collections.abc import Mapping
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from siad.core.manifest import Manifest
from siad.models.backbone import Backbone, Variant, pretrained_backbone, stage_channels
from siad.models.bundle import UnusableError, pack, unpack

METHOD: Final = "unet"
NETWORK: Final = "network.safetensors"
STRIDE: Final = 4  # of the map
_LEVELS: Final = (1, 2, 4, 5)  # stages that the decoder sees: strides 4, 8, 16 and 32
_WIDTHS: Final = (32, 48, 64, 64)  # of the decoder at those levels
_GROUPS: Final = 8
_PRIOR: Final = -2.0  # logit of a defect before anything is learned: most places are good


class Merge(nn.Module):
    """One step up: the coarser level, enlarged, and the encoder's own, looked at together."""

    def __init__(self, coarse: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(skip, outputs, 1)
        self.carry = nn.Conv2d(coarse, outputs, 1)
        self.look = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.GroupNorm(_GROUPS, outputs), nn.ReLU(inplace=True)
        )

    def forward(self, coarse_BCHW: Tensor, skip_BCHW: Tensor) -> Tensor:
        """Merge; the output has the size of ``skip_BCHW``."""
        large = functional.interpolate(self.carry(coarse_BCHW), size=skip_BCHW.shape[-2:], mode="bilinear")
        out: Tensor = self.look(large + self.lateral(skip_BCHW))
        return out


class Segmenter(nn.Module):
    """Encoder and decoder; fits the ``Detector`` protocol."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        channels = stage_channels(backbone.variant)
        self.bottom = nn.Conv2d(channels[_LEVELS[-1]], _WIDTHS[-1], 1)
        self.merges = nn.ModuleList(
            Merge(_WIDTHS[level + 1], channels[_LEVELS[level]], _WIDTHS[level])
            for level in reversed(range(len(_LEVELS) - 1))
        )
        self.head = nn.Conv2d(_WIDTHS[0], 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(cast("Tensor", self.head.bias), _PRIOR)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits: float32 [B, h, w], h = H / 4, w = W / 4."""
        *skips, deepest = self.backbone(images_BCHW, stages=_LEVELS)
        x_BCHW = self.bottom(deepest)
        for merge, skip_BCHW in zip(self.merges, reversed(skips), strict=True):
            x_BCHW = merge(x_BCHW, skip_BCHW)
        return cast("Tensor", self.head(x_BCHW))[:, 0]

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Logits as raw scores, in evaluation, on whatever device the network lies."""
        device = cast("Tensor", self.head.bias).device
        with torch.inference_mode():
            return cast("Tensor", self(images_BCHW.to(device))).float()


def new_segmenter(variant: Variant = "lite0", *, seed: int = 0) -> Segmenter:
    """A segmenter that knows ImageNet and no defects; the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Segmenter(pretrained_backbone(variant))


def parts_of(segmenter: Segmenter) -> dict[str, bytes]:
    """The network as files of a bundle; the golden part comes apart."""
    return {NETWORK: pack(segmenter.state_dict())}


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> Segmenter:
    """Build the network of a bundle, ready to score.

    Raises:
        UnusableError: the file holds another network than this code builds.
        CorruptError: the file can't be read.
    """
    state = unpack(parts[NETWORK])
    segmenter = Segmenter(Backbone(_variant_of(state)))
    try:
        segmenter.load_state_dict(state)
    except RuntimeError as error:
        msg = f"weights {manifest.weights[:12]} hold another network than this code builds: {error}"
        raise UnusableError(msg) from error
    return segmenter.eval()


def _variant_of(state: Mapping[str, Tensor]) -> Variant:
    """Lite0 to Lite2 differ in depth and width: tell them by their files, so a manifest needs no field for it."""
    if any(tensor.shape[0] == stage_channels("lite2")[5] for name, tensor in state.items() if name == _LAST):
        return "lite2"
    return "lite1" if "backbone.stages.1.2.project.conv.weight" in state else "lite0"


_LAST: Final = "backbone.stages.5.0.project.conv.weight"
