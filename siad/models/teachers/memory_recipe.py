"""How a memory is made and read: its recipe, the places it sees, and what its stages say together.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = size of the grid of places, N = h * w,
M = places in a bank, D = length of a description, L = stages.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from siad.models.backbone import STRIDES, Backbone, Variant
from siad.models.bundle import UnusableError
from siad.models.teachers.memory import pool_places


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a memory is made. A field more or another default is another teacher, not another version of this one."""

    backbone: Variant = "lite0"
    input_px: int = 384
    stages: tuple[int, ...] = (2, 4, 5)
    weights: tuple[float, ...] = (1.0, 1.0, 0.25)  # of the stages in the map: fine detail, parts, the whole
    power: float = 1 / 3  # of the mean over stages; 1 adds them up, less asks them to agree
    grid_stride: int = 8  # px of the input between two places; a deeper stage keeps its own
    places_max: int = 2_000  # kept a stage
    candidates_max: int = 20_000  # places that these are chosen from
    candidates_each: int = 300  # of each normal at least, where normals are many; up to three times the former
    turns: int = 12  # angles of a full turn that normals are shown at, where parts lie at any; 1 is never
    seed: int = 0

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it back.

        Raises:
            UnusableError: it has other fields than this code's recipe.
        """
        raw = json.loads(data)
        if raw.keys() != {field.name for field in fields(cls)}:
            msg = f"a memory made by the recipe {sorted(raw)}; this code has another: refit it"
            raise UnusableError(msg)
        return cls(**{**raw, "stages": tuple(raw["stages"]), "weights": tuple(raw["weights"])})


def combine(recipe: Recipe, judged_LBhw: Sequence[Tensor]) -> Tensor:
    """The power mean of what the stages say on the finest of their grids: float32 [B, h, w]."""
    finest = max((judged_Bhw.shape[1:] for judged_Bhw in judged_LBhw), key=lambda grid: grid[0])
    total_Bhw = torch.zeros(len(judged_LBhw[0]), *finest)
    for judged_Bhw, weight in zip(judged_LBhw, recipe.weights, strict=True):
        even_Bhw = judged_Bhw
        if judged_Bhw.shape[1:] != finest:
            even_Bhw = functional.interpolate(judged_Bhw[:, None], size=finest, mode="bilinear")[:, 0]
        total_Bhw += weight * even_Bhw.clamp_min(0) ** recipe.power
    return (total_Bhw / sum(recipe.weights)) ** (1 / recipe.power)


def unit(bank_MD: Tensor) -> Tensor:
    """Rounding to float16 takes a length off 1 by some 1e-4, which would shift small distances by some 1e-2."""
    return functional.normalize(bank_MD.float(), dim=1)


def pooled(backbone: Backbone, recipe: Recipe, images_BCHW: Tensor) -> list[tuple[tuple[int, int], Tensor]]:
    """Grid and pooled outputs (float32 [B, N, D]) of each stage."""
    height, width = images_BCHW.shape[2:]
    found = []
    for stage, output_BDhw in zip(recipe.stages, backbone(images_BCHW, recipe.stages), strict=True):
        stride = max(recipe.grid_stride, STRIDES[stage])
        grid = (height // stride, width // stride)
        found.append((grid, pool_places(output_BDhw, grid=grid)))
    return found
