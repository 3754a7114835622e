"""Fill a memory with normals, and calibrate it on each of them with its own places hidden.

Shape suffixes: as in ``siad.models.teachers.memory_recipe``, and P = places of all normals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from siad.core.decide import finish_map
from siad.core.images import Image
from siad.core.preprocess import preprocess
from siad.models.backbone import Backbone
from siad.models.examine import TILE_PX
from siad.models.teachers import light, turning
from siad.models.teachers.memory import choose_places, describe_places, distances
from siad.models.teachers.memory_recipe import Recipe, combine, pooled, unit
from siad.models.teachers.usual import Usual

LIGHT: Final = "in_one_light"  # the name of a flag beside the banks
_SWAYED_MAX: Final = 20  # normals
_STYLE_MIN: Final = 36  # places of a grid; the mean of fewer is no style but these places
_MORE_IF_TURNED: Final = 1.5  # places kept; twice as many found a little more, and took more than the time there is


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenNormal:
    """One normal, as the backbone sees it."""

    pooled: list[tuple[tuple[int, int], Tensor]]  # by stage: grid, and float32 [N, D]
    turned: list[Tensor]  # by stage: the places of its copies at other angles, float32 [copies, N, D]
    input_hw: tuple[int, int]
    size_px: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenNormals:
    """All of them, and what was found to hold for the line."""

    each: list[SeenNormal]
    is_tiled: bool  # a tile knows neither where in the view it lies nor what the whole view looks like
    in_one_light: bool
    is_turned: bool


def see(backbone: Backbone, recipe: Recipe, images: Sequence[Image]) -> SeenNormals:
    """Show the backbone the normals, uint8 or uint16 [H, W, C] each, in one light and turned where that pays."""
    inputs = [torch.from_numpy(preprocess(image_HWC, input_px=recipe.input_px)) for image_HWC in images]
    is_tiled = any(input_CHW[0].numel() > TILE_PX**2 for input_CHW in inputs)
    in_one_light = not is_tiled and light.differs(inputs)
    if in_one_light:
        inputs = [light.even_out(input_CHW[None])[0] for input_CHW in inputs]

    def look(inputs_BCHW: Tensor) -> list[tuple[tuple[int, int], Tensor]]:
        return pooled(backbone, recipe, inputs_BCHW)

    upright = [look(input_CHW[None]) for input_CHW in inputs]
    copies: list[list[Tensor]] = [[] for _ in inputs]
    if not is_tiled and recipe.turns > 1:
        copies = turning.copies_that_pay(inputs, upright, look, turns=recipe.turns)
    each = [
        SeenNormal(
            pooled=[(grid, pooled_BND[0]) for grid, pooled_BND in stages],
            turned=turned,
            input_hw=(input_CHW.shape[1], input_CHW.shape[2]),
            size_px=(image_HWC.shape[0], image_HWC.shape[1]),
        )
        for stages, turned, input_CHW, image_HWC in zip(upright, copies, inputs, images, strict=True)
    ]
    return SeenNormals(each=each, is_tiled=is_tiled, in_one_light=in_one_light, is_turned=any(copies))


def memorise(recipe: Recipe, normals: SeenNormals) -> tuple[dict[str, Tensor], list[float]]:
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
        raw_hw = combine(recipe, judged_Lhw)[0].numpy()
        held_out.append(float(finish_map(raw_hw, input_hw=normal.input_hw, size_px=normal.size_px).max()))
    return memory, held_out


def _described(normals: SeenNormals, index: int, mean_D: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
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
    used = unit(bank)  # as it will be read back
    return bank, [distances(one, used, hidden_M=owner_M == index) for index, one in enumerate(upright)]
