"""What a memory consists of: its banks, the places they see, and what they say together. Pure.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = size of a grid of places, N = h * w,
M = places in a bank, D = length of a description, L = banks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from siad.models.backbone import STRIDES, Backbone
from siad.models.teachers.memory import distances, distances_to_span, pool_places, pool_zones
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.tiled_backbone import outputs_of

SPAN_PX: Final = 16  # of the input between two places; from so many on they are few enough to ask for a span
_AT_ONCE: Final = 16_384  # places that are compared with a bank: of 4,096 px there are sixteen times as many
ZONE_PX: Final = 32  # between two zones; they overlap widely, and 16 measured the same

Seen = tuple[tuple[int, int], Tensor]  # grid, and pooled places, float32 [B, N, D]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """What one bank of a memory holds: places as a stage sees them, or zones."""

    name: str  # in the memory's file
    stage: int  # of the backbone
    is_zone: bool = False

    def sees(self, recipe: MemoryRecipe, output_BDhw: Tensor, input_hw: tuple[int, int]) -> Seen:
        """Grid and pooled places of a stage's output, float32 [B, N, D]."""
        stride = ZONE_PX if self.is_zone else max(recipe.grid_stride, STRIDES[self.stage])
        grid = (input_hw[0] // stride, input_hw[1] // stride)
        if self.is_zone:
            return grid, pool_zones(output_BDhw, grid=grid, share=recipe.zone_share)
        return grid, pool_places(output_BDhw, grid=grid)

    def spans(self, recipe: MemoryRecipe) -> bool:
        """Whether places are compared with what their nearest span: where there are few enough to ask."""
        return self.is_zone or (recipe.spans_stages and max(recipe.grid_stride, STRIDES[self.stage]) >= SPAN_PX)

    def keeps(self, recipe: MemoryRecipe) -> int:
        """How many places it remembers at most: half, where they span what is between them."""
        return recipe.places_max // 2 if self.spans(recipe) else recipe.places_max

    def apart(
        self, recipe: MemoryRecipe, places_ND: Tensor, remembered_MD: Tensor, *, hidden_M: Tensor | None = None
    ) -> Tensor:
        """Distance of each place to what is remembered, float32 [N]."""
        some = torch.split(places_ND, _AT_ONCE)
        if not self.spans(recipe):
            return torch.cat([distances(one_ND, remembered_MD, hidden_M=hidden_M) for one_ND in some])
        to_span = partial(distances_to_span, neighbours=recipe.neighbours, ridge=recipe.ridge, hidden_M=hidden_M)
        return torch.cat([to_span(one_ND, remembered_MD) for one_ND in some])


def banks_of(recipe: MemoryRecipe) -> list[Bank]:
    """The banks of a memory: one a stage in the recipe's order, then that of zones."""
    zones = [Bank(name="zone", stage=recipe.stages[0], is_zone=True)] if recipe.zone else []
    return [Bank(name=f"s{stage}", stage=stage) for stage in recipe.stages] + zones


def agree(recipe: MemoryRecipe, judged_LBhw: Sequence[Tensor]) -> Tensor:
    """The power mean of what the stages say, on the finest of their grids: float32 [B, h, w], 0 at least.

    Args:
        recipe: how.
        judged_LBhw: of each stage, in their order: spreads over what is usual, float32 [B, h, w] on its own grid.
    """
    finest = max((judged_Bhw.shape[1:] for judged_Bhw in judged_LBhw), key=lambda grid: grid[0])
    total_Bhw = torch.zeros(len(judged_LBhw[0]), *finest)
    for judged_Bhw, weight in zip(judged_LBhw, recipe.weights, strict=True):
        total_Bhw += weight * _over_usual(judged_Bhw, finest) ** recipe.power
    return (total_Bhw / sum(recipe.weights)) ** (1 / recipe.power)


def combine(recipe: MemoryRecipe, judged_LBhw: Sequence[Tensor]) -> Tensor:
    """What all banks say together: float32 [B, h, w] on the finest grid of a stage, 0 at least.

    What the stages agree on, and no place less than ``zone`` times what zones say. Then an image's floor is taken
    off: a dirty part is raised everywhere, a defect stands out of that. How high an image scores is another matter:
    what is over the floor is stretched until the highest place is where it was, and ``lift`` times the median over.

    Args:
        recipe: how.
        judged_LBhw: of each bank, in their order, as ``agree`` has it.
    """
    stages = len(recipe.stages)
    score_Bhw = agree(recipe, judged_LBhw[:stages])
    for zone_Bhw in judged_LBhw[stages:]:
        score_Bhw = torch.maximum(score_Bhw, recipe.zone * _over_usual(zone_Bhw, score_Bhw.shape[1:]))
    return _over_floor(score_Bhw, floor=recipe.floor, lift=recipe.lift)


def _over_usual(judged_Bhw: Tensor, grid: Sequence[int]) -> Tensor:
    """Brought to another grid; what is nearer than usual counts as usual."""
    if tuple(judged_Bhw.shape[1:]) != tuple(grid):
        judged_Bhw = functional.interpolate(judged_Bhw[:, None], size=tuple(grid), mode="bilinear")[:, 0]
    return judged_Bhw.clamp_min(0)


def _over_floor(score_Bhw: Tensor, *, floor: float, lift: float) -> Tensor:
    """Each image's floor at 0, its highest place raised by some of its median."""
    flat_BN = score_Bhw.flatten(1)
    floor_B, highest_B = flat_BN.quantile(floor, dim=1), flat_BN.amax(1)
    lifted_B = highest_B + lift * flat_BN.quantile(0.5, dim=1)
    stretch_B = lifted_B / (highest_B - floor_B).clamp_min(1e-6)
    return (score_Bhw - floor_B[:, None, None]).clamp_min(0) * stretch_B[:, None, None]


def unit(bank_MD: Tensor) -> Tensor:
    """Rounding to float16 takes a length off 1 by some 1e-4, which would shift small distances by some 1e-2."""
    return functional.normalize(bank_MD.float(), dim=1)


def pooled(backbone: Backbone, recipe: MemoryRecipe, images_BCHW: Tensor) -> list[Seen]:
    """What each bank sees, in their order."""
    height, width = images_BCHW.shape[2:]
    outputs = dict(zip(recipe.stages, outputs_of(backbone, images_BCHW, recipe.stages), strict=True))
    return [bank.sees(recipe, outputs[bank.stage], (height, width)) for bank in banks_of(recipe)]
