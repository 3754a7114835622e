"""What a memory consists of: its banks, the places they see, and what they say together. Pure.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = size of a grid of places, N = h * w,
M = places in a bank, D = length of a description, L = banks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from siad.models.backbone import STRIDES, Backbone
from siad.models.teachers.memory import describe_places, distances, distances_to_span, pool_places, pool_zones
from siad.models.teachers.memory_recipe import Recipe

SPAN_PX: Final = 16  # of the input between two places; from so many on they are few enough to ask for a span
ZONE_PX: Final = 32  # between two zones; they overlap widely, and 16 measured the same

Seen = tuple[tuple[int, int], Tensor]  # grid, and pooled places, float32 [B, N, D]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """What one bank of a memory holds: places as a stage sees them, or zones."""

    name: str  # in the memory's file
    stage: int  # of the backbone
    is_zone: bool = False

    def sees(self, recipe: Recipe, output_BDhw: Tensor, input_hw: tuple[int, int]) -> Seen:
        """Grid and pooled places of a stage's output, float32 [B, N, D]."""
        stride = ZONE_PX if self.is_zone else max(recipe.grid_stride, STRIDES[self.stage])
        grid = (input_hw[0] // stride, input_hw[1] // stride)
        if self.is_zone:
            return grid, pool_zones(output_BDhw, grid=grid, share=recipe.zone_share)
        return grid, pool_places(output_BDhw, grid=grid)

    def describe(self, pooled_BND: Tensor, usual_D: Tensor | None) -> Tensor:
        """Places to compare, float32 [B, N, D] of length 1; of zones the style is left in, for it is what they are."""
        return describe_places(pooled_BND, usual_D=None if self.is_zone else usual_D)

    def spans(self, recipe: Recipe) -> bool:
        """Whether places are compared with what their nearest span: where there are few enough to ask."""
        return self.is_zone or max(recipe.grid_stride, STRIDES[self.stage]) >= SPAN_PX

    def keeps(self, recipe: Recipe) -> int:
        """How many places it remembers at most: half, where they span what is between them."""
        return recipe.places_max // 2 if self.spans(recipe) else recipe.places_max

    def apart(
        self, recipe: Recipe, places_ND: Tensor, remembered_MD: Tensor, *, hidden_M: Tensor | None = None
    ) -> Tensor:
        """Distance of each place to what is remembered, float32 [N]."""
        if not self.spans(recipe):
            return distances(places_ND, remembered_MD, hidden_M=hidden_M)
        return distances_to_span(
            places_ND, remembered_MD, neighbours=recipe.neighbours, ridge=recipe.ridge, hidden_M=hidden_M
        )


def banks_of(recipe: Recipe) -> list[Bank]:
    """The banks of a memory: one a stage in the recipe's order, then that of zones."""
    zones = [Bank(name="zone", stage=recipe.stages[0], is_zone=True)] if recipe.zone else []
    return [Bank(name=f"s{stage}", stage=stage) for stage in recipe.stages] + zones


def combine(recipe: Recipe, judged_LBhw: Sequence[Tensor], *, is_whole: bool) -> Tensor:
    """What the banks say together, on the finest of their grids: float32 [B, h, w], 0 at least.

    The stages by their power mean, and no place less than ``zone`` times what zones say. From a whole view its floor is
    taken, and what is over it stretched back to the same highest score: a dirty part is raised everywhere, a defect
    stands out of that; how high an image scores is another matter.

    Args:
        recipe: how.
        judged_LBhw: of each bank, in their order: spreads over what is usual, float32 [B, h, w] on the bank's own grid.
        is_whole: whether an image is seen whole; a tile has no floor of its own.
    """
    stages = judged_LBhw[: len(recipe.stages)]
    finest = max((judged_Bhw.shape[1:] for judged_Bhw in stages), key=lambda grid: grid[0])
    total_Bhw = torch.zeros(len(stages[0]), *finest)
    for judged_Bhw, weight in zip(stages, recipe.weights, strict=True):
        total_Bhw += weight * _over_usual(judged_Bhw, finest) ** recipe.power
    score_Bhw = (total_Bhw / sum(recipe.weights)) ** (1 / recipe.power)
    for zone_Bhw in judged_LBhw[len(stages) :]:
        score_Bhw = torch.maximum(score_Bhw, recipe.zone * _over_usual(zone_Bhw, finest))
    return _without_floor(score_Bhw, recipe.floor) if is_whole else score_Bhw


def _over_usual(judged_Bhw: Tensor, grid: Sequence[int]) -> Tensor:
    """Brought to another grid; what is nearer than usual counts as usual."""
    if tuple(judged_Bhw.shape[1:]) != tuple(grid):
        judged_Bhw = functional.interpolate(judged_Bhw[:, None], size=tuple(grid), mode="bilinear")[:, 0]
    return judged_Bhw.clamp_min(0)


def _without_floor(score_Bhw: Tensor, share: float) -> Tensor:
    """Each image's floor at 0, its highest score where it was."""
    flat_BN = score_Bhw.flatten(1)
    floor_B = flat_BN.quantile(share, dim=1)
    highest_B = flat_BN.amax(1)
    stretch_B = highest_B / (highest_B - floor_B).clamp_min(1e-6)
    return (score_Bhw - floor_B[:, None, None]).clamp_min(0) * stretch_B[:, None, None]


def unit(bank_MD: Tensor) -> Tensor:
    """Rounding to float16 takes a length off 1 by some 1e-4, which would shift small distances by some 1e-2."""
    return functional.normalize(bank_MD.float(), dim=1)


def pooled(backbone: Backbone, recipe: Recipe, images_BCHW: Tensor) -> list[Seen]:
    """What each bank sees, in their order."""
    height, width = images_BCHW.shape[2:]
    outputs = dict(zip(recipe.stages, backbone(images_BCHW, recipe.stages), strict=True))
    return [bank.sees(recipe, outputs[bank.stage], (height, width)) for bank in banks_of(recipe)]
