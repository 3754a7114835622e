"""The default teacher: remember what places of good parts look like; what is far from all of them is a defect.

PatchCore's idea (Roth et al. 2022, arXiv:2106.08265) with one bank a stage of the backbone, each calibrated on normals
scored without themselves. Which recipe and why: docs/adr/0003-default-teacher.md.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = size of the grid of places, N = h * w,
M = places in a bank, D = length of a description, L = stages.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import siad
from siad.core.decide import finish_map
from siad.core.events import WeightsKind
from siad.core.images import DECODER_VERSION, Image
from siad.core.manifest import Manifest
from siad.core.preprocess import PREPROCESS_VERSION, preprocess
from siad.core.scores import choose_threshold
from siad.models.backbone import STRIDES, Backbone, Variant, load_backbone, pretrained_backbone
from siad.models.bundle import GOLDEN, Bundle, describe_parts, golden_crops, golden_part, pack, unpack
from siad.models.teachers.memory import choose_places, describe_places, distances

METHOD: Final = "feature-memory"
BACKBONE: Final = "backbone.safetensors"
MEMORY: Final = "memory.safetensors"
RECIPE: Final = "recipe.json"
NORMALS_MIN = 2  # with one there is nothing to hold out


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a memory is made. A field more or another default is another teacher, not another version of this one."""

    backbone: Variant = "lite0"
    input_px: int = 256
    stages: tuple[int, ...] = (2, 4)
    grid_stride: int = 8  # px of the input between two places
    places_max: int = 2_000  # kept a stage
    candidates_max: int = 20_000  # places that these are chosen from
    mark_quantile: float = 0.995  # of the normals' pixels; over it a pixel next to a defect belongs to it
    seed: int = 0

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it back."""
        raw = json.loads(data)
        return cls(**{**raw, "stages": tuple(raw["stages"])})


class FeatureMemory:
    """A fitted teacher. Thread-safe: nothing in it changes."""

    def __init__(self, backbone: Backbone, recipe: Recipe, memory: Mapping[str, Tensor]) -> None:
        self._backbone = backbone
        self._recipe = recipe
        self._banks = [memory[f"bank.s{stage}"].float() for stage in recipe.stages]
        self._centre_L: list[float] = memory["centre"].tolist()
        self._spread_L: list[float] = memory["spread"].tolist()

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every place by its calibrated distance to the memory, summed over the stages.

        Args:
            images_BCHW: float32, as ``siad.core.preprocess`` makes them.

        Returns:
            float32 [B, h, w] raw scores; 0 is a usual place of a normal.
        """
        grid, places = _places(self._backbone, self._recipe, images_BCHW)
        total_BN = torch.zeros(len(images_BCHW), grid[0] * grid[1])
        for bank, places_BND, centre, spread in zip(self._banks, places, self._centre_L, self._spread_L, strict=True):
            for index, places_ND in enumerate(places_BND):
                total_BN[index] += (distances(places_ND, bank) - centre) / spread
        return total_BN.view(-1, *grid)


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> FeatureMemory:
    """Make a teacher of its files; ``siad.models.bundle`` calls this."""
    assert manifest.method == METHOD
    recipe = Recipe.from_json(parts[RECIPE])
    return FeatureMemory(load_backbone(recipe.backbone, unpack(parts[BACKBONE])), recipe, unpack(parts[MEMORY]))


@torch.inference_mode()
def fit(
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
    recipe: Recipe | None = None,
) -> Bundle:
    """Fit a teacher on good images. The same normals give the same weights, in whatever order they come.

    Args:
        images: decoded, uint8 or uint16 [H, W, C], of any sizes.
        line: slug.
        product: slug.
        normals: the capture id of each image.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).
        recipe: how; the default is the best we know for a line we know nothing of.

    Raises:
        ValueError: fewer than two normals, or not one id an image.
    """
    if len(images) < NORMALS_MIN or len(images) != len(normals):
        msg = f"{len(images)} images and {len(normals)} capture ids; as many ids as images and at least 2 are needed"
        raise ValueError(msg)
    recipe = recipe or Recipe()
    order = sorted(range(len(normals)), key=lambda index: normals[index])
    images = [images[index] for index in order]
    backbone = pretrained_backbone(recipe.backbone)
    memory, maps = _memorise(backbone, recipe, images)
    held_out = [float(map_HW.max()) for map_HW in maps]
    threshold, promised = choose_threshold(held_out, budget=false_reject_budget)
    pixels = np.concatenate([map_HW.ravel() for map_HW in maps])
    mark = min(threshold, float(np.quantile(pixels, recipe.mark_quantile)))
    detector = FeatureMemory(backbone, recipe, memory)
    parts = {
        BACKBONE: pack(backbone.state_dict()),
        MEMORY: pack(memory),
        RECIPE: recipe.to_json(),
        GOLDEN: golden_part(detector, golden_crops(images[0])),
    }
    manifest = Manifest(
        kind=WeightsKind.TEACHER,
        method=METHOD,
        line=line,
        product=product,
        code_version=siad.__version__,
        parts=describe_parts(parts),
        decoder_version=DECODER_VERSION,
        preprocess_version=PREPROCESS_VERSION,
        input_px=recipe.input_px,
        image_threshold=threshold,
        pixel_threshold=mark,
        promised_false_reject=promised,
        held_out_scores=tuple(held_out),
        metrics=(("normals", float(len(images))),),
        normals=tuple(sorted(normals)),
        training_set=None,
        parent=None,
    )
    return Bundle(manifest, parts)


def _memorise(
    backbone: Backbone, recipe: Recipe, images: Sequence[Image]
) -> tuple[dict[str, Tensor], list[NDArray[np.float32]]]:
    """Fill and calibrate the banks; also give each normal's finished map, scored without its own places."""
    inputs = [torch.from_numpy(preprocess(image_HWC, input_px=recipe.input_px)) for image_HWC in images]
    described = [_places(backbone, recipe, input_CHW[None]) for input_CHW in inputs]
    grids = [grid for grid, _ in described]
    memory: dict[str, Tensor] = {}
    centre, spread, totals = [], [], [torch.zeros(rows * columns) for rows, columns in grids]
    for index, stage in enumerate(recipe.stages):
        bank, apart = _fill(recipe, [places[index][0] for _, places in described])
        memory[f"bank.s{stage}"] = bank
        all_apart = torch.cat(apart)
        centre.append(float(all_apart.mean()))
        spread.append(max(float(all_apart.std()), 1e-6))
        totals = [total + (distance - centre[-1]) / spread[-1] for total, distance in zip(totals, apart, strict=True)]
    memory["centre"], memory["spread"] = torch.tensor(centre), torch.tensor(spread)
    maps = [
        finish_map(
            total.view(grid).numpy(),
            input_hw=(input_CHW.shape[1], input_CHW.shape[2]),
            size_px=(image_HWC.shape[0], image_HWC.shape[1]),
        )
        for total, grid, input_CHW, image_HWC in zip(totals, grids, inputs, images, strict=True)
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
    used = bank.float()  # as it will be read back
    return bank, [distances(one, used, hidden_M=owner_M == index) for index, one in enumerate(places)]


def _places(backbone: Backbone, recipe: Recipe, images_BCHW: Tensor) -> tuple[tuple[int, int], list[Tensor]]:
    grid = (images_BCHW.shape[2] // recipe.grid_stride, images_BCHW.shape[3] // recipe.grid_stride)
    assert recipe.grid_stride in STRIDES
    return grid, describe_places(backbone(images_BCHW, recipe.stages), grid=grid)
