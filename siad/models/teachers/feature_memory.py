"""Feature memory, the default teacher.

Anomalous is what is far from all patch features of normals.

PatchCore's idea (Roth et al. 2022, arXiv:2106.08265) with one memory bank for each stage of the backbone, each
calibrated by leave-one-out distances of the normals. A position's score is the power mean of its standardised
distances,

    z_s = max(0, (log d_s - centre_s) / spread_s),    score = (sum_s w_s z_s^p / sum_s w_s)^(1/p),    p = 1/3,

d_s the distance to the nearest patch feature in the bank of stage s or, in the coarse stages, to the span of the
nearest there. With p under 1 a position scores high where its stages agree: noise is unusual to the fine stage alone, a
defect to all. Before that every image's features are moved to the mean of the normals', and where the normals' light
differs, inputs are brought to one level and contrast. A further bank has the statistics of zones, a third of the view
wide; a position scores at least 0.3 times its zone. Last, an image's floor is subtracted, and where light does not
differ its maximum is raised by a quarter of its median. Measurements and reasons: docs/models/feature-memory.md.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = size of the grid, N = h * w positions,
M = patch features in a bank, D = length of a patch feature, L = banks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import torch
from torch import Tensor

from siad.contracts.manifest import Manifest
from siad.contracts.methods import FEATURE_MEMORY
from siad.models.backbone import Backbone, pretrained_backbone
from siad.models.bundle import Bundle
from siad.models.teachers.bundling import FittedDetector, Marking, make_bundle, shared_backbone
from siad.models.teachers.distance_norm import DistanceNorm
from siad.models.teachers.illumination import normalise_illumination
from siad.models.teachers.memory_banks import (
    CHUNK,
    Bank,
    PooledFeatures,
    banks_of,
    combine_banks,
    pool_outputs,
    unit_length,
)
from siad.models.teachers.memory_fit import ILLUMINATION, encode_normals, exclude_suspects, fit_memory
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.normals import Normals
from siad.models.teachers.patch_features import normalise_features
from siad.models.tensors import pack, unpack
from siad.models.tiled_backbone import outputs_of
from siad.vision.outliers import find_outliers, find_suspects

METHOD: Final = FEATURE_MEMORY
BACKBONE: Final = "backbone.safetensors"
MEMORY: Final = "memory.safetensors"
RECIPE: Final = "recipe.json"
_OWN_MAX: Final = 1e-5  # 1 - cosine of an entry and the position it was taken from: float16 leaves a tenth of it
FOOTPRINT_PX: Final = 37.5  # regions over .6 of their peak exceed their defects by this square on three sets of parts


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEvidence:
    """What a memory sees in images, and how it scores them."""

    levels: list[Tensor]  # outputs of the recipe's stages, float32 [B, C, h, w] each on its own grid
    distances: list[Tensor]  # standardised, by bank, float32 [B, h, w] each on its own grid
    score_Bhw: Tensor  # raw scores


class FeatureMemory:
    """A fitted teacher. Thread-safe: a call changes nothing in it."""

    needs_whole_input = True  # style, zones and floor belong to an image, not to a tile

    def __init__(self, backbone: Backbone, recipe: MemoryRecipe, memory: Mapping[str, Tensor]) -> None:
        self.recipe = recipe
        self._backbone, self.stored = backbone, memory
        self._normalises_illumination = bool(memory[ILLUMINATION])
        self._banks = [_FilledBank.read(bank, memory) for bank in banks_of(recipe)]

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every position by its standardised distances to the banks.

        Args:
            images_BCHW: float32, as ``siad.vision.preprocess`` makes them.

        Returns:
            float32 [B, h, w] raw scores, at least 0; 0 is what normals show there.
        """
        return self.examine(images_BCHW).score_Bhw

    def graph_score(self, images_BCHW: Tensor, stored: Mapping[str, Tensor]) -> Tensor:
        """Score one image; see ``ExportableDetector``."""
        return self.reread(stored).score(images_BCHW)

    def reread(self, stored: Mapping[str, Tensor]) -> Self:
        """Build the same memory of tensors as ``stored`` has them."""
        return type(self)(self._backbone, self.recipe, stored)

    def examine(self, images_BCHW: Tensor, *, hidden: Sequence[Tensor] = ()) -> MemoryEvidence:
        """Score images, and give what the scores rest on.

        Args:
            images_BCHW: as for ``score``.
            hidden: for each bank the entries to leave out, bool [M], as ``own_places`` finds them; empty: none.
        """
        levels, pooled = self._pool(images_BCHW)
        hidden_of: Sequence[Tensor | None] = hidden or [None] * len(self._banks)
        distances = [
            bank.score(self.recipe, of_bank, hidden_M)
            for bank, of_bank, hidden_M in zip(self._banks, pooled, hidden_of, strict=True)
        ]
        return MemoryEvidence(levels=levels, distances=distances, score_Bhw=combine_banks(self.recipe, distances))

    def own_places(self, image_CHW: Tensor) -> list[Tensor]:
        """Find the entries of each bank that were taken from an image.

        A memory knows its own normals by heart: what it says of them is no example of what it says of others. Rotated
        copies are not found.

        Args:
            image_CHW: float32, as ``siad.vision.preprocess`` makes it, not changed in any way.

        Returns:
            For each bank bool [M]; none is true where all would be.
        """
        _, pooled = self._pool(image_CHW[None])
        return [bank.owned_by(of_bank) for bank, of_bank in zip(self._banks, pooled, strict=True)]

    def _pool(self, images_BCHW: Tensor) -> tuple[list[Tensor], list[PooledFeatures]]:
        if self._normalises_illumination:
            images_BCHW = normalise_illumination(images_BCHW)
        levels = outputs_of(self._backbone, images_BCHW, self.recipe.stages)
        return levels, pool_outputs(self.recipe, levels, (images_BCHW.shape[2], images_BCHW.shape[3]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _FilledBank:
    """A bank with its patch features and their distance norm."""

    bank: Bank
    features_MD: Tensor  # float32, of length 1
    mean_D: Tensor | None
    norm: DistanceNorm

    @classmethod
    def read(cls, bank: Bank, memory: Mapping[str, Tensor]) -> Self:
        return cls(
            bank=bank,
            features_MD=unit_length(memory[f"bank.{bank.name}"]),
            mean_D=memory.get(f"mean.{bank.name}"),
            norm=DistanceNorm(memory[f"centre.{bank.name}"], memory[f"spread.{bank.name}"]),
        )

    def score(self, recipe: MemoryRecipe, pooled: PooledFeatures, hidden_M: Tensor | None) -> Tensor:
        """Standardise each position's distance to the bank: float32 [B, h, w]."""
        grid, pooled_BND = pooled
        features_BND = normalise_features(pooled_BND, mean_D=self.mean_D)
        apart_BN = torch.stack(
            [self.bank.distances(recipe, one_ND, self.features_MD, hidden_M=hidden_M) for one_ND in features_BND]
        )
        return self.norm.standardise(apart_BN.view(-1, *grid).log())

    def owned_by(self, pooled: PooledFeatures) -> Tensor:
        """Mark the entries that equal a position of one image.

        bool [M]; rounding aside.
        """
        [features_ND] = normalise_features(pooled[1], mean_D=self.mean_D)
        own_M = torch.zeros(len(self.features_MD), dtype=torch.bool)
        for chunk_ND in torch.split(features_ND, CHUNK):
            own_M |= (self.features_MD @ chunk_ND.T).amax(1) > 1 - _OWN_MAX
        return torch.zeros_like(own_M) if own_M.all() else own_M


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> FeatureMemory:
    """Build the detector of a bundle's files."""
    assert manifest.method == METHOD
    return read_memory(parts)


def read_memory(parts: Mapping[str, bytes]) -> FeatureMemory:
    """Build a memory of its files, which a residual segmenter has too."""
    recipe = MemoryRecipe.from_json(parts[RECIPE])
    return FeatureMemory(shared_backbone(recipe.backbone, parts[BACKBONE]), recipe, unpack(parts[MEMORY]))


@torch.inference_mode()
def fit(
    normals: Normals, *, false_reject_budget: float, recipe: MemoryRecipe | None = None, input_px: int = 0
) -> Bundle:
    """Fit a teacher.

    Outliers among the normals are left out and the rest is fitted again; of suspects only the inconspicuous positions
    are learned.

    Args:
        normals: at least two.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).
        recipe: parameters; None for the defaults.
        input_px: side of the square with the area that images are brought to; 0: by the recipe, for their size.

    Raises:
        ValueError: fewer than two normals.
    """
    normals.require(2)
    recipe = recipe or MemoryRecipe()
    if input_px:
        recipe = replace(recipe, input_px=input_px)
    else:
        recipe = recipe.shown_at([(image_HWC.shape[0], image_HWC.shape[1]) for image_HWC in normals.images])
    recipe = recipe.for_normals(len(normals))
    backbone = pretrained_backbone(recipe.backbone)
    encoded = encode_normals(backbone, recipe, normals.images)
    recipe = recipe.for_light(differs=encoded.is_illumination_normalised)
    kept = list(normals.capture_ids)
    fitted = fit_memory(recipe, encoded)
    outliers = find_outliers(fitted.outlier_scores())
    if outliers:
        kept = [name for index, name in enumerate(kept) if index not in outliers]
        encoded = replace(encoded, each=[one for index, one in enumerate(encoded.each) if index not in outliers])
        fitted = fit_memory(recipe, encoded)
    suspects = find_suspects(fitted.outlier_scores())
    if suspects:
        fitted = fit_memory(recipe, exclude_suspects(encoded, fitted, suspects))
    detector = FittedDetector(
        method=METHOD,
        detector=FeatureMemory(backbone, recipe, fitted.memory),
        parts={BACKBONE: pack(backbone.state_dict()), MEMORY: pack(fitted.memory), RECIPE: recipe.to_json()},
        input_px=recipe.input_px,
        # captures that were chosen by their scores say nothing of how high a good image scores
        held_out=tuple(score for name, score in zip(kept, fitted.scores, strict=True) if name in normals.calibrating),
        is_left_one_out=True,
        marking=Marking(normal_pixel=fitted.normal_pixel, footprint_px=FOOTPRINT_PX),
        metrics=(
            ("in_one_light", float(encoded.is_illumination_normalised)),
            ("turned", float(encoded.is_rotated)),
        ),
        left_out=tuple(normals.capture_ids[index] for index in outliers),
        doubted=tuple(kept[index] for index in suspects),
    )
    return make_bundle(normals, detector, false_reject_budget=false_reject_budget)
