"""Memory banks of the feature memory, and their combination.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = size of a grid of positions, N = h * w,
M = patch features in a bank, D = length of a patch feature, L = banks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from siad.models.backbone import STRIDES, Backbone
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.patch_features import nearest_distances, pool_patches, pool_zones, span_distances
from siad.models.tiled_backbone import outputs_of

SPAN_PX: Final = 16  # px of the input between positions from which on a bank uses spans: there are few enough
CHUNK: Final = 16_384  # positions compared with a bank at once: an input of 4,096 px has sixteen times as many
ZONE_PX: Final = 32  # px of the input between two zones, which overlap widely; 16 measured the same

PooledFeatures = tuple[tuple[int, int], Tensor]  # grid, and patch features before normalisation, float32 [B, N, D]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """One memory bank: patch features of a stage, or zones."""

    name: str  # in the memory's file
    stage: int  # of the backbone
    is_zone: bool = False

    def pool(self, recipe: MemoryRecipe, output_BDhw: Tensor, input_hw: tuple[int, int]) -> PooledFeatures:
        """Pool the output of the bank's stage."""
        stride = ZONE_PX if self.is_zone else max(recipe.grid_stride, STRIDES[self.stage])
        grid = (input_hw[0] // stride, input_hw[1] // stride)
        if self.is_zone:
            return grid, pool_zones(output_BDhw, grid=grid, share=recipe.zone_share)
        return grid, pool_patches(output_BDhw, grid=grid)

    def uses_spans(self, recipe: MemoryRecipe) -> bool:
        """Whether positions are compared with the span of their nearest.

        Only coarse banks are small enough for it.
        """
        return self.is_zone or (recipe.spans_stages and max(recipe.grid_stride, STRIDES[self.stage]) >= SPAN_PX)

    def size(self, recipe: MemoryRecipe) -> int:
        """Number of patch features that it keeps at most.

        Half with spans, which fill the gaps.
        """
        return recipe.places_max // 2 if self.uses_spans(recipe) else recipe.places_max

    def distances(
        self, recipe: MemoryRecipe, features_ND: Tensor, bank_MD: Tensor, *, hidden_M: Tensor | None = None
    ) -> Tensor:
        """Measure the distance of each patch feature to the bank: float32 [N]."""
        if self.uses_spans(recipe):
            measure = partial(span_distances, neighbours=recipe.neighbours, ridge=recipe.ridge, hidden_M=hidden_M)
        else:
            measure = partial(nearest_distances, hidden_M=hidden_M)
        if len(features_ND) <= CHUNK:
            return measure(features_ND, bank_MD)
        return torch.cat([measure(chunk_ND, bank_MD) for chunk_ND in torch.split(features_ND, CHUNK)])


def banks_of(recipe: MemoryRecipe) -> list[Bank]:
    """List the banks of a memory.

    One for each stage in the recipe's order, then that of zones.
    """
    zones = [Bank(name="zone", stage=recipe.stages[0], is_zone=True)] if recipe.zone else []
    return [Bank(name=f"s{stage}", stage=stage) for stage in recipe.stages] + zones


def combine_stages(recipe: MemoryRecipe, scores_LBhw: Sequence[Tensor]) -> Tensor:
    """Combine the stages' scores by a power mean.

    float32 [B, h, w] on the finest grid, at least 0.

    Args:
        recipe: weights and power.
        scores_LBhw: of each stage, in their order, the standardised distances, float32 [B, h, w] on its own grid.
    """
    finest = max((score_Bhw.shape[1:] for score_Bhw in scores_LBhw), key=lambda grid: grid[0])
    total_Bhw = torch.zeros(len(scores_LBhw[0]), *finest)
    for score_Bhw, weight in zip(scores_LBhw, recipe.weights, strict=True):
        total_Bhw += weight * _excess(score_Bhw, finest) ** recipe.power
    return (total_Bhw / sum(recipe.weights)) ** (1 / recipe.power)


def combine_banks(recipe: MemoryRecipe, scores_LBhw: Sequence[Tensor]) -> Tensor:
    """Combine all banks' scores.

    float32 [B, h, w] on the finest grid of a stage, at least 0.

    A position scores what the stages agree on, and at least ``zone`` times the score of its zone. Then the image's
    floor, a low quantile, is subtracted: dirt raises a part everywhere, a defect stands out locally. Subtracting it
    must not change how high the image scores, so the rest is stretched until the highest position is where it was,
    plus ``lift`` times the median.

    Args:
        recipe: how.
        scores_LBhw: of each bank, in their order, as for ``combine_stages``.
    """
    stages = len(recipe.stages)
    score_Bhw = combine_stages(recipe, scores_LBhw[:stages])
    for zone_Bhw in scores_LBhw[stages:]:
        score_Bhw = torch.maximum(score_Bhw, recipe.zone * _excess(zone_Bhw, score_Bhw.shape[1:]))
    return _subtract_floor(score_Bhw, floor=recipe.floor, lift=recipe.lift)


def _excess(score_Bhw: Tensor, grid: Sequence[int]) -> Tensor:
    """Resize scores to a grid, and set those under 0 to 0."""
    if tuple(score_Bhw.shape[1:]) != tuple(grid):
        score_Bhw = functional.interpolate(score_Bhw[:, None], size=tuple(grid), mode="bilinear")[:, 0]
    return score_Bhw.clamp_min(0)


def _subtract_floor(score_Bhw: Tensor, *, floor: float, lift: float) -> Tensor:
    """Move each image's floor to 0, and lift its maximum."""
    sorted_BN = score_Bhw.flatten(1).sort(1).values
    floor_B, highest_B = _quantile(sorted_BN, floor), sorted_BN[:, -1]
    lifted_B = highest_B + lift * _quantile(sorted_BN, 0.5)
    stretch_B = lifted_B / (highest_B - floor_B).clamp_min(1e-6)
    return (score_Bhw - floor_B[:, None, None]).clamp_min(0) * stretch_B[:, None, None]


def _quantile(sorted_BN: Tensor, share: float) -> Tensor:
    """Quantile of ascending values, float32 [B]; linear between two of them."""
    last = sorted_BN.shape[1] - 1
    rank = share * torch.as_tensor(last).float()
    below = rank.floor()
    above = (below + 1).clamp_max(last)
    low_B, high_B = (sorted_BN.index_select(1, at.long().view(1))[:, 0] for at in (below, above))
    return low_B + (high_B - low_B) * (rank - below)


def unit_length(bank_MD: Tensor) -> Tensor:
    """Restore unit length.

    Rounding to float16 changes it by 1e-4, and small distances by 1e-2.
    """
    return functional.normalize(bank_MD.float(), dim=1)


def pool_banks(backbone: Backbone, recipe: MemoryRecipe, images_BCHW: Tensor) -> list[PooledFeatures]:
    """Run the backbone and pool its outputs for each bank."""
    levels = outputs_of(backbone, images_BCHW, recipe.stages)
    return pool_outputs(recipe, levels, (images_BCHW.shape[2], images_BCHW.shape[3]))


def pool_outputs(recipe: MemoryRecipe, levels: Sequence[Tensor], input_hw: tuple[int, int]) -> list[PooledFeatures]:
    """Pool the outputs of the recipe's stages for each bank."""
    outputs = dict(zip(recipe.stages, levels, strict=True))
    return [bank.pool(recipe, outputs[bank.stage], input_hw) for bank in banks_of(recipe)]
