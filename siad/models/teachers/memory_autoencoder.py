"""Memory autoencoder, which reconstructs an image from memory slots alone.

So it can't copy defects.

Gong et al. 2019, MemAE, arXiv:1904.02639. An image x [3, H, W] is encoded to a latent image z [64, H / 16, W / 16].
A plain autoencoder may learn to copy, and then copies defects. Here every position z [C] of the latent image is
replaced by a mixture of few of N memory slots m_i [C], which are trained with the network:

    w_i = softmax_i (cos(z, m_i) / t)                                   (their eq. 4 and 5; t = 0.1 is ours)
    v_i = max(w_i - s, 0) w_i / (|w_i - s| + e),   then v = v / |v|_1   (hard shrinkage, their eq. 7; s = 1 / N)
    z'  = sum_i v_i m_i

The temperature lets a position choose among similar slots, which those of one part are: with t = 1 all weights are
nearly equal, the shrinkage removes half of them, and every position gets the mean. z' is decoded to y:

    loss     = mean (1 - SSIM(x, y)) + 5 mean (x - y)^2 + 0.0002 mean_z sum_i -v_i log v_i
                                                                        (few slots a position, their eq. 9 to 11)
    residual = (1 - SSIM(x, y)) / a + mean_C (x - y)^2 / b              [H / 4, W / 4]

with a and b the .99 quantiles of either over held-out normals. SSIM (in windows of 11 px, Bergmann et al. 2019,
arXiv:1807.02011, eq. 2 to 5) finds broken structure of equal brightness, the square finds smooth stains.

Shape suffixes: B = batch, C = channels, h, w = grid of stride 16, P = B * h * w, N = slots.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from siad.contracts.manifest import Manifest
from siad.contracts.methods import MEMORY_AUTOENCODER
from siad.models.bundle import Bundle
from siad.models.teachers.bundling import make_bundle
from siad.models.teachers.network_training import NORMALS_MIN, seeded
from siad.models.teachers.normals import Normals
from siad.models.teachers.reconstruction import (
    NETWORK,
    RECIPE,
    ReconstructionDecoder,
    ReconstructionEncoder,
    ReconstructionRecipe,
    ResidualDetector,
    fit_reconstruction,
)
from siad.models.tensors import unpack

METHOD: Final = MEMORY_AUTOENCODER
TEMPERATURE: Final = 0.1
_ENTROPY: Final = 2e-4
_EPSILON: Final = 1e-12


def slot_weights(latent_PC: Tensor, slots_NC: Tensor) -> Tensor:
    """Compute the share of each slot in a position.

    float32 [P, N], few over 0, each row's sum 1.
    """
    cosine_PN = functional.normalize(latent_PC, dim=1) @ functional.normalize(slots_NC, dim=1).T
    weights_PN = functional.softmax(cosine_PN / TEMPERATURE, dim=1)
    over_PN = weights_PN - 1 / len(slots_NC)
    kept_PN = functional.relu(over_PN) * weights_PN / (over_PN.abs() + _EPSILON)
    return kept_PN / kept_PN.sum(1, keepdim=True).clamp_min(_EPSILON)


class MemoryAutoencoder(nn.Module):
    """Encoder, memory slots and decoder."""

    def __init__(self, recipe: ReconstructionRecipe) -> None:
        super().__init__()
        self.encoder = ReconstructionEncoder(width=recipe.width, latent=recipe.latent)
        self.slots_NC = nn.Parameter(torch.randn(recipe.slots, recipe.latent) / recipe.latent**0.5)
        self.decoder = ReconstructionDecoder(width=recipe.width, latent=recipe.latent)

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct images.

        float32 [B, 3, H, W], and the weighted entropy of the slots' shares.
        """
        latent_BChw = self.encoder(images_BCHW)
        batch, channels, height, width = latent_BChw.shape
        latent_PC = latent_BChw.permute(0, 2, 3, 1).reshape(-1, channels)
        weights_PN = slot_weights(latent_PC, self.slots_NC)
        mixed_PC = weights_PN @ self.slots_NC
        mixed_BChw = mixed_PC.view(batch, height, width, channels).permute(0, 3, 1, 2)
        entropy = -(weights_PN * (weights_PN + _EPSILON).log()).sum(1).mean()
        return self.decoder(mixed_BChw), _ENTROPY * entropy


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> ResidualDetector:
    """Build the detector of a bundle's files."""
    assert manifest.method == METHOD
    detector = ResidualDetector(MemoryAutoencoder(ReconstructionRecipe.from_json(parts[RECIPE])))
    detector.load_state_dict(unpack(parts[NETWORK]), strict=True)
    return detector.eval()


def fit(
    normals: Normals, *, false_reject_budget: float, recipe: ReconstructionRecipe | None = None, input_px: int = 0
) -> Bundle:
    """Fit a teacher.

    Args:
        normals: at least four.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).
        recipe: parameters; None for the defaults.
        input_px: side of the square with the area that images are brought to; 0: the recipe's.

    Raises:
        ValueError: too few normals, or a recipe without slots.
    """
    recipe = recipe or ReconstructionRecipe()
    if recipe.slots < 2:
        msg = f"a memory of {recipe.slots} slots; it needs at least 2"
        raise ValueError(msg)
    normals.require(NORMALS_MIN)
    recipe = replace(recipe, input_px=input_px or recipe.input_px)
    with seeded(recipe.seed):
        fitted = fit_reconstruction(normals, MemoryAutoencoder(recipe), method=METHOD, recipe=recipe)
        return make_bundle(normals, fitted, false_reject_budget=false_reject_budget)
