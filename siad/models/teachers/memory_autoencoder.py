"""An autoencoder that may only draw from memory: a defect is drawn as the normals that are most like it.

Gong et al. 2019, MemAE, arXiv:1904.02639. A plain autoencoder may learn to copy, and then copies defects. Here every
place z [C] of the latent image is replaced by a mixture of few of N remembered ones m_i [C], learnt with the rest:

    w_i = softmax_i (cos(z, m_i) / t)                                   (their eq. 4 and 5; t = 0.1 is ours)
    v_i = max(w_i - s, 0) w_i / (|w_i - s| + e),   then v = v / |v|_1   (hard shrinkage, their eq. 7; s = 1 / N)
    z'  = sum_i v_i m_i
    loss = the autoencoder's + 0.0002 mean_z sum_i -v_i log v_i         (their eq. 9 to 11: few slots a place)

The temperature lets a place choose among slots that are alike, which normals of one part are: with t = 1 all weights
are nearly equal, the shrinkage takes half of them, and every place gets the mean. The residual is the autoencoder's.

Shape suffixes: B = batch, C = channels, h, w = grid of stride 16, P = B * h * w, N = slots.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from siad.contracts.manifest import Manifest
from siad.contracts.methods import MEMORY_AUTOENCODER
from siad.models.bundle import Bundle
from siad.models.teachers.fitting import gather
from siad.models.teachers.learning import NORMALS_MIN, seeded
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
from siad.vision.images import Image

METHOD: Final = MEMORY_AUTOENCODER
DEFAULT: Final = ReconstructionRecipe()
TEMPERATURE: Final = 0.1
_ENTROPY: Final = 2e-4
_SMALL: Final = 1e-12


def address(places_PC: Tensor, slots_NC: Tensor) -> Tensor:
    """How much of each slot a place is drawn from: float32 [P, N], few of them over 0, each row's sum 1."""
    cosine_PN = functional.normalize(places_PC, dim=1) @ functional.normalize(slots_NC, dim=1).T
    weights_PN = functional.softmax(cosine_PN / TEMPERATURE, dim=1)
    over_PN = weights_PN - 1 / len(slots_NC)
    kept_PN = functional.relu(over_PN) * weights_PN / (over_PN.abs() + _SMALL)
    return kept_PN / kept_PN.sum(1, keepdim=True).clamp_min(_SMALL)


class MemoryAutoencoder(nn.Module):
    """Squeezes an image, remembers, and draws what it remembered."""

    def __init__(self, recipe: ReconstructionRecipe) -> None:
        super().__init__()
        self.encoder = ReconstructionEncoder(width=recipe.width, latent=recipe.latent)
        self.slots_NC = nn.Parameter(torch.randn(recipe.slots, recipe.latent) / recipe.latent**0.5)
        self.decoder = ReconstructionDecoder(width=recipe.width, latent=recipe.latent)

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Redrawing``; besides: the entropy of the weights."""
        latent_BChw = self.encoder(images_BCHW)
        batch, channels, height, width = latent_BChw.shape
        places_PC = latent_BChw.permute(0, 2, 3, 1).reshape(-1, channels)
        weights_PN = address(places_PC, self.slots_NC)
        remembered_PC = weights_PN @ self.slots_NC
        again_BChw = remembered_PC.view(batch, height, width, channels).permute(0, 3, 1, 2)
        entropy = -(weights_PN * (weights_PN + _SMALL).log()).sum(1).mean()
        return self.decoder(again_BChw), _ENTROPY * entropy


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> ResidualDetector:
    """Make a teacher of its files; ``siad.models.bundle`` calls this."""
    assert manifest.method == METHOD
    detector = ResidualDetector(MemoryAutoencoder(ReconstructionRecipe.from_json(parts[RECIPE])))
    detector.load_state_dict(unpack(parts[NETWORK]), strict=True)
    return detector.eval()


def fit(
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
    recipe: ReconstructionRecipe = DEFAULT,
    input_px: int = 0,
) -> Bundle:
    """Fit a teacher on good images; the arguments are those of ``fitting.gather``, four normals at least.

    ``input_px`` other than 0 is what images are shown at instead of the recipe's.

    Raises:
        ValueError: too few normals, or a recipe without slots.
    """
    if recipe.slots < 2:
        msg = f"a memory of {recipe.slots} slots; 2 at least are needed to choose from"
        raise ValueError(msg)
    found = gather(
        images,
        line=line,
        product=product,
        normals=normals,
        false_reject_budget=false_reject_budget,
        at_least=NORMALS_MIN,
    )
    recipe = replace(recipe, input_px=input_px or recipe.input_px)
    with seeded(recipe.seed):
        return fit_reconstruction(found, MemoryAutoencoder(recipe), method=METHOD, recipe=recipe)
