"""The default teacher: remember what places of good parts look like; what is far from all of them is a defect.

PatchCore's idea (Roth et al. 2022, arXiv:2106.08265) with one bank a stage of the backbone, each calibrated on normals
scored without themselves. Which recipe and why: docs/adr/0003-default-teacher.md.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = size of the grid of places, N = h * w,
M = places in a bank, D = length of a description, L = stages.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from siad.core.decide import finish_map
from siad.core.images import Image
from siad.core.manifest import Manifest
from siad.core.methods import FEATURE_MEMORY
from siad.core.preprocess import preprocess
from siad.models.backbone import STRIDES, Backbone, Variant, pretrained_backbone
from siad.models.bundle import Bundle, pack, unpack
from siad.models.teachers.fitting import Fitted, finish, gather, shared_backbone
from siad.models.teachers.memory import choose_places, describe_places, distances

METHOD: Final = FEATURE_MEMORY
BACKBONE: Final = "backbone.safetensors"
MEMORY: Final = "memory.safetensors"
RECIPE: Final = "recipe.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a memory is made. A field more or another default is another teacher, not another version of this one."""

    backbone: Variant = "lite0"
    input_px: int = 384
    stages: tuple[int, ...] = (2, 4, 5)
    weights: tuple[float, ...] = (0.5, 1.0, 0.25)  # of the stages in the map: fine detail, parts, the whole
    grid_stride: int = 16  # px of the input between two places; a deeper stage keeps its own
    places_max: int = 2_000  # kept a stage
    candidates_max: int = 20_000  # places that these are chosen from
    seed: int = 0

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it back."""
        raw = json.loads(data)
        return cls(**{**raw, "stages": tuple(raw["stages"]), "weights": tuple(raw["weights"])})


class FeatureMemory:
    """A fitted teacher. Thread-safe: nothing in it changes."""

    def __init__(self, backbone: Backbone, recipe: Recipe, memory: Mapping[str, Tensor]) -> None:
        self._backbone = backbone
        self._recipe = recipe
        self._banks = [_unit(memory[f"bank.s{stage}"]) for stage in recipe.stages]
        self._calibration = _Calibration(memory["centre"].tolist(), memory["spread"].tolist())

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every place by its calibrated distance to the memory, summed over the stages.

        Args:
            images_BCHW: float32, as ``siad.core.preprocess`` makes them.

        Returns:
            float32 [B, h, w] raw scores; 0 is a usual place of a normal.
        """
        apart_LBhw = [
            torch.stack([distances(places_ND, bank) for places_ND in places_BND]).view(-1, *grid)
            for (grid, places_BND), bank in zip(
                _places(self._backbone, self._recipe, images_BCHW), self._banks, strict=True
            )
        ]
        return _combine(self._recipe, self._calibration, apart_LBhw)


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> FeatureMemory:
    """Make a teacher of its files; ``siad.models.bundle`` calls this."""
    assert manifest.method == METHOD
    recipe = Recipe.from_json(parts[RECIPE])
    return FeatureMemory(shared_backbone(recipe.backbone, parts[BACKBONE]), recipe, unpack(parts[MEMORY]))


@torch.inference_mode()
def fit(
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
    recipe: Recipe | None = None,
    input_px: int | None = None,
) -> Bundle:
    """Fit a teacher on good images. The same normals give the same weights, in whatever order they come.

    Args:
        images: decoded, uint8 or uint16 [H, W, C], of any sizes.
        line: slug.
        product: slug.
        normals: the capture id of each image.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).
        recipe: how; the default is the best we know for a line we know nothing of.
        input_px: side of the square with the area that images are shown at; None: as the recipe has it.

    Raises:
        ValueError: fewer than two normals, or not one id an image.
    """
    found = gather(images, line=line, product=product, normals=normals, false_reject_budget=false_reject_budget)
    recipe = recipe or Recipe()
    if input_px is not None:
        recipe = replace(recipe, input_px=input_px)
    backbone = pretrained_backbone(recipe.backbone)
    memory, maps = _memorise(backbone, recipe, found.images)
    fitted = Fitted(
        method=METHOD,
        detector=FeatureMemory(backbone, recipe, memory),
        parts={BACKBONE: pack(backbone.state_dict()), MEMORY: pack(memory), RECIPE: recipe.to_json()},
        input_px=recipe.input_px,
        held_out=tuple(float(map_HW.max()) for map_HW in maps),
    )
    return finish(found, fitted)


@dataclass(frozen=True, slots=True)
class _Calibration:
    """What a distance to each stage's bank usually is."""

    centre_L: list[float]
    spread_L: list[float]


def _combine(recipe: Recipe, calibration: _Calibration, apart_LBhw: Sequence[Tensor]) -> Tensor:
    """Sum calibrated distances of the stages on the finest of their grids: float32 [B, h, w]."""
    finest = max((apart_Bhw.shape[1:] for apart_Bhw in apart_LBhw), key=lambda grid: grid[0])
    total_Bhw = torch.zeros(len(apart_LBhw[0]), *finest)
    for apart_Bhw, weight, centre, spread in zip(
        apart_LBhw, recipe.weights, calibration.centre_L, calibration.spread_L, strict=True
    ):
        even_Bhw = apart_Bhw
        if apart_Bhw.shape[1:] != finest:
            even_Bhw = functional.interpolate(apart_Bhw[:, None], size=finest, mode="bilinear")[:, 0]
        total_Bhw += weight / spread * (even_Bhw - centre)
    return total_Bhw


def _memorise(
    backbone: Backbone, recipe: Recipe, images: Sequence[Image]
) -> tuple[dict[str, Tensor], list[NDArray[np.float32]]]:
    """Fill and calibrate the banks; also give each normal's finished map, scored without its own places."""
    inputs = [torch.from_numpy(preprocess(image_HWC, input_px=recipe.input_px)) for image_HWC in images]
    described = [_places(backbone, recipe, input_CHW[None]) for input_CHW in inputs]
    memory: dict[str, Tensor] = {}
    apart_of: list[list[Tensor]] = [[] for _ in images]  # by image, then by stage: [1, h, w]
    calibration = _Calibration([], [])
    for index, stage in enumerate(recipe.stages):
        bank, apart = _fill(recipe, [stages[index][1][0] for stages in described])
        memory[f"bank.s{stage}"] = bank
        everything = torch.cat(apart)
        calibration.centre_L.append(float(everything.mean()))
        calibration.spread_L.append(max(float(everything.std()), 1e-3))  # equal normals have none
        for image, stages in enumerate(described):
            apart_of[image].append(apart[image].view(1, *stages[index][0]))
    memory["centre"], memory["spread"] = torch.tensor(calibration.centre_L), torch.tensor(calibration.spread_L)
    maps = [
        finish_map(
            _combine(recipe, calibration, apart_Lhw)[0].numpy(),
            input_hw=(input_CHW.shape[1], input_CHW.shape[2]),
            size_px=(image_HWC.shape[0], image_HWC.shape[1]),
        )
        for apart_Lhw, input_CHW, image_HWC in zip(apart_of, inputs, images, strict=True)
    ]
    return memory, maps


def _fill(recipe: Recipe, places: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """One stage's bank (float16 [M, D]), and every normal's distances to it with its own places hidden."""
    owner_P = torch.repeat_interleave(torch.arange(len(places)), torch.tensor([len(one) for one in places]))
    places_PD = torch.cat(list(places))
    if len(places_PD) > recipe.candidates_max:
        generator = torch.Generator().manual_seed(recipe.seed)
        drawn = torch.randperm(len(places_PD), generator=generator)[: recipe.candidates_max].sort().values
        places_PD, owner_P = places_PD[drawn], owner_P[drawn]
    chosen = choose_places(places_PD, count=recipe.places_max, seed=recipe.seed)
    bank, owner_M = places_PD[chosen].half(), owner_P[chosen]
    used = _unit(bank)  # as it will be read back
    return bank, [distances(one, used, hidden_M=owner_M == index) for index, one in enumerate(places)]


def _unit(bank_MD: Tensor) -> Tensor:
    """Rounding to float16 takes a length off 1 by some 1e-4, which would shift small distances by some 1e-2."""
    return functional.normalize(bank_MD.float(), dim=1)


def _places(backbone: Backbone, recipe: Recipe, images_BCHW: Tensor) -> list[tuple[tuple[int, int], Tensor]]:
    """Grid and descriptions (float32 [B, N, D]) of each stage."""
    height, width = images_BCHW.shape[2:]
    found = []
    for stage, output in zip(recipe.stages, backbone(images_BCHW, recipe.stages), strict=True):
        stride = max(recipe.grid_stride, STRIDES[stage])
        grid = (height // stride, width // stride)
        found.append((grid, describe_places([output], grid=grid)[0]))
    return found
