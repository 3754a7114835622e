"""What teachers share that draw a part as it should be and look at what is left over.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = grid of stride 16 (latent) or 4 (map).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from siad.contracts.json_codec import JsonRecord, JsonStyle
from siad.models.bundle import Bundle
from siad.models.ssim import ssim_map
from siad.models.teachers.fitting import FittedDetector, Normals, finish
from siad.models.teachers.learning import (
    NormalBatches,
    held_maps,
    held_scores,
    hold_out,
    row_quantile,
    take_steps,
    training_device,
)
from siad.models.tensors import pack
from siad.vision.images import Image

NETWORK: Final = "network.safetensors"
RECIPE: Final = "recipe.json"
STRIDE: Final = 16  # px of the input a place of the latent image stands for
MAP_STRIDE: Final = 4
SQUARES: Final = 5.0  # weight of the mean square in the loss: on images in -1..1 it is that much smaller than SSIM's
_QUANTILE: Final = 0.99  # of held-out normals' places, by which the two residuals are made even


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructionRecipe(JsonRecord):
    """How a reconstruction is learnt; older recipes have a field adversarial, always 0, which is ignored."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    input_px: int = 256
    width: int = 16  # channels after the first layer
    latent: int = 64  # channels at stride 16
    slots: int = 256  # of the memory
    steps: int = 500
    batch: int = 4
    rate: float = 2e-3
    seed: int = 0


class ReconstructionNetwork(Protocol):
    """A network that draws an image again."""

    def __call__(self, images_BCHW: Tensor, /) -> tuple[Tensor, Tensor]:
        """The image again, float32 [B, 3, H, W], and what its loss has besides the difference, a scalar."""
        ...


class ReconstructionEncoder(nn.Sequential):
    """Four convolutions of 4 x 4 at stride 2, and one to the latent image: [B, 3, H, W] to [B, latent, h, w]."""

    def __init__(self, *, width: int, latent: int) -> None:
        layers: list[nn.Module] = []
        sizes = (3, width, 2 * width, 4 * width, 4 * width)
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(4 * width, latent, 3, padding=1))


class ReconstructionDecoder(nn.Sequential):
    """The encoder backwards: [B, latent, h, w] to [B, 3, H, W]."""

    def __init__(self, *, width: int, latent: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(latent, 4 * width, 3, padding=1), nn.LeakyReLU(0.2)]
        sizes = (4 * width, 4 * width, 2 * width, width)
        for inputs, outputs in pairwise(sizes):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1))


class ResidualDetector(nn.Module):
    """A detector: an image minus what a network drew of it, by structure and by square."""

    scales: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("scales", torch.ones(2))

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every place: float32 [B, h, w]; 2 is about the .99 quantile of normals."""
        structure_Bhw, square_Bhw = self.residuals(images_BCHW).unbind(0)
        return structure_Bhw / self.scales[0] + square_Bhw / self.scales[1]

    def residuals(self, images_BCHW: Tensor) -> Tensor:
        """1 - SSIM and mean square, float32 [2, B, h, w] at stride 4."""
        again_BCHW, _ = self.network(images_BCHW)
        both_2BHW = torch.stack((broken(images_BCHW, again_BCHW), (images_BCHW - again_BCHW).square().mean(1)))
        return functional.avg_pool2d(both_2BHW, MAP_STRIDE)


def broken(images_BCHW: Tensor, again_BCHW: Tensor) -> Tensor:
    """1 - SSIM of the brightness: float32 [B, H, W]; three channels would cost thrice, and colour is in the square."""
    return 1 - ssim_map(images_BCHW.mean(1, keepdim=True), again_BCHW.mean(1, keepdim=True))


def difference(images_BCHW: Tensor, again_BCHW: Tensor) -> Tensor:
    """Mean of 1 - SSIM, plus five times the mean square; a scalar."""
    return broken(images_BCHW, again_BCHW).mean() + SQUARES * (images_BCHW - again_BCHW).square().mean()


def even_residuals(detector: ResidualDetector, images: Sequence[Image], *, input_px: int) -> None:
    """Set the scales of the two residuals by held-out normals."""

    def both(images_BCHW: Tensor) -> Tensor:
        return detector.residuals(images_BCHW).flatten(1)

    places_2N = held_maps(both, images, input_px=input_px)
    detector.scales.copy_(row_quantile(places_2N, _QUANTILE).clamp_min(1e-6))


def fit_reconstruction(found: Normals, network: nn.Module, *, method: str, recipe: ReconstructionRecipe) -> Bundle:
    """Teach a network to draw the normals again, by all but those held out."""
    learn, held = hold_out(len(found))
    device = training_device()
    network.to(device).train()
    showings = NormalBatches([found.images[index] for index in learn], input_px=recipe.input_px, seed=recipe.seed)

    def loss_of(_: int) -> Tensor:
        images_BCHW = showings.batch(recipe.batch).to(device)
        again_BCHW, besides = network(images_BCHW)
        loss: Tensor = difference(images_BCHW, again_BCHW) + besides
        return loss

    loss = take_steps(network.parameters(), loss_of, steps=recipe.steps, rate=recipe.rate)
    detector = ResidualDetector(network).cpu().eval()
    held_images = [found.images[index] for index in held]
    even_residuals(detector, held_images, input_px=recipe.input_px)
    fitted = FittedDetector(
        method=method,
        detector=detector,
        parts={NETWORK: pack(detector.state_dict()), RECIPE: recipe.to_json()},
        input_px=recipe.input_px,
        held_out=held_scores(detector, held_images, input_px=recipe.input_px),
        metrics=(("loss", loss),),
    )
    return finish(found, fitted)
