"""A generator that can only make normals is asked for the one most like an image; what it can't make is a defect.

Pan et al. 2021, Exploiting deep generative prior, arXiv:2003.13659 (inversion by optimisation, compared in features
too); Schlegl et al. 2019, f-AnoGAN (an encoder to start from); Mou et al. 2023, RGI: robust GAN-inversion,
arXiv:2302.12464 (a defect must not pull the inversion).

Fit: a generator G, an encoder E and a critic D, on normals x [3, S, S] and latents z [64] drawn from a normal law:

    critic:    max(0, 1 - D(x)) + max(0, 1 + D(G(z)))            hinge, D spectrally normalised
    G and E:   difference(x, G(E(x))) - 0.05 mean D(G(z), G(E(x))) + 0.1 mean (E(G(z)) - z)^2 + 0.01 mean E(x)^2

A generator from a handful of images needs the encoder's help, so both are taught together, not one after the other.

Score: z is improved from E(x) by a few steps of steepest descent, of falling length, on RGI's objective, in which a
mask m takes up what no normal explains. With |m| as its price the mask has a closed form, and Huber's loss is left:

    min_z,m mean (x - G(z) - m)^2 / 2 + k |m|  =  min_z mean Huber_k(x - G(z)),      m = soft_k(x - G(z))
    residual = mean_C |m| / a + sum_D (f(x) - f(G(z)))^2 / b        [S / 4, S / 4]

with f the backbone's features at strides 4 and 8, of unit length each, and a, b the .99 quantiles over held-out
normals. The image is shown as a square of S px, whatever its shape.

Shape suffixes: B = batch, C = channels, D = features, H, W = size of the input, S = side of what is generated.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from siad.contracts.manifest import Manifest
from siad.contracts.methods import GAN_INVERSION
from siad.models.backbone import Backbone, Variant, pretrained_backbone
from siad.models.bundle import Bundle
from siad.models.teachers.fitting import FittedDetector, finish, gather, shared_backbone
from siad.models.teachers.learning import (
    NORMALS_MIN,
    NormalBatches,
    held_maps,
    held_scores,
    hold_out,
    row_quantile,
    seeded,
    training_device,
)
from siad.models.teachers.reconstruction import difference
from siad.models.tensors import pack, unpack
from siad.vision.images import Image

METHOD: Final = GAN_INVERSION
BACKBONE: Final = "backbone.safetensors"
NETWORK: Final = "network.safetensors"
RECIPE: Final = "recipe.json"
LATENT: Final = 64
_STAGES: Final = (1, 2)  # whose outputs are compared: strides 4 and 8
_QUANTILE: Final = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class InversionRecipe:
    """How a generator is taught, and asked."""

    backbone: Variant = "lite0"
    side_px: int = 128  # of what is generated; a power of two, 32 at least
    width: int = 16  # channels of the finest layer
    steps: int = 600
    batch: int = 8
    rate: float = 2e-3
    descents: int = 8  # steps of an inversion
    stride: float = 0.3  # length of its first step in the space of latents
    huber: float = 0.1  # of the range -1..1: more than that is not the generator's to explain
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a side that can't be doubled to."""
        if self.side_px < 32 or self.side_px & (self.side_px - 1):
            msg = f"a generator of {self.side_px} px; its side must be a power of two, 32 at least"
            raise ValueError(msg)

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it back."""
        return cls(**json.loads(data))


def _widths(recipe: InversionRecipe) -> list[int]:
    """Channels from the finest layer to that of 4 px, doubling up to eight times the first."""
    levels = (recipe.side_px // 4).bit_length() - 1
    return [recipe.width * min(8, 2**level) for level in range(levels)]


class Generator(nn.Module):
    """[B, 64] to [B, 3, S, S]."""

    def __init__(self, recipe: InversionRecipe) -> None:
        super().__init__()
        widths = _widths(recipe)[::-1]
        self.first = nn.Linear(LATENT, widths[0] * 16)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
            for inputs, outputs in zip(widths, [*widths[1:], 3], strict=True)
        )

    def forward(self, latent_BZ: Tensor) -> Tensor:
        """Make images; -1 to 1 and a little beyond, as cameras overshoot after preprocessing."""
        x = self.first(latent_BZ).view(len(latent_BZ), -1, 4, 4)
        for layer in self.up:
            x = layer(functional.leaky_relu(x, 0.2))
        return 1.1 * torch.tanh(x)


class Funnel(nn.Module):
    """Encoder and critic: [B, 3, S, S] to [B, outputs]."""

    def __init__(self, recipe: InversionRecipe, outputs: int, *, steady: bool) -> None:
        super().__init__()
        widths = _widths(recipe)
        layers = [
            nn.Conv2d(inputs, outputs_, 4, stride=2, padding=1)
            for inputs, outputs_ in zip([3, *widths[:-1]], widths, strict=True)
        ]
        last = nn.Linear(widths[-1] * 16, outputs)
        self.down = nn.ModuleList(spectral_norm(layer) if steady else layer for layer in layers)
        self.last = spectral_norm(last) if steady else last

    def forward(self, images_B3SS: Tensor) -> Tensor:
        """Squeeze."""
        x = images_B3SS
        for layer in self.down:
            x = functional.leaky_relu(layer(x), 0.2)
        out: Tensor = self.last(x.flatten(1))
        return out


class GanInversion(nn.Module):
    """Generator and encoder, with the residuals' scales. Thread-safe once fitted: nothing in it changes."""

    scales: Tensor

    def __init__(self, backbone: Backbone, recipe: InversionRecipe) -> None:
        super().__init__()
        self._backbone = [backbone.requires_grad_(requires_grad=False)]  # in a list, so that it is none of our weights
        self._recipe = recipe
        self.generator = Generator(recipe)
        self.encoder = Funnel(recipe, LATENT, steady=False)
        self.register_buffer("scales", torch.ones(2))

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every place: float32 [B, S / 4, S / 4]; 2 is about the .99 quantile of normals."""
        pixels_Bhw, features_Bhw = self.residuals(images_BCHW).unbind(0)
        return pixels_Bhw / self.scales[0] + features_Bhw / self.scales[1]

    def residuals(self, images_BCHW: Tensor) -> Tensor:
        """What the mask took up, and how far the features are apart: float32 [2, B, S / 4, S / 4]."""
        with torch.inference_mode(mode=False):  # an inversion needs gradients, whoever asks
            square_B3SS = squared(images_BCHW.clone(), self._recipe.side_px)
            normal_B3SS = self.generator(self.invert(square_B3SS)).detach()
        left_B3SS = square_B3SS - normal_B3SS
        mask_BSS = functional.relu(left_B3SS.abs() - self._recipe.huber).mean(1)
        pixels_Bhw = functional.avg_pool2d(mask_BSS, 4)
        return torch.stack((pixels_Bhw, self._features_apart(square_B3SS, normal_B3SS)))

    def invert(self, square_B3SS: Tensor) -> Tensor:
        """Find the latents of the normals most like some images: float32 [B, 64]."""
        latent_BZ: Tensor = self.encoder(square_B3SS).detach()
        for step in range(self._recipe.descents):
            with torch.enable_grad():
                asked_BZ = latent_BZ.requires_grad_()
                left_B3SS = square_B3SS - self.generator(asked_BZ)
                loss = functional.huber_loss(left_B3SS, torch.zeros_like(left_B3SS), delta=self._recipe.huber)
                (slope_BZ,) = torch.autograd.grad(loss, asked_BZ)
            length = self._recipe.stride * (1 - step / self._recipe.descents)
            latent_BZ = (asked_BZ - length * functional.normalize(slope_BZ, dim=1)).detach()
        return latent_BZ

    def _features_apart(self, one_B3SS: Tensor, other_B3SS: Tensor) -> Tensor:
        with torch.no_grad():
            outputs = self._backbone[0](torch.cat((one_B3SS, other_B3SS)), _STAGES)
        apart = []
        for output in outputs:
            one, other = functional.normalize(output, dim=1).chunk(2)
            apart.append((one - other).square().sum(1, keepdim=True))
        finest = apart[0].shape[2:]
        even = [functional.interpolate(one, size=finest, mode="bilinear") for one in apart]
        apart_Bhw: Tensor = torch.cat(even, 1).sum(1)
        return apart_Bhw


def squared(images_BCHW: Tensor, side_px: int) -> Tensor:
    """Show images as squares of a side."""
    return functional.interpolate(images_BCHW, size=(side_px, side_px), mode="bilinear", antialias=True)


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> GanInversion:
    """Make a teacher of its files; ``siad.models.bundle`` calls this."""
    assert manifest.method == METHOD
    recipe = InversionRecipe.from_json(parts[RECIPE])
    detector = GanInversion(shared_backbone(recipe.backbone, parts[BACKBONE]), recipe)
    detector.load_state_dict(unpack(parts[NETWORK]), strict=True)
    return detector.requires_grad_(requires_grad=False).eval()


def fit(
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
    recipe: InversionRecipe | None = None,
) -> Bundle:
    """Fit a teacher on good images; the arguments are those of ``fitting.gather``, four normals at least."""
    found = gather(
        images,
        line=line,
        product=product,
        normals=normals,
        false_reject_budget=false_reject_budget,
        at_least=NORMALS_MIN,
    )
    recipe = recipe or InversionRecipe()
    learn, held = hold_out(len(found))
    backbone = pretrained_backbone(recipe.backbone)
    input_px = 2 * recipe.side_px  # halved once more, so that no fine line is skipped
    with seeded(recipe.seed):
        detector = GanInversion(backbone, recipe)
        _teach(
            detector, NormalBatches([found.images[one] for one in learn], input_px=input_px, seed=recipe.seed), recipe
        )
    held_images = [found.images[index] for index in held]

    def both(images_BCHW: Tensor) -> Tensor:
        return detector.residuals(images_BCHW).flatten(1)

    places_2N = held_maps(both, held_images, input_px=input_px)
    detector.scales.copy_(row_quantile(places_2N, _QUANTILE).clamp_min(1e-3))
    fitted = FittedDetector(
        method=METHOD,
        detector=detector,
        parts={BACKBONE: pack(backbone.state_dict()), NETWORK: pack(detector.state_dict()), RECIPE: recipe.to_json()},
        input_px=input_px,
        held_out=held_scores(detector, held_images, input_px=input_px),
    )
    return finish(found, fitted)


def _teach(detector: GanInversion, showings: NormalBatches, recipe: InversionRecipe) -> None:
    """Critic and makers take turns; leave the detector on the CPU, asked for no more gradients."""
    device = training_device()
    critic = Funnel(recipe, 1, steady=True).to(device)
    detector.to(device)
    makers = [*detector.generator.parameters(), *detector.encoder.parameters()]
    optimizers = [torch.optim.Adam(makers, recipe.rate, (0.5, 0.9))]
    optimizers.append(torch.optim.Adam(critic.parameters(), recipe.rate, (0.5, 0.9)))
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(one, recipe.steps) for one in optimizers]
    for _ in range(recipe.steps):
        real = squared(showings.batch(recipe.batch), recipe.side_px).to(device)
        drawn = torch.randn(recipe.batch // 2, LATENT).to(device)
        latents = detector.encoder(real)
        again, made = detector.generator(torch.cat((latents, drawn))).split((recipe.batch, recipe.batch // 2))
        for parameter in critic.parameters():
            parameter.requires_grad = False
        loss = difference(real, again) - 0.05 * critic(torch.cat((again, made))).mean()
        loss = loss + 0.1 * (detector.encoder(made) - drawn).square().mean() + 0.01 * latents.square().mean()
        _step(optimizers[0], loss)
        for parameter in critic.parameters():
            parameter.requires_grad = True
        fakes = torch.cat((again, made)).detach()
        _step(optimizers[1], functional.relu(1 - critic(real)).mean() + functional.relu(1 + critic(fakes)).mean())
        for schedule in schedules:
            schedule.step()
    detector.cpu().requires_grad_(requires_grad=False).eval()


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
