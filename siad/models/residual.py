"""Residual segmenter: the teacher's map with a learnt correction.

The teacher is a feature memory, whole and unchanged. A decoder looks at the same features, at the distances to every
bank and at the teacher's own logit, and gives a correction c for every position. With m the teacher's raw score and t
its image threshold,

    logit = 4 log((m / t + 0.1) / 1.1),    raw score = (m + 0.1 t) exp(trust c / 4) - 0.1 t,

which is the score whose logit is higher by ``trust * c``. So scores stay on the teacher's scale, where thresholds and
marks keep their meaning, and an untrained correction, which is 0 everywhere, gives the teacher's own scores.

Where few corrections by people are known, the correction is trusted by half: it learns mostly from the teacher's own
masks, and with all of it magnetic tiles lost .03 to .09 of image AUROC. docs/learning.md has the measurements.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = size of the finest grid, K = hints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from siad.contracts.errors import UnusableWeightsError
from siad.contracts.json_codec import JsonRecord
from siad.contracts.manifest import Manifest
from siad.contracts.methods import RESIDUAL
from siad.models.backbone import stage_channels
from siad.models.bundle import GOLDEN
from siad.models.graph import GRAPH_PARTS
from siad.models.segmenter import PositionNorm, SegmenterDecoder
from siad.models.teachers.feature_memory import FeatureMemory, MemoryEvidence, read_memory
from siad.models.teachers.memory_banks import banks_of
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.tensors import pack, unpack

METHOD: Final = RESIDUAL
NETWORK: Final = "correction.safetensors"
SETTINGS: Final = "correction.json"
STEEPNESS: Final = 4.0  # of the logit; at the threshold an e-fold of the score changes it by so much
FLOOR: Final = 0.1  # of the threshold; scores far under it are alike
_GAIN_MAX: Final = 20.0  # of the exponent: a correction beyond it says nothing more


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionSettings(JsonRecord):
    """Scale of a correction."""

    threshold: float  # of the teacher, raw score, over 0
    trust: float  # 0..1, share of the correction that is applied

    def logits(self, score_Bhw: Tensor) -> Tensor:
        """Express the teacher's raw scores as logits."""
        return STEEPNESS * ((score_Bhw.clamp_min(0) / self.threshold + FLOOR) / (1 + FLOOR)).log()

    def corrected(self, score_Bhw: Tensor, correction_Bhw: Tensor) -> Tensor:
        """Apply a correction to the teacher's raw scores."""
        least = FLOOR * self.threshold
        gain_Bhw = (self.trust * correction_Bhw / STEEPNESS).clamp(-_GAIN_MAX, _GAIN_MAX).exp()
        return score_Bhw * gain_Bhw + least * (gain_Bhw - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionInputs:
    """What the correction of one or more images is computed from."""

    levels: list[Tensor]  # float32 [B, C, h, w], each on its own grid, finest first
    hints_BKhw: Tensor  # float32, on the finest grid: roots of distances by bank, and the teacher's logit
    score_Bhw: Tensor  # raw scores of the teacher


class ResidualSegmenter:
    """A teacher and its correction; implements ``Detector``."""

    needs_whole_input = True  # as its teacher; the decoder's grid is small

    def __init__(self, teacher: FeatureMemory, settings: CorrectionSettings, decoder: SegmenterDecoder) -> None:
        self.teacher, self.settings, self.decoder = teacher, settings, decoder

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Compute raw scores on the teacher's scale: float32 [B, h, w]."""
        return self.corrected(self.inputs(images_BCHW))

    @property
    def stored(self) -> Mapping[str, Tensor]:
        """Tensors of the teacher's memory, as they are stored."""
        return self.teacher.stored

    def graph_score(self, images_BCHW: Tensor, stored: Mapping[str, Tensor]) -> Tensor:
        """Score one image; see ``ExportableDetector``."""
        teacher = self.teacher.reread(stored)
        return ResidualSegmenter(teacher, self.settings, self.decoder).score(images_BCHW)

    def corrected(self, inputs: CorrectionInputs) -> Tensor:
        """Apply the correction: float32 [B, h, w]."""
        correction_Bhw = self.decoder(inputs.levels, inputs.hints_BKhw)
        return self.settings.corrected(inputs.score_Bhw, correction_Bhw)

    def inputs(self, images_BCHW: Tensor, *, hides_own: bool = False) -> CorrectionInputs:
        """Compute what the decoder needs.

        Args:
            images_BCHW: float32, as ``siad.vision.preprocess`` makes them.
            hides_own: whether to leave out what the memory has of this image; then of one image.
        """
        hidden = self.teacher.own_places(images_BCHW[0]) if hides_own else []
        return self.inputs_of(self.teacher.examine(images_BCHW, hidden=hidden))

    def inputs_of(self, evidence: MemoryEvidence) -> CorrectionInputs:
        """Take from a teacher's evidence what the decoder needs."""
        grid = evidence.levels[0].shape[2:]
        score_Bhw = _resized(evidence.score_Bhw, grid)
        distances = [_resized(distance_Bhw, grid) for distance_Bhw in evidence.distances]
        roots = [distance_Bhw.clamp_min(0).sqrt() / 2 for distance_Bhw in distances]
        hints_BKhw = torch.stack([*roots, self.settings.logits(score_Bhw) / STEEPNESS], 1)
        return CorrectionInputs(levels=evidence.levels, hints_BKhw=hints_BKhw, score_Bhw=score_Bhw)


class UnseenScores:
    """Scores of images as if none were in the memory; implements ``Detector``.

    An image that the teacher was fitted on is scored like one that it was not.
    """

    needs_whole_input = True

    def __init__(self, segmenter: ResidualSegmenter) -> None:
        self._segmenter = segmenter

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Compute raw scores: float32 [B, h, w]."""
        inputs = [self._segmenter.inputs(image_1CHW, hides_own=True) for image_1CHW in torch.split(images_BCHW, 1)]
        return torch.cat([self._segmenter.corrected(one) for one in inputs])


def new_residual(teacher: FeatureMemory, settings: CorrectionSettings, *, seed: int = 0) -> ResidualSegmenter:
    """Build an untrained correction, which changes nothing; equal for equal seeds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResidualSegmenter(teacher, settings, _new_decoder(teacher.recipe).eval())


def parts_of(segmenter: ResidualSegmenter, teacher_parts: Mapping[str, bytes]) -> dict[str, bytes]:
    """Write it as files of a bundle, without the golden part.

    The teacher's files are those of its own bundle, so the store has them once.
    """
    own = {NETWORK: pack(segmenter.decoder.state_dict()), SETTINGS: segmenter.settings.to_json()}
    return {name: data for name, data in teacher_parts.items() if name not in (GOLDEN, *GRAPH_PARTS)} | own


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> ResidualSegmenter:
    """Build the network of a bundle's files.

    Raises:
        UnusableWeightsError: the files have another network than this version builds.
        CorruptError: a file can't be read.
    """
    teacher = read_memory(parts)
    decoder = _new_decoder(teacher.recipe)
    try:
        decoder.load_state_dict(unpack(parts[NETWORK]))
        decoder.eval().requires_grad_(requires_grad=False)
    except RuntimeError as error:
        msg = f"weights {manifest.weights[:12]} have another correction than this version builds; train again: {error}"
        raise UnusableWeightsError(msg) from error
    return ResidualSegmenter(teacher, CorrectionSettings.from_json(parts[SETTINGS]), decoder)


def _new_decoder(recipe: MemoryRecipe) -> SegmenterDecoder:
    channels = stage_channels(recipe.backbone)
    hints = len(banks_of(recipe)) + 1
    return SegmenterDecoder([channels[stage] for stage in recipe.stages], hints=hints, prior=0.0, norm=PositionNorm)


def _resized(map_Bhw: Tensor, grid: Sequence[int]) -> Tensor:
    if tuple(map_Bhw.shape[1:]) == tuple(grid):
        return map_Bhw
    return functional.interpolate(map_Bhw[:, None], size=tuple(grid), mode="bilinear")[:, 0]
