"""Reconstruction networks, their training and residual scores.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = grid of stride 16 (latent) or 4 (map).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from siad.contracts.json_codec import JsonRecord, JsonStyle
from siad.models.ssim import ssim_map
from siad.models.teachers.bundling import FittedDetector
from siad.models.teachers.network_training import (
    NormalBatches,
    held_out_scores,
    held_out_values,
    minimise,
    row_quantile,
    split_normals,
    training_device,
)
from siad.models.teachers.normals import Normals
from siad.models.tensors import pack
from siad.vision.images import Image

NETWORK: Final = "network.safetensors"
RECIPE: Final = "recipe.json"
STRIDE: Final = 16  # px of the input for each position of the latent image
MAP_STRIDE: Final = 4
SQUARES: Final = 5.0  # weight of the mean square in the loss: for images in -1..1 it is that much smaller than 1 - SSIM
_QUANTILE: Final = 0.99  # of held-out normals' positions, by which the two residuals are scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructionRecipe(JsonRecord):
    """Parameters of a reconstruction network and its training.

    Recipes of earlier versions also have the field ``adversarial``, always 0, which is ignored.
    """

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    input_px: int = 256
    width: int = 16  # channels after the first layer
    latent: int = 64  # channels at stride 16
    slots: int = 256  # of the memory
    steps: int = 500
    batch: int = 4
    rate: float = 2e-3
    seed: int = 0


class ReconstructionEncoder(nn.Sequential):
    """Encodes [B, 3, H, W] to [B, latent, h, w].

    Four convolutions of 4 x 4 at stride 2, then one.
    """

    def __init__(self, *, width: int, latent: int) -> None:
        layers: list[nn.Module] = []
        sizes = (3, width, 2 * width, 4 * width, 4 * width)
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(4 * width, latent, 3, padding=1))


class ReconstructionDecoder(nn.Sequential):
    """The encoder reversed: [B, latent, h, w] to [B, 3, H, W]."""

    def __init__(self, *, width: int, latent: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(latent, 4 * width, 3, padding=1), nn.LeakyReLU(0.2)]
        sizes = (4 * width, 4 * width, 2 * width, width)
        for inputs, outputs in pairwise(sizes):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1))


class ResidualDetector(nn.Module):
    """Scores an image by its difference from its reconstruction.

    In structure and in square.

    The network maps images to their reconstructions, float32 [B, 3, H, W], and a further term of its loss, a scalar.
    """

    scales: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("scales", torch.ones(2))

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every position: float32 [B, h, w].

        2 is about the .99 quantile of normals.
        """
        structure_Bhw, square_Bhw = self.residuals(images_BCHW).unbind(0)
        return structure_Bhw / self.scales[0] + square_Bhw / self.scales[1]

    def residuals(self, images_BCHW: Tensor) -> Tensor:
        """Compute 1 - SSIM and mean square.

        float32 [2, B, h, w] at stride 4.
        """
        output_BCHW, _ = self.network(images_BCHW)
        squares_BHW = (images_BCHW - output_BCHW).square().mean(1)
        both_2BHW = torch.stack((dissimilarity(images_BCHW, output_BCHW), squares_BHW))
        return functional.avg_pool2d(both_2BHW, MAP_STRIDE)


def dissimilarity(images_BCHW: Tensor, outputs_BCHW: Tensor) -> Tensor:
    """Compute 1 - SSIM of the brightness: float32 [B, H, W].

    Three channels would cost three times as much, and colour is in the square.
    """
    return 1 - ssim_map(images_BCHW.mean(1, keepdim=True), outputs_BCHW.mean(1, keepdim=True))


def reconstruction_loss(images_BCHW: Tensor, outputs_BCHW: Tensor) -> Tensor:
    """Mean of 1 - SSIM, plus five times the mean square; a scalar."""
    return dissimilarity(images_BCHW, outputs_BCHW).mean() + SQUARES * (images_BCHW - outputs_BCHW).square().mean()


def calibrate_residuals(detector: ResidualDetector, images: Sequence[Image], *, input_px: int) -> None:
    """Set the scales of the two residuals by held-out normals."""

    def both(images_BCHW: Tensor) -> Tensor:
        return detector.residuals(images_BCHW).flatten(1)

    residuals_2N = held_out_values(both, images, input_px=input_px)
    detector.scales.copy_(row_quantile(residuals_2N, _QUANTILE).clamp_min(1e-6))


def fit_reconstruction(
    normals: Normals, network: nn.Module, *, method: str, recipe: ReconstructionRecipe
) -> FittedDetector:
    """Train a network to reconstruct the normals, without those held out."""
    training, held_out = split_normals(normals)
    device = training_device()
    network.to(device).train()
    batches = NormalBatches(training.images, input_px=recipe.input_px, seed=recipe.seed)

    def loss_of(_: int) -> Tensor:
        images_BCHW = batches.batch(recipe.batch).to(device)
        outputs_BCHW, further = network(images_BCHW)
        loss: Tensor = reconstruction_loss(images_BCHW, outputs_BCHW) + further
        return loss

    loss = minimise(network.parameters(), loss_of, steps=recipe.steps, rate=recipe.rate)
    detector = ResidualDetector(network).cpu().eval()
    calibrate_residuals(detector, held_out.images, input_px=recipe.input_px)
    return FittedDetector(
        method=method,
        detector=detector,
        parts={NETWORK: pack(detector.state_dict()), RECIPE: recipe.to_json()},
        input_px=recipe.input_px,
        held_out=held_out_scores(detector, held_out.images, input_px=recipe.input_px),
        metrics=(("loss", loss),),
    )
