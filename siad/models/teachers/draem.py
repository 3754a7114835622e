"""A network that repairs images and another that sees the repair, both taught on defects that were painted on.

Zavrtanik, Kristan and Skocaj 2021, DRAEM, arXiv:2108.07610. From a normal x [3, H, W] and the same
painted with patches m [H, W], x' (``siad.models.teachers.synthesis``), jointly:

    y    = repair(x')                                        should be x: the autoencoder of ``reconstruction``
    l    = judge(x', y, |x' - y|)                            log-odds of a defect, [H / 2, W / 2]: a U-Net
    loss = mean (1 - SSIM(x, y)) + 5 mean (x - y)^2          (their eq. 2; weights ours)
         + 10 focal(l, m)                                    (their eq. 4; Lin et al. 2017, exponent 2)
    score = l, cut to -15..15

So the distance between an image and its repair is learnt, not chosen; what it has not been painted, it may miss.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = H / 2, W / 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from siad.contracts.manifest import Manifest
from siad.contracts.methods import DRAEM
from siad.models.bundle import Bundle
from siad.models.teachers.autoencoder import Autoencoder
from siad.models.teachers.fitting import FittedDetector, finish, gather
from siad.models.teachers.learning import (
    NORMALS_MIN,
    NormalBatches,
    held_scores,
    hold_out,
    seeded,
    take_steps,
    training_device,
)
from siad.models.teachers.reconstruction import NETWORK, RECIPE, ReconstructionRecipe, difference
from siad.models.teachers.synthesis import paint
from siad.models.tensors import pack, unpack
from siad.vision.images import Image

METHOD: Final = DRAEM
DEFAULT: Final = ReconstructionRecipe(latent=64, steps=450)
_PAINTED: Final = 0.5  # of the images shown
_FOCUS: Final = 2.0
_SEEING: Final = 10.0  # weight of the focal loss, which is that much smaller than the repair's
_ODDS_MAX: Final = 15.0


class Judge(nn.Module):
    """A U-Net over an image, its repair and their difference: [B, 9, H, W] to [B, H / 2, W / 2]."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        sizes = (9, width, 2 * width, 4 * width, 4 * width)
        self.down = nn.ModuleList(nn.Conv2d(sizes[i], sizes[i + 1], 4, stride=2, padding=1) for i in range(4))
        self.up = nn.ModuleList(nn.Conv2d(sizes[i + 1] + sizes[i], sizes[i], 3, padding=1) for i in (3, 2, 1))
        self.around = nn.Conv2d(4 * width, 4 * width, 3, padding=1)
        self.leave = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, both_BCHW: Tensor) -> Tensor:
        """Judge."""
        levels, x = [], both_BCHW
        for layer in self.down:
            x = functional.leaky_relu(layer(x), 0.1)
            levels.append(x)
        x = functional.leaky_relu(self.around(levels.pop()), 0.1)
        for layer in self.up:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = functional.leaky_relu(layer(torch.cat((x, levels.pop()), 1)), 0.1)
        out: Tensor = self.leave(x)[:, 0]
        return out


class Draem(nn.Module):
    """Both networks. Thread-safe once fitted: nothing in it changes."""

    def __init__(self, recipe: ReconstructionRecipe) -> None:
        super().__init__()
        self.repair = Autoencoder(recipe)
        self.judge = Judge(width=recipe.width)

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every place: log-odds, float32 [B, h, w]."""
        odds_Bhw: Tensor = self(images_BCHW)[1]
        return odds_Bhw.clamp(-_ODDS_MAX, _ODDS_MAX)

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """The repaired images and the log-odds."""
        repaired_BCHW, _ = self.repair(images_BCHW)
        apart_BCHW = (images_BCHW - repaired_BCHW).abs()  # a judge finds that by itself, but ten times later
        return repaired_BCHW, self.judge(torch.cat((images_BCHW, repaired_BCHW, apart_BCHW), 1))


def focal(odds_Bhw: Tensor, truth_Bhw: Tensor) -> Tensor:
    """Cross-entropy in which what is sure already counts little: mean of -(1 - p)^2 log p of the truth's p.

    Source:
        Lin et al. 2017, arXiv:1708.02002, eq. 4.
    """
    entropy_Bhw = functional.binary_cross_entropy_with_logits(odds_Bhw, truth_Bhw, reduction="none")
    return ((1 - torch.exp(-entropy_Bhw)) ** _FOCUS * entropy_Bhw).mean()


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> Draem:
    """Make a teacher of its files; ``siad.models.bundle`` calls this."""
    assert manifest.method == METHOD
    detector = Draem(ReconstructionRecipe.from_json(parts[RECIPE]))
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
    """
    found = gather(
        images,
        line=line,
        product=product,
        normals=normals,
        false_reject_budget=false_reject_budget,
        at_least=NORMALS_MIN,
    )
    recipe = replace(recipe, input_px=input_px or recipe.input_px)
    learn, held = hold_out(len(found))
    with seeded(recipe.seed):
        detector = Draem(recipe)
        loss = _teach(detector, [found.images[index] for index in learn], recipe)
    fitted = FittedDetector(
        method=METHOD,
        detector=detector,
        parts={NETWORK: pack(detector.state_dict()), RECIPE: recipe.to_json()},
        input_px=recipe.input_px,
        held_out=held_scores(detector, [found.images[index] for index in held], input_px=recipe.input_px),
        metrics=(("loss", loss),),
    )
    return finish(found, fitted)


def _teach(detector: Draem, images: Sequence[Image], recipe: ReconstructionRecipe) -> float:
    device = training_device()
    detector.to(device).train()
    showings = NormalBatches(images, input_px=recipe.input_px, seed=recipe.seed)
    rng = np.random.default_rng(recipe.seed)

    def loss_of(_: int) -> Tensor:
        good_BCHW = showings.batch(recipe.batch)
        painted_BCHW, seen_BHW = _paint_some(good_BCHW, showings.batch(recipe.batch), rng)
        repaired_BCHW, odds_Bhw = detector(painted_BCHW.to(device))
        truth_Bhw = functional.max_pool2d(seen_BHW[:, None].float(), 2)[:, 0].to(device)
        loss: Tensor = difference(good_BCHW.to(device), repaired_BCHW) + _SEEING * focal(odds_Bhw, truth_Bhw)
        return loss

    loss = take_steps(detector.parameters(), loss_of, steps=recipe.steps, rate=recipe.rate)
    detector.cpu().eval()
    return loss


def _paint_some(good_BCHW: Tensor, sources_BCHW: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Half of the images painted; float32 [B, 3, H, W] and bool [B, H, W]."""
    painted_BCHW, seen_BHW = good_BCHW.clone(), torch.zeros(good_BCHW[:, 0].shape, dtype=torch.bool)
    for index in range(len(good_BCHW)):
        if rng.random() < _PAINTED:
            painted, seen = paint(good_BCHW[index].numpy(), sources_BCHW[index].numpy(), rng)
            painted_BCHW[index], seen_BHW[index] = torch.from_numpy(painted), torch.from_numpy(seen)
    return painted_BCHW, seen_BHW
