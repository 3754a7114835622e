"""Segmenter: a U-Net over the teacher's backbone, trained on pseudo-masks.

The encoder is the pretrained EfficientNet-Lite, frozen; the decoder is trained. It goes from stride 32 to stride 8 and
gives for every position the logit of a defect. Logits are raw scores: unbounded, so strong defects differ where
probabilities saturate. Every position's features are scaled to unit length, as the teacher's are: their direction
carries the content, their length mostly the light.

Shape suffixes: B = batch, C = channels, H, W = size of the network's input, h, w = size of the map, stride 8.

Source:
    Ronneberger, Fischer and Brox 2015, arXiv:1505.04597; the encoder is ``backbone.py``.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from siad.contracts.errors import UnusableWeightsError
from siad.contracts.manifest import Manifest
from siad.models.backbone import (
    FEATURES,
    STRIDES,
    Backbone,
    Variant,
    load_backbone,
    pretrained_backbone,
    stage_channels,
)
from siad.models.tensors import pack, unpack

METHOD: Final = "unet"
BACKBONE: Final = "backbone.safetensors"
NETWORK: Final = "decoder.safetensors"
STRIDE: Final = STRIDES[FEATURES[0]]  # of the map
_WIDTH: Final = 48  # of the decoder; half of it loses .02 image AUROC on solar cells
_GROUPS: Final = 8
_PRIOR: Final = -2.0  # logit of a defect before training: most positions are good


class PositionNorm(nn.Module):
    """Normalisation of every position by itself, over its channels.

    So a position's output does not depend on how much of the image is around it.

    Source:
        Ba, Kiros and Hinton 2016, arXiv:1607.06450, eq. 4, over the channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalise: float32 [B, C, H, W]."""
        return cast("Tensor", self.norm(x_BCHW.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class SegmenterDecoder(nn.Module):
    """Decodes the encoder's levels, finest first, to logits on the finest."""

    def __init__(
        self, channels: Sequence[int], *, hints: int = 0, prior: float = _PRIOR, norm: type[nn.Module] | None = None
    ) -> None:
        """Build an untrained decoder, which gives ``prior`` everywhere.

        Args:
            channels: of each level, finest first.
            hints: number of maps on the finest level that are added to its input.
            prior: logit before training.
            norm: normalisation, made of the number of channels; None: by groups of channels over the whole map.
        """
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(count, _WIDTH, 1) for count in channels)
        self.looks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
                nn.GroupNorm(_GROUPS, _WIDTH) if norm is None else norm(_WIDTH),
                nn.ReLU(),
            )
            for _ in channels
        )
        self.drop = nn.Dropout2d(0.1)
        self.head = nn.Conv2d(_WIDTH, 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(cast("Tensor", self.head.bias), prior)
        self.hints = nn.Conv2d(hints, _WIDTH, 1) if hints else None

    def forward(self, levels: Sequence[Tensor], hints_BKhw: Tensor | None = None) -> Tensor:
        """Compute logits: float32 [B, h, w]."""
        x_BCHW: Tensor | None = None
        steps = list(zip(levels, self.laterals, self.looks, strict=True))
        for index, (input_BCHW, lateral, convolve) in reversed(list(enumerate(steps))):
            unit_BCHW = functional.normalize(input_BCHW, dim=1) * input_BCHW.shape[1] ** 0.5
            level_BCHW = lateral(self.drop(unit_BCHW))
            if index == 0 and self.hints is not None:
                level_BCHW = level_BCHW + self.hints(hints_BKhw)
            if x_BCHW is not None:
                size = level_BCHW.shape[-2:]
                level_BCHW = level_BCHW + functional.interpolate(x_BCHW, size=size, mode="bilinear")
            x_BCHW = convolve(level_BCHW)
        return cast("Tensor", self.head(x_BCHW))[:, 0]


class Segmenter(nn.Module):
    """Frozen encoder and trained decoder; implements ``Detector``."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone.eval().requires_grad_(requires_grad=False)
        channels = stage_channels(backbone.variant)
        self.decoder = SegmenterDecoder([channels[stage] for stage in FEATURES])

    def encode(self, images_BCHW: Tensor) -> list[Tensor]:
        """Compute the decoder's inputs.

        They never change, so training computes them once an image.
        """
        return cast("list[Tensor]", self.backbone(images_BCHW))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Compute logits: float32 [B, h, w], h = H / 8, w = W / 8."""
        return cast("Tensor", self.decoder(self.encode(images_BCHW)))

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Compute raw scores, in evaluation mode; images are on the network's device."""
        return cast("Tensor", self(images_BCHW)).float()

    @property
    def stored(self) -> Mapping[str, Tensor]:
        """No tensor, since the network uses all as they are stored."""
        return {}

    def graph_score(self, images_BCHW: Tensor, stored: Mapping[str, Tensor]) -> Tensor:
        """Score one image; see ``ExportableDetector``."""
        del stored
        return self.score(images_BCHW)


def new_segmenter(variant: Variant = "lite0", *, seed: int = 0) -> Segmenter:
    """Build an untrained segmenter; equal for equal seeds."""
    backbone = pretrained_backbone(variant)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Segmenter(backbone).eval()


def parts_of(segmenter: Segmenter) -> dict[str, bytes]:
    """Write the network as files of a bundle, without the golden part.

    The backbone's file is the same for every segmenter and teacher, so the store has it once.
    """
    return {BACKBONE: pack(segmenter.backbone.state_dict()), NETWORK: pack(segmenter.decoder.state_dict())}


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> Segmenter:
    """Build the network of a bundle's files.

    Raises:
        UnusableWeightsError: the files have another network than this version builds.
        CorruptError: a file can't be read.
    """
    encoder, decoder = unpack(parts[BACKBONE]), unpack(parts[NETWORK])
    variant = _variant_of(encoder)
    try:
        segmenter = Segmenter(load_backbone(variant, encoder))
        segmenter.decoder.load_state_dict(decoder)
    except RuntimeError as error:
        msg = f"weights {manifest.weights[:12]} have another network than this version builds; train again: {error}"
        raise UnusableWeightsError(msg) from error
    return segmenter.eval().requires_grad_(requires_grad=False)


def _variant_of(state: Mapping[str, Tensor]) -> Variant:
    """Recognise Lite0 to Lite2 by width and depth.

    So manifests need not name them.
    """
    widest = state.get("stages.5.0.project.conv.weight")
    if widest is not None and widest.shape[0] == stage_channels("lite2")[5]:
        return "lite2"
    return "lite1" if "stages.1.2.project.conv.weight" in state else "lite0"
