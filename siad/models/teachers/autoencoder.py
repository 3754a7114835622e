"""An autoencoder that has only ever drawn normals; what it can't draw again is a defect.

Bergmann, Löwe, Fauser, Sattlegger and Steger 2019, arXiv:1807.02011. An image x [3, H, W] is squeezed to a latent image
z [32, H / 16, W / 16], 24 numbers of the input to one, and drawn again as y:

    loss     = mean (1 - SSIM(x, y)) + 5 mean (x - y)^2            (their eq. 2 to 5: SSIM in windows of 11 px)
    residual = (1 - SSIM(x, y)) / a + mean_C (x - y)^2 / b         [H / 4, W / 4]

with a and b the .99 quantiles of either over held-out normals. SSIM sees broken structure of equal brightness, the
square sees stains too smooth to have structure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn

from siad.contracts.manifest import Manifest
from siad.contracts.methods import AUTOENCODER
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

METHOD: Final = AUTOENCODER


class Autoencoder(nn.Module):
    """Squeezes an image and draws it again."""

    def __init__(self, recipe: ReconstructionRecipe) -> None:
        super().__init__()
        self.encoder = ReconstructionEncoder(width=recipe.width, latent=recipe.latent)
        self.decoder = ReconstructionDecoder(width=recipe.width, latent=recipe.latent)

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Redrawing``; nothing besides."""
        return self.decoder(self.encoder(images_BCHW)), torch.zeros((), device=images_BCHW.device)


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> ResidualDetector:
    """Make a teacher of its files; ``siad.models.bundle`` calls this."""
    assert manifest.method == METHOD
    detector = ResidualDetector(Autoencoder(ReconstructionRecipe.from_json(parts[RECIPE])))
    detector.load_state_dict(unpack(parts[NETWORK]), strict=True)
    return detector.eval()


def fit(
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
    recipe: ReconstructionRecipe | None = None,
    input_px: int = 0,
) -> Bundle:
    """Fit a teacher on good images; the arguments are those of ``fitting.gather``, four normals at least.

    ``input_px`` other than 0 is what images are shown at instead of the recipe's.
    """
    found = gather(
        images,
        line=line,
        product=product,
        normals=normals,
        false_reject_budget=false_reject_budget,
        at_least=NORMALS_MIN,
    )
    recipe = recipe or ReconstructionRecipe()
    recipe = replace(recipe, input_px=input_px or recipe.input_px)
    with seeded(recipe.seed):
        return fit_reconstruction(found, Autoencoder(recipe), method=METHOD, recipe=recipe)
