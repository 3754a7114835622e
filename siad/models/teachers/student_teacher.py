"""Student-teacher, the fastest method.

Anomalous is what a small network fails to predict of the backbone's features.

Batzner, Heckler and König 2024, EfficientAD, arXiv:2303.14535. The backbone's features t [D, h, w], each channel scaled
to mean 0 and deviation 1 over the normals, are predicted twice from its first layers: by the student, which has a
receptive field of some hundred pixels, and by an autoencoder, which compresses the whole image to 64 numbers. The
student has a second head, which predicts the autoencoder's output.

    d = (t - s)^2                         D squared differences at each position
    loss = mean of the d over their 0.999 quantile          (hard features, their eq. 1)
         + mean of s^2 on noise that shows no part          (their eq. 2; there ImageNet, here Perlin noise)
         + mean (t - a)^2 + mean (a - s')^2                 (their eq. 3 and 4)
    local = mean_D (t - s)^2        a scratch, a stain
    whole = mean_D (a - s')^2       a correct piece in the wrong position
    score = sum over both of 0.05 (map - q_a) / (q_b - q_a)      q_a, q_b: quantiles .9 and .995 of held-out normals

Unlike the paper, teacher and student share the backbone's frozen first two stages (stride 4), which are most of the
cost, so one image costs little more than the backbone itself; and the teacher is the pretrained backbone, not a
distilled copy.

Shape suffixes: B = batch, C = channels, D = features of a position, H, W = size of the input, h, w = grid of stride 8,
N = positions of all inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from siad.contracts.json_codec import JsonRecord, JsonStyle
from siad.contracts.manifest import Manifest
from siad.contracts.methods import STUDENT_TEACHER
from siad.models.backbone import STRIDES, Backbone, Variant, pretrained_backbone, stage_channels
from siad.models.bundle import Bundle
from siad.models.teachers.bundling import FittedDetector, make_bundle, shared_backbone
from siad.models.teachers.network_training import (
    NORMALS_MIN,
    NormalBatches,
    held_out_scores,
    held_out_values,
    minimise,
    row_quantile,
    seeded,
    split_normals,
    training_device,
)
from siad.models.teachers.normals import Normals
from siad.models.teachers.student_networks import FeatureAutoencoder, Student
from siad.models.tensors import pack, unpack
from siad.vision.images import Image
from siad.vision.perlin import perlin

METHOD: Final = STUDENT_TEACHER
BACKBONE: Final = "backbone.safetensors"
STUDENT: Final = "student.safetensors"
RECIPE: Final = "recipe.json"
_SHARED: Final = 1  # the stage whose output both networks start from: stride 4
_QUANTILES: Final = (0.9, 0.995)
_SCALING_INPUTS_MAX: Final = 60  # augmented normals by which channels are scaled: 80 MB of features at 384 px


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentRecipe(JsonRecord):
    """Parameters of the networks and their training."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    backbone: Variant = "lite0"
    input_px: int = 384
    stages: tuple[int, ...] = (2, 4)  # whose outputs are predicted
    width: int = 64  # channels of the student
    steps: int = 400
    batch: int = 2
    rate: float = 2e-3
    hard: float = 0.999  # quantile over which a difference counts
    seed: int = 0


class StudentTeacher(nn.Module):
    """Backbone, student and autoencoder, with the maps' quantiles. Thread-safe once fitted."""

    centre_D: Tensor
    spread_D: Tensor
    quantiles: Tensor

    def __init__(self, backbone: Backbone, recipe: StudentRecipe) -> None:
        super().__init__()
        channels = stage_channels(recipe.backbone)
        features = sum(channels[stage] for stage in recipe.stages)
        self._backbone = [backbone]  # in a list, so that its weights are not this module's
        self._recipe = recipe
        self.student = Student(channels[_SHARED], features, width=recipe.width)
        self.squeeze = FeatureAutoencoder(channels[_SHARED], features, width=recipe.width)
        self.register_buffer("centre_D", torch.zeros(features))
        self.register_buffer("spread_D", torch.ones(features))
        self.register_buffer("quantiles", torch.tensor([[0.0, 1.0], [0.0, 1.0]]))  # local, whole: q_a, q_b

    @property
    def backbone(self) -> Backbone:
        """The frozen teacher."""
        return self._backbone[0]

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every position: float32 [B, h, w].

        About 0 at the normals' .9 quantile, 0.1 at their .995.
        """
        maps = self.maps(images_BCHW)
        low, high = self.quantiles[:, 0], self.quantiles[:, 1]
        scaled = [0.1 * (map_Bhw - low[index]) / (high[index] - low[index]) for index, map_Bhw in enumerate(maps)]
        return (scaled[0] + scaled[1]) / 2

    def maps(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Compute local and whole differences: float32 [B, h, w] each."""
        shallow, target = self.targets(images_BCHW)
        local, whole = self.student(shallow)
        decoded = self.resize(self.squeeze(shallow), local)
        return (target - local).square().mean(1), (decoded - whole).square().mean(1)

    def targets(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the shared layers and the scaled features.

        [B, C, 2h, 2w] and [B, D, h, w].
        """
        shallow, features = self.features(images_BCHW)
        return shallow, (features - self.centre_D[:, None, None]) / self.spread_D[:, None, None]

    @torch.no_grad()
    def features(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the same as ``targets``, with the features unscaled."""
        shallow, *outputs = self.backbone(images_BCHW, (_SHARED, *self._recipe.stages))
        finest = outputs[0].shape[2:]
        assert STRIDES[self._recipe.stages[0]] == 8
        resized = [
            output if output.shape[2:] == finest else functional.interpolate(output, size=finest, mode="bilinear")
            for output in outputs
        ]
        return shallow, torch.cat(resized, 1)

    @staticmethod
    def resize(decoded: Tensor, like: Tensor) -> Tensor:
        """Bring the autoencoder's 32 x 32 positions to the grid."""
        if decoded.shape[2:] == like.shape[2:]:
            return decoded
        return functional.interpolate(decoded, size=like.shape[2:], mode="bilinear")


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> StudentTeacher:
    """Build the detector of a bundle's files."""
    assert manifest.method == METHOD
    recipe = StudentRecipe.from_json(parts[RECIPE])
    detector = StudentTeacher(shared_backbone(recipe.backbone, parts[BACKBONE]), recipe)
    detector.load_state_dict(unpack(parts[STUDENT]), strict=True)
    return detector.eval()


def fit(
    normals: Normals, *, false_reject_budget: float, recipe: StudentRecipe | None = None, input_px: int = 0
) -> Bundle:
    """Fit a teacher.

    Args:
        normals: at least four.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).
        recipe: parameters; None for the defaults.
        input_px: side of the square with the area that images are brought to; 0: the recipe's.

    Raises:
        ValueError: too few normals.
    """
    normals.require(NORMALS_MIN)
    recipe = recipe or StudentRecipe()
    recipe = replace(recipe, input_px=input_px or recipe.input_px)
    training, held_out = split_normals(normals)
    backbone = pretrained_backbone(recipe.backbone)
    with seeded(recipe.seed):
        detector = StudentTeacher(backbone, recipe)
        loss = _train(detector, training.images, recipe)
    _calibrate(detector, held_out.images, recipe)
    fitted = FittedDetector(
        method=METHOD,
        detector=detector,
        parts={BACKBONE: pack(backbone.state_dict()), STUDENT: pack(detector.state_dict()), RECIPE: recipe.to_json()},
        input_px=recipe.input_px,
        held_out=held_out_scores(detector, held_out.images, input_px=recipe.input_px),
        metrics=(("loss", loss),),
    )
    return make_bundle(normals, fitted, false_reject_budget=false_reject_budget)


def _calibrate(detector: StudentTeacher, images: Sequence[Image], recipe: StudentRecipe) -> None:
    """Set both maps' quantiles by held-out normals."""

    def both(images_BCHW: Tensor) -> Tensor:
        return torch.stack([map_Bhw.flatten() for map_Bhw in detector.maps(images_BCHW)])

    differences_2N = held_out_values(both, images, input_px=recipe.input_px)
    low, high = (row_quantile(differences_2N, quantile) for quantile in _QUANTILES)
    detector.quantiles.copy_(torch.stack((low, torch.maximum(high, low + 1e-6)), 1))  # equal normals have one value


def _train(detector: StudentTeacher, images: Sequence[Image], recipe: StudentRecipe) -> float:
    """Minimise the four losses together.

    Leaves the detector on the CPU, in evaluation mode.
    """
    device = training_device()
    detector.to(device)
    backbone = detector.backbone.to(device)
    batches = NormalBatches(images, input_px=recipe.input_px, seed=recipe.seed)
    count = min(4 * len(images), _SCALING_INPUTS_MAX)
    features = torch.cat([detector.features(batches.batch(1).to(device))[1].flatten(2) for _ in range(count)], 2)[0]
    detector.centre_D.copy_(features.mean(1))
    detector.spread_D.copy_(features.std(1).clamp_min(1e-3))
    rng = np.random.default_rng(recipe.seed)

    def loss_of(step: int) -> Tensor:
        shallow, target = detector.targets(batches.batch(recipe.batch).to(device))
        local, whole = detector.student(shallow)
        decoded = detector.resize(detector.squeeze(shallow), local)
        loss: Tensor = _hard(target - local, recipe.hard) + (target - decoded).square().mean()
        loss = loss + (decoded.detach() - whole).square().mean()
        if step % 4 == 0:
            noise = torch.from_numpy(_noise(batches.size, rng)).to(device)
            loss = loss + detector.student(detector.features(noise)[0])[0].square().mean()
        return loss

    loss = minimise(
        [*detector.student.parameters(), *detector.squeeze.parameters()], loss_of, steps=recipe.steps, rate=recipe.rate
    )
    backbone.cpu()
    detector.cpu().eval()
    return loss


def _hard(differences: Tensor, quantile: float) -> Tensor:
    """Mean square of the differences over a quantile.

    The quantile is estimated from half a million of them.
    """
    square = differences.square()
    drawn = square.detach().flatten()[:: max(1, square.numel() // 500_000)]
    hardest: Tensor = square[square >= torch.quantile(drawn, quantile)]
    return hardest.mean()


def _noise(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw coloured Perlin noise, float32 [1, 3, H, W]."""
    cells = int(2 ** rng.integers(2, 7))
    return np.stack([perlin(size, cells=(cells, cells), rng=rng) for _ in range(3)])[None].astype(np.float32)
