"""A small student imitates the backbone on normals; where it fails to, the part is new to it. The fastest teacher.

Batzner, Heckler and König 2024, EfficientAD, arXiv:2303.14535. The backbone's features t [D, h, w] of a place, each
channel brought to mean 0 and deviation 1 over the normals, are predicted twice from its first layers: by the student,
which sees some hundred pixels around the place, and by an autoencoder, which squeezes the whole image through 64
numbers. The student has a second head, which predicts the autoencoder.

    d = (t - s)^2                         D squared differences a place
    loss = mean of the d over their 0.999 quantile          (hard features, their eq. 1)
         + mean of s^2 on noise that is no part             (their eq. 2; there ImageNet, here Perlin noise)
         + mean (t - a)^2 + mean (a - s')^2                 (their eq. 3 and 4)
    local = mean_D (t - s)^2        a scratch, a stain
    whole = mean_D (a - s')^2       a piece that is right in itself and wrong in its place
    score = sum over both of 0.05 (map - q_a) / (q_b - q_a)      q_a, q_b: quantiles .9 and .995 of held-out normals

Ours: teacher and student share the backbone's frozen first two stages (stride 4), which are most of the cost, so one
image costs little more than the backbone itself; the teacher is the pretrained one, not distilled once more.

Shape suffixes: B = batch, C = channels, D = features of a place, H, W = size of the input, h, w = grid of stride 8.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from siad.contracts.json_codec import JsonRecord, JsonStyle
from siad.contracts.manifest import Manifest
from siad.contracts.methods import STUDENT_TEACHER
from siad.models.backbone import STRIDES, Backbone, Variant, pretrained_backbone, stage_channels
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
    take_steps,
    training_device,
)
from siad.models.tensors import pack, unpack
from siad.vision.images import Image
from siad.vision.perlin import perlin

METHOD: Final = STUDENT_TEACHER
BACKBONE: Final = "backbone.safetensors"
STUDENT: Final = "student.safetensors"
RECIPE: Final = "recipe.json"
_SHARED: Final = 1  # the stage whose output both start from: stride 4
_QUANTILES: Final = (0.9, 0.995)
_SQUEEZED: Final = 64  # numbers that a whole image goes through
_LOOKS_MAX: Final = 60  # showings by which channels are made even: 80 MB of features at 384 px
_VIEW: Final = 32  # places a side that the autoencoder sees the image as


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentRecipe(JsonRecord):
    """How a student is taught."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    backbone: Variant = "lite0"
    input_px: int = 384
    stages: tuple[int, ...] = (2, 4)  # whose outputs are imitated
    width: int = 64  # channels of the student
    steps: int = 400
    batch: int = 2
    rate: float = 2e-3
    hard: float = 0.999  # quantile over which a difference counts
    seed: int = 0


class Student(nn.Module):
    """Predicts the backbone's features, and the autoencoder's: [B, C, 2h, 2w] to twice [B, D, h, w]."""

    def __init__(self, inputs: int, features: int, *, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(inputs, width, 3, stride=2, padding=1)
        self.around = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(4))
        self.leave = nn.Conv2d(width, 2 * features, 1)

    def forward(self, shallow_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Predict."""
        x = self.enter(shallow_BCHW)
        for layer in self.around:
            x = x + layer(functional.relu(x))
        local, whole = self.leave(functional.relu(x)).chunk(2, 1)
        return local, whole


class FeatureAutoencoder(nn.Module):
    """The autoencoder: every place from 64 numbers about the image; [B, C, H, W] to [B, D, 32, 32]."""

    def __init__(self, inputs: int, features: int, *, width: int) -> None:
        super().__init__()
        sizes = ((inputs, width), (width, width), (width, width))
        self.down = nn.ModuleList(nn.Conv2d(one, other, 4, stride=2, padding=1) for one, other in sizes)
        self.middle = nn.Conv2d(width, _SQUEEZED, _VIEW // 8)
        self.first = nn.Conv2d(_SQUEEZED, width * 16, 1)
        self.up = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.leave = nn.Conv2d(width, features, 3, padding=1)

    def forward(self, shallow_BCHW: Tensor) -> Tensor:
        """Squeeze and unfold."""
        x = functional.adaptive_avg_pool2d(shallow_BCHW, (_VIEW, _VIEW))
        for layer in self.down:
            x = functional.relu(layer(x))
        x = functional.relu(self.first(self.middle(x)))
        x = functional.pixel_shuffle(x, 4)
        for layer in self.up:
            x = functional.interpolate(x, scale_factor=2, mode="bilinear")
            x = functional.relu(layer(x))
        out: Tensor = self.leave(x)
        return out


class StudentTeacher(nn.Module):
    """Backbone, student and autoencoder, with the maps' quantiles. Thread-safe once fitted: nothing in it changes."""

    centre_D: Tensor
    spread_D: Tensor
    quantiles: Tensor

    def __init__(self, backbone: Backbone, recipe: StudentRecipe) -> None:
        super().__init__()
        channels = stage_channels(recipe.backbone)
        features = sum(channels[stage] for stage in recipe.stages)
        self._backbone = [backbone]  # in a list, so that it is none of our weights
        self._recipe = recipe
        self.student = Student(channels[_SHARED], features, width=recipe.width)
        self.squeeze = FeatureAutoencoder(channels[_SHARED], features, width=recipe.width)
        self.register_buffer("centre_D", torch.zeros(features))
        self.register_buffer("spread_D", torch.ones(features))
        self.register_buffer("quantiles", torch.tensor([[0.0, 1.0], [0.0, 1.0]]))  # local, whole: q_a, q_b

    @property
    def backbone(self) -> Backbone:
        """The teacher's; frozen."""
        return self._backbone[0]

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every place: float32 [B, h, w], about 0 at the normals' .9 quantile, 0.1 at their .995."""
        maps = self.maps(images_BCHW)
        low, high = self.quantiles[:, 0], self.quantiles[:, 1]
        even = [0.1 * (one - low[index]) / (high[index] - low[index]) for index, one in enumerate(maps)]
        return (even[0] + even[1]) / 2

    def maps(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Local and whole differences: float32 [B, h, w] each."""
        shallow, taught = self.teach(images_BCHW)
        local, whole = self.student(shallow)
        squeezed = self.spread(self.squeeze(shallow), local)
        return (taught - local).square().mean(1), (squeezed - whole).square().mean(1)

    def teach(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """The shared first layers [B, C, 2h, 2w], and the even features of the backbone [B, D, h, w]."""
        shallow, features = self.features(images_BCHW)
        return shallow, (features - self.centre_D[:, None, None]) / self.spread_D[:, None, None]

    @torch.no_grad()
    def features(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """As ``teach``, the features as the backbone gives them."""
        shallow, *outputs = self.backbone(images_BCHW, (_SHARED, *self._recipe.stages))
        finest = outputs[0].shape[2:]
        assert STRIDES[self._recipe.stages[0]] == 8
        even = [
            one if one.shape[2:] == finest else functional.interpolate(one, size=finest, mode="bilinear")
            for one in outputs
        ]
        return shallow, torch.cat(even, 1)

    @staticmethod
    def spread(squeezed: Tensor, like: Tensor) -> Tensor:
        """Bring the autoencoder's 32 x 32 places to the grid."""
        if squeezed.shape[2:] == like.shape[2:]:
            return squeezed
        return functional.interpolate(squeezed, size=like.shape[2:], mode="bilinear")


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> StudentTeacher:
    """Make a teacher of its files; ``siad.models.bundle`` calls this."""
    assert manifest.method == METHOD
    recipe = StudentRecipe.from_json(parts[RECIPE])
    detector = StudentTeacher(shared_backbone(recipe.backbone, parts[BACKBONE]), recipe)
    detector.load_state_dict(unpack(parts[STUDENT]), strict=True)
    return detector.eval()


def fit(
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
    recipe: StudentRecipe | None = None,
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
    recipe = recipe or StudentRecipe()
    recipe = replace(recipe, input_px=input_px or recipe.input_px)
    learn, held = hold_out(len(found))
    backbone = pretrained_backbone(recipe.backbone)
    with seeded(recipe.seed):
        detector = StudentTeacher(backbone, recipe)
        loss = _teach(detector, [found.images[index] for index in learn], recipe)
    held_images = [found.images[index] for index in held]
    _even(detector, held_images, recipe)
    fitted = FittedDetector(
        method=METHOD,
        detector=detector,
        parts={BACKBONE: pack(backbone.state_dict()), STUDENT: pack(detector.state_dict()), RECIPE: recipe.to_json()},
        input_px=recipe.input_px,
        held_out=held_scores(detector, held_images, input_px=recipe.input_px),
        metrics=(("loss", loss),),
    )
    return finish(found, fitted)


def _even(detector: StudentTeacher, images: Sequence[Image], recipe: StudentRecipe) -> None:
    """Set both maps' quantiles by held-out normals."""

    def both(images_BCHW: Tensor) -> Tensor:
        return torch.stack([one.flatten() for one in detector.maps(images_BCHW)])

    places_2N = held_maps(both, images, input_px=recipe.input_px)
    low, high = (row_quantile(places_2N, one) for one in _QUANTILES)
    detector.quantiles.copy_(torch.stack((low, torch.maximum(high, low + 1e-6)), 1))  # equal normals have one value


def _teach(detector: StudentTeacher, images: Sequence[Image], recipe: StudentRecipe) -> float:
    """Lower the four losses together; leave the detector on the CPU, in evaluation mode."""
    device = training_device()
    detector.to(device)
    backbone = detector.backbone.to(device)
    showings = NormalBatches(images, input_px=recipe.input_px, seed=recipe.seed)
    looks = min(4 * len(images), _LOOKS_MAX)
    features = torch.cat([detector.features(showings.batch(1).to(device))[1].flatten(2) for _ in range(looks)], 2)[0]
    detector.centre_D.copy_(features.mean(1))
    detector.spread_D.copy_(features.std(1).clamp_min(1e-3))
    rng = np.random.default_rng(recipe.seed)

    def loss_of(step: int) -> Tensor:
        shallow, taught = detector.teach(showings.batch(recipe.batch).to(device))
        local, whole = detector.student(shallow)
        squeezed = detector.spread(detector.squeeze(shallow), local)
        loss: Tensor = _hard(taught - local, recipe.hard) + (taught - squeezed).square().mean()
        loss = loss + (squeezed.detach() - whole).square().mean()
        if step % 4 == 0:
            noise = torch.from_numpy(_noise(showings.size, rng)).to(device)
            loss = loss + detector.student(detector.features(noise)[0])[0].square().mean()
        return loss

    loss = take_steps(
        [*detector.student.parameters(), *detector.squeeze.parameters()], loss_of, steps=recipe.steps, rate=recipe.rate
    )
    backbone.cpu()
    detector.cpu().eval()
    return loss


def _hard(apart: Tensor, quantile: float) -> Tensor:
    """Mean square of what is over a quantile of the squares, which is read from half a million of them."""
    square = apart.square()
    drawn = square.detach().flatten()[:: max(1, square.numel() // 500_000)]
    hardest: Tensor = square[square >= torch.quantile(drawn, quantile)]
    return hardest.mean()


def _noise(size: tuple[int, int], rng: np.random.Generator) -> np.typing.NDArray[np.float32]:
    """What is no part: Perlin noise of some size in some colours, float32 [1, 3, H, W]."""
    cells = int(2 ** rng.integers(2, 7))
    return np.stack([perlin(size, cells=(cells, cells), rng=rng) for _ in range(3)])[None].astype(np.float32)
