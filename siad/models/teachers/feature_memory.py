"""The default teacher: remember what places of good parts look like; what is far from all of them is a defect.

PatchCore's idea (Roth et al. 2022, arXiv:2106.08265) with one bank a stage of the backbone, each calibrated on normals
scored without themselves. A place's score is the power mean of what its stages say,

    z_s = max(0, (log d_s - centre_s) / spread_s),    score = (sum_s w_s z_s^p / sum_s w_s)^(1/p),    p = 1/3,

d_s the distance to the nearest place in the bank of stage s. With p under 1 a place scores high where its stages agree:
grain is odd to the fine stage alone, a defect to all. Before that every image's places are moved to where those of the
normals have their mean, and where the normals' light differs, inputs are brought to one light. Which recipe and why:
docs/adr/0009-stages-must-agree.md and 0014-light-and-style-are-no-defects.md.

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
from siad.models.teachers import light, turning
from siad.models.teachers.fitting import Fitted, finish, gather, shared_backbone
from siad.models.teachers.memory import choose_places, describe_places, distances, pool_places
from siad.models.teachers.usual import Usual

METHOD: Final = FEATURE_MEMORY
BACKBONE: Final = "backbone.safetensors"
MEMORY: Final = "memory.safetensors"
RECIPE: Final = "recipe.json"
LIGHT: Final = "in_one_light"  # the name of a flag beside the banks
_SWAYED_MAX: Final = 20  # normals
_STYLE_MIN: Final = 36  # places of a grid; the mean of fewer is no style but these places
_MORE_IF_TURNED: Final = 1.5  # places kept; twice as many found a little more, and took more than the time there is

log = structlog.get_logger()


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


class FeatureMemory:
    """A fitted teacher. Thread-safe: nothing in it changes."""

    def __init__(self, backbone: Backbone, recipe: Recipe, memory: Mapping[str, Tensor]) -> None:
        self._backbone = backbone
        self._recipe = recipe
        self._in_one_light = bool(memory[LIGHT])
        self._means = [memory.get(f"mean.s{stage}") for stage in recipe.stages]
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
        if self._in_one_light:
            images_BCHW = light.even_out(images_BCHW)
        pooled = _pooled(self._backbone, self._recipe, images_BCHW)
        for (grid, pooled_BND), mean_D, bank, usual in zip(pooled, self._means, self._banks, self._usual, strict=True):
            places_BND = describe_places(pooled_BND, usual_D=mean_D)
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
    normals_seen = _see(backbone, recipe, found.images)
    memory, held_out = _memorise(recipe, normals_seen)
    odd = set(find_odd(held_out))
    if odd:
        names = [found.names[index] for index in sorted(odd)]
        scores = [round(held_out[index], 3) for index in sorted(odd)]
        log.warning("normals_left_out", line=line, product=product, capture_ids=names, scores=scores)
        rest = [one for index, one in enumerate(normals_seen.each) if index not in odd]
        memory, held_out = _memorise(recipe, replace(normals_seen, each=rest))
    fitted = Fitted(
        method=METHOD,
        detector=FeatureMemory(backbone, recipe, memory),
        parts={BACKBONE: pack(backbone.state_dict()), MEMORY: pack(memory), RECIPE: recipe.to_json()},
        input_px=recipe.input_px,
        held_out=tuple(held_out),
        metrics=(("in_one_light", float(normals_seen.in_one_light)), ("turned", float(normals_seen.is_turned))),
        left_out=tuple(found.names[index] for index in sorted(odd)),
    )
    return finish(found, fitted)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Normal:
    """One normal, as the backbone sees it."""

    pooled: list[tuple[tuple[int, int], Tensor]]  # by stage: grid, and float32 [N, D]
    turned: list[Tensor]  # by stage: the places of its copies at other angles, float32 [copies, N, D]
    input_hw: tuple[int, int]
    size_px: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Normals:
    """All of them, and what was found to hold for the line."""

    each: list[_Normal]
    is_tiled: bool  # a tile knows neither where in the view it lies nor what the whole view looks like
    in_one_light: bool
    is_turned: bool


def _see(backbone: Backbone, recipe: Recipe, images: Sequence[Image]) -> _Normals:
    inputs = [torch.from_numpy(preprocess(image_HWC, input_px=recipe.input_px)) for image_HWC in images]
    is_tiled = any(input_CHW[0].numel() > TILE_PX**2 for input_CHW in inputs)
    in_one_light = not is_tiled and light.differs(inputs)
    if in_one_light:
        inputs = [light.even_out(input_CHW[None])[0] for input_CHW in inputs]

    def look(inputs_BCHW: Tensor) -> list[tuple[tuple[int, int], Tensor]]:
        return _pooled(backbone, recipe, inputs_BCHW)

    upright = [look(input_CHW[None]) for input_CHW in inputs]
    copies: list[list[Tensor]] = [[] for _ in inputs]
    if not is_tiled and recipe.turns > 1:
        copies = turning.copies_that_pay(inputs, upright, look, turns=recipe.turns)
    each = [
        _Normal(
            pooled=[(grid, pooled_BND[0]) for grid, pooled_BND in stages],
            turned=turned,
            input_hw=(input_CHW.shape[1], input_CHW.shape[2]),
            size_px=(image_HWC.shape[0], image_HWC.shape[1]),
        )
        for stages, turned, input_CHW, image_HWC in zip(upright, copies, inputs, images, strict=True)
    ]
    return _Normals(each=each, is_tiled=is_tiled, in_one_light=in_one_light, is_turned=any(copies))


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


def _memorise(recipe: Recipe, normals: _Normals) -> tuple[dict[str, Tensor], list[float]]:
    """Fill and calibrate the banks; also give each normal's image score, its own places hidden throughout."""
    memory = {LIGHT: torch.tensor(normals.in_one_light, dtype=torch.uint8)}
    judged_of: list[list[Tensor]] = [[] for _ in normals.each]  # by image, then by stage: [1, h, w]
    for index, stage in enumerate(recipe.stages):
        mean_D = None
        if not normals.is_tiled and min(len(normal.pooled[index][1]) for normal in normals.each) >= _STYLE_MIN:
            mean_D = torch.stack([normal.pooled[index][1].mean(0) for normal in normals.each]).mean(0)
            memory[f"mean.s{stage}"] = mean_D
        bank, apart = _fill(recipe, *_described(normals, index, mean_D))
        far = [one.log().view(normal.pooled[index][0]) for one, normal in zip(apart, normals.each, strict=True)]
        learn = Usual.everywhere if normals.is_tiled else Usual.by_place
        usual = learn(far)
        memory |= {f"bank.s{stage}": bank, f"centre.s{stage}": usual.centre_GG, f"spread.s{stage}": usual.spread_GG}
        for image, far_hw in enumerate(far):
            # of more normals none sways what is usual
            others = learn([*far[:image], *far[image + 1 :]]) if len(far) <= _SWAYED_MAX else usual
            judged_of[image].append(others.judge(far_hw[None]))
    held_out = []
    for judged_Lhw, normal in zip(judged_of, normals.each, strict=True):
        raw_hw = _combine(recipe, judged_Lhw)[0].numpy()
        held_out.append(float(finish_map(raw_hw, input_hw=normal.input_hw, size_px=normal.size_px).max()))
    return memory, held_out


def _described(normals: _Normals, index: int, mean_D: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
    """One stage's places of every normal, upright and with its turned copies besides: float32 [N, D] each."""
    upright = [describe_places(normal.pooled[index][1][None], usual_D=mean_D)[0] for normal in normals.each]
    if not normals.is_turned:
        return upright, upright
    with_copies = [
        torch.cat([places_ND, describe_places(normal.turned[index], usual_D=mean_D).flatten(0, 1)])
        for places_ND, normal in zip(upright, normals.each, strict=True)
    ]
    return upright, with_copies


def _fill(recipe: Recipe, upright: Sequence[Tensor], known: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """One stage's bank of what is known (float16 [M, D]), and every upright normal's distances to what others know."""
    owner_P = torch.repeat_interleave(torch.arange(len(known)), torch.tensor([len(one) for one in known]))
    places_PD = torch.cat(list(known))
    if len(places_PD) > recipe.candidates_max:
        generator = torch.Generator().manual_seed(recipe.seed)
        drawn = torch.randperm(len(places_PD), generator=generator)[: recipe.candidates_max].sort().values
        places_PD, owner_P = places_PD[drawn], owner_P[drawn]
    is_turned = len(known[0]) > len(upright[0])
    count = int(recipe.places_max * (_MORE_IF_TURNED if is_turned else 1))
    chosen = choose_places(places_PD, count=count, seed=recipe.seed)
    bank, owner_M = places_PD[chosen].half(), owner_P[chosen]
    used = _unit(bank)  # as it will be read back
    return bank, [distances(one, used, hidden_M=owner_M == index) for index, one in enumerate(upright)]


def _unit(bank_MD: Tensor) -> Tensor:
    """Rounding to float16 takes a length off 1 by some 1e-4, which would shift small distances by some 1e-2."""
    return functional.normalize(bank_MD.float(), dim=1)


def _pooled(backbone: Backbone, recipe: Recipe, images_BCHW: Tensor) -> list[tuple[tuple[int, int], Tensor]]:
    """Grid and pooled outputs (float32 [B, N, D]) of each stage."""
    height, width = images_BCHW.shape[2:]
    found = []
    for stage, output_BDhw in zip(recipe.stages, backbone(images_BCHW, recipe.stages), strict=True):
        stride = max(recipe.grid_stride, STRIDES[stage])
        grid = (height // stride, width // stride)
        found.append((grid, pool_places(output_BDhw, grid=grid)))
    return found
