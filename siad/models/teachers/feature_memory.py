"""The default teacher: remember what places of good parts look like; what is far from all of them is a defect.

PatchCore's idea (Roth et al. 2022, arXiv:2106.08265) with one bank a stage of the backbone, each calibrated on normals
scored without themselves. A place's score is the power mean of what its stages say,

    z_s = max(0, (log d_s - centre_s) / spread_s),    score = (sum_s w_s z_s^p / sum_s w_s)^(1/p),    p = 1/2,

d_s the distance to the nearest place in the bank of stage s. With p under 1 a place scores high where its stages agree:
grain is odd to the fine stage alone, a defect to all. Which recipe and why: docs/adr/0009-stages-must-agree.md.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = size of the grid of places, N = h * w,
M = places in a bank, D = length of a description, L = stages.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Final, Self

import structlog
import torch
from torch import Tensor
from torch.nn import functional

from siad.core.decide import finish_map
from siad.core.images import Image
from siad.core.manifest import Manifest
from siad.core.methods import FEATURE_MEMORY
from siad.core.outliers import find_odd
from siad.core.preprocess import preprocess
from siad.models.backbone import STRIDES, Backbone, Variant, pretrained_backbone
from siad.models.bundle import Bundle, UnusableError, pack, unpack
from siad.models.examine import TILE_PX
from siad.models.teachers.fitting import Fitted, finish, gather, shared_backbone
from siad.models.teachers.memory import choose_places, describe_places, distances
from siad.models.teachers.usual import Usual

METHOD: Final = FEATURE_MEMORY
BACKBONE: Final = "backbone.safetensors"
MEMORY: Final = "memory.safetensors"
RECIPE: Final = "recipe.json"
_SWAYED_MAX: Final = 20  # normals

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a memory is made. A field more or another default is another teacher, not another version of this one."""

    backbone: Variant = "lite0"
    input_px: int = 384
    stages: tuple[int, ...] = (2, 4, 5)
    weights: tuple[float, ...] = (1.0, 1.0, 0.5)  # of the stages in the map: fine detail, parts, the whole
    power: float = 0.5  # of the mean over stages; 1 adds them up, less asks them to agree
    grid_stride: int = 8  # px of the input between two places; a deeper stage keeps its own
    places_max: int = 2_000  # kept a stage
    candidates_max: int = 20_000  # places that these are chosen from
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


class FeatureMemory:
    """A fitted teacher. Thread-safe: nothing in it changes."""

    def __init__(self, backbone: Backbone, recipe: Recipe, memory: Mapping[str, Tensor]) -> None:
        self._backbone = backbone
        self._recipe = recipe
        self._banks = [_unit(memory[f"bank.s{stage}"]) for stage in recipe.stages]
        self._usual = [Usual(memory[f"centre.s{stage}"], memory[f"spread.s{stage}"]) for stage in recipe.stages]

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every place by its calibrated distances to the memory, as far as the stages agree.

        Args:
            images_BCHW: float32, as ``siad.core.preprocess`` makes them.

        Returns:
            float32 [B, h, w] raw scores, 0 at least; 0 is a usual place of a normal.
        """
        judged_LBhw = []
        for (grid, places_BND), bank, usual in zip(
            _places(self._backbone, self._recipe, images_BCHW), self._banks, self._usual, strict=True
        ):
            apart_Bhw = torch.stack([distances(places_ND, bank) for places_ND in places_BND]).view(-1, *grid)
            judged_LBhw.append(usual.judge(apart_Bhw.log()))
        return _combine(self._recipe, judged_LBhw)


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
    described = [_describe(backbone, recipe, image_HWC) for image_HWC in found.images]
    memory, held_out = _memorise(recipe, described)
    odd = set(find_odd(held_out))
    if odd:
        names = [found.names[index] for index in sorted(odd)]
        scores = [round(held_out[index], 3) for index in sorted(odd)]
        log.warning("normals_left_out", line=line, product=product, capture_ids=names, scores=scores)
        memory, held_out = _memorise(recipe, [one for index, one in enumerate(described) if index not in odd])
    fitted = Fitted(
        method=METHOD,
        detector=FeatureMemory(backbone, recipe, memory),
        parts={BACKBONE: pack(backbone.state_dict()), MEMORY: pack(memory), RECIPE: recipe.to_json()},
        input_px=recipe.input_px,
        held_out=tuple(held_out),
        left_out=tuple(found.names[index] for index in sorted(odd)),
    )
    return finish(found, fitted)


@dataclass(frozen=True, slots=True)
class _Described:
    """One normal, as the memory sees it."""

    places: list[tuple[tuple[int, int], Tensor]]  # by stage: grid, and float32 [N, D]
    input_hw: tuple[int, int]
    size_px: tuple[int, int]


def _combine(recipe: Recipe, judged_LBhw: Sequence[Tensor]) -> Tensor:
    """The power mean of what the stages say on the finest of their grids: float32 [B, h, w]."""
    finest = max((judged_Bhw.shape[1:] for judged_Bhw in judged_LBhw), key=lambda grid: grid[0])
    total_Bhw = torch.zeros(len(judged_LBhw[0]), *finest)
    for judged_Bhw, weight in zip(judged_LBhw, recipe.weights, strict=True):
        even_Bhw = judged_Bhw
        if judged_Bhw.shape[1:] != finest:
            even_Bhw = functional.interpolate(judged_Bhw[:, None], size=finest, mode="bilinear")[:, 0]
        total_Bhw += weight * even_Bhw.clamp_min(0) ** recipe.power
    return (total_Bhw / sum(recipe.weights)) ** (1 / recipe.power)


def _describe(backbone: Backbone, recipe: Recipe, image_HWC: Image) -> _Described:
    input_CHW = torch.from_numpy(preprocess(image_HWC, input_px=recipe.input_px))
    places = [(grid, places_BND[0]) for grid, places_BND in _places(backbone, recipe, input_CHW[None])]
    return _Described(places, (input_CHW.shape[1], input_CHW.shape[2]), (image_HWC.shape[0], image_HWC.shape[1]))


def _memorise(recipe: Recipe, normals: Sequence[_Described]) -> tuple[dict[str, Tensor], list[float]]:
    """Fill and calibrate the banks; also give each normal's image score, its own places hidden throughout."""
    memory: dict[str, Tensor] = {}
    judged_of: list[list[Tensor]] = [[] for _ in normals]  # by image, then by stage: [1, h, w]
    is_tiled = any(normal.input_hw[0] * normal.input_hw[1] > TILE_PX**2 for normal in normals)
    for index, stage in enumerate(recipe.stages):
        bank, apart = _fill(recipe, [normal.places[index][1] for normal in normals])
        far = [one.log().view(normal.places[index][0]) for one, normal in zip(apart, normals, strict=True)]
        learn = Usual.everywhere if is_tiled else Usual.by_place  # a tile does not know where in the view it lies
        usual = learn(far)
        memory |= {f"bank.s{stage}": bank, f"centre.s{stage}": usual.centre_GG, f"spread.s{stage}": usual.spread_GG}
        for image, far_hw in enumerate(far):
            # of more normals none sways what is usual
            others = learn([*far[:image], *far[image + 1 :]]) if len(far) <= _SWAYED_MAX else usual
            judged_of[image].append(others.judge(far_hw[None]))
    held_out = []
    for judged_Lhw, normal in zip(judged_of, normals, strict=True):
        raw_hw = _combine(recipe, judged_Lhw)[0].numpy()
        held_out.append(float(finish_map(raw_hw, input_hw=normal.input_hw, size_px=normal.size_px).max()))
    return memory, held_out


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
