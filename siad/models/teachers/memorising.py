"""Fill a memory with normals, and calibrate it on each of them with its own places hidden.

Shape suffixes: as in ``siad.models.teachers.memory_banks``, and P = places of all normals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from siad.models.backbone import Backbone
from siad.models.teachers import light, turning
from siad.models.teachers.memory import choose_places, describe_places
from siad.models.teachers.memory_banks import Bank, Seen, agree, banks_of, combine, pooled, unit
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.usual import UsualDistance
from siad.vision.decide import finish_map
from siad.vision.images import Image
from siad.vision.outliers import doubtful_over, standing_out
from siad.vision.preprocess import preprocess

LIGHT: Final = "in_one_light"  # the name of a flag beside the banks
_SWAYED_MAX: Final = 20  # normals
_STYLE_MIN: Final = 36  # places of a grid; the mean of fewer is no style but these places
_CANDIDATES_GROW: Final = 3  # times as many candidates at most; five times measured no better than three
_MORE_IF_TURNED: Final = 1.5  # places kept; twice as many found a little more, and took more than the time there is


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedNormal:
    """One normal, as the backbone sees it."""

    pooled: list[tuple[tuple[int, int], Tensor]]  # by bank: grid, and float32 [N, D]
    turned: list[Tensor]  # by bank: the places of its copies at other angles, float32 [copies, N, D]
    input_hw: tuple[int, int]
    size_px: tuple[int, int]
    doubted_hw: Tensor | None = None  # bool, which places the memory had better not learn; None: it may learn all


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedNormals:
    """All of them, and what was found to hold for the line."""

    each: list[EncodedNormal]
    in_one_light: bool
    is_turned: bool


def see(backbone: Backbone, recipe: MemoryRecipe, images: Sequence[Image]) -> EncodedNormals:
    """Show the backbone the normals, uint8 or uint16 [H, W, C] each, in one light and turned where that pays."""
    inputs = [torch.from_numpy(preprocess(image_HWC, input_px=recipe.input_px)) for image_HWC in images]
    in_one_light = light.differs(inputs)
    if in_one_light:
        inputs = [light.even_out(input_CHW[None])[0] for input_CHW in inputs]

    def look(inputs_BCHW: Tensor) -> list[Seen]:
        return pooled(backbone, recipe, inputs_BCHW)

    upright = [look(input_CHW[None]) for input_CHW in inputs]
    copies: list[list[Tensor]] = [[] for _ in inputs]
    if recipe.turns > 1:
        copies = turning.copies_that_pay(
            inputs, upright, look, turns=recipe.turns, stage=min(1, len(recipe.stages) - 1)
        )
    each = [
        EncodedNormal(
            pooled=[(grid, pooled_BND[0]) for grid, pooled_BND in seen],
            turned=turned,
            input_hw=(input_CHW.shape[1], input_CHW.shape[2]),
            size_px=(image_HWC.shape[0], image_HWC.shape[1]),
        )
        for seen, turned, input_CHW, image_HWC in zip(upright, copies, inputs, images, strict=True)
    ]
    return EncodedNormals(each=each, in_one_light=in_one_light, is_turned=any(copies))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFit:
    """A memory, and what it says of each normal with that one's own places hidden throughout."""

    memory: dict[str, Tensor]
    maps: list[NDArray[np.float32]]  # [h, w] what the stages say of places; zones are as wide as parts of a rare kind
    peaks: list[float]  # of these maps, smoothed
    scores: list[float]  # of images, zones and all

    def standing_out(self) -> list[float]:
        """How far each normal stands out in few of its places."""
        return [standing_out(map_hw, peak) for map_hw, peak in zip(self.maps, self.peaks, strict=True)]


def doubt(normals: EncodedNormals, memorised: MemoryFit, doubtful: Sequence[int]) -> EncodedNormals:
    """The same normals; of the doubtful ones the memory will learn no place that looks like a defect's.

    One normal alone shows these places: no other has anything near. If it is defective they are the defect, and a
    memory that knows them finds no more of its kind. If not, they are rare, and little is lost. After Jiang et al. 2022
    (SoftPatch, arXiv:2403.14233), who leave out the oddest places of all images alike; that costs clean lines more.

    Args:
        normals: as they were memorised.
        memorised: what the memory says of them.
        doubtful: positions of those to doubt.
    """
    over = doubtful_over(memorised.peaks)
    each = list(normals.each)
    for index in doubtful:
        each[index] = replace(each[index], doubted_hw=torch.from_numpy(memorised.maps[index]) >= over)
    return replace(normals, each=each)


def memorise(recipe: MemoryRecipe, normals: EncodedNormals) -> MemoryFit:
    """Fill and calibrate the banks: of each its places, float16 [M, D], and what a distance usually is over the view.

    Args:
        recipe: how.
        normals: two at least; where all of one's places are doubted, it teaches nothing.
    """
    memory = {LIGHT: torch.tensor(normals.in_one_light, dtype=torch.uint8)}
    judged_of: list[list[Tensor]] = [[] for _ in normals.each]  # by image, then by bank: [1, h, w]
    for index, bank in enumerate(banks_of(recipe)):
        mean_D = None if bank.is_zone else _style(normals, index)  # a zone is its style
        if mean_D is not None:
            memory[f"mean.{bank.name}"] = mean_D
        upright, known = _described(normals, index, mean_D)
        count = int(bank.keeps(recipe) * (_MORE_IF_TURNED if normals.is_turned else 1))
        remembered, apart = _fill(recipe, bank, upright, known, count=count)
        far = [one.log().view(normal.pooled[index][0]) for one, normal in zip(apart, normals.each, strict=True)]
        usual = UsualDistance.by_place(far)
        memory[f"bank.{bank.name}"] = remembered
        memory |= {f"centre.{bank.name}": usual.centre_GG, f"spread.{bank.name}": usual.spread_GG}
        for image, far_hw in enumerate(far):
            # of more normals none sways what is usual
            others = UsualDistance.by_place([*far[:image], *far[image + 1 :]]) if len(far) <= _SWAYED_MAX else usual
            judged_of[image].append(others.judge(far_hw[None]))
    maps, peaks, scores = [], [], []
    for judged_Lhw, normal in zip(judged_of, normals.each, strict=True):
        maps.append(agree(recipe, judged_Lhw[: len(recipe.stages)])[0].numpy())
        peaks.append(_peak(maps[-1], normal))
        scores.append(_peak(combine(recipe, judged_Lhw)[0].numpy(), normal))
    return MemoryFit(memory=memory, maps=maps, peaks=peaks, scores=scores)


def _peak(map_hw: NDArray[np.float32], normal: EncodedNormal) -> float:
    return float(finish_map(map_hw, input_hw=normal.input_hw, size_px=normal.size_px).max())


def _style(normals: EncodedNormals, index: int) -> Tensor | None:
    """The normals' mean in a bank's places, float32 [D]; None where a view has no style to speak of."""
    if min(len(normal.pooled[index][1]) for normal in normals.each) < _STYLE_MIN:
        return None
    return torch.stack([normal.pooled[index][1].mean(0) for normal in normals.each]).mean(0)


def _described(normals: EncodedNormals, index: int, mean_D: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
    """One bank's places of every normal, float32 [N, D] each: all of them, and those that the memory may learn."""
    upright = [describe_places(normal.pooled[index][1][None], usual_D=mean_D)[0] for normal in normals.each]
    known = []
    for places_ND, normal in zip(upright, normals.each, strict=True):
        if normal.doubted_hw is not None:  # nor its copies at other angles, which would show the same
            known.append(places_ND[~_at(normal.doubted_hw, normal.pooled[index][0])])
        elif normals.is_turned:
            copies_ND = describe_places(normal.turned[index], usual_D=mean_D).flatten(0, 1)
            known.append(torch.cat([places_ND, copies_ND]))
        else:
            known.append(places_ND)
    return upright, known


def _at(doubted_hw: Tensor, grid: tuple[int, int]) -> Tensor:
    """Which places of a coarser grid hold a doubted one: bool [N]."""
    return functional.adaptive_max_pool2d(doubted_hw[None].float(), grid)[0].flatten() > 0


def _fill(
    recipe: MemoryRecipe, bank: Bank, upright: Sequence[Tensor], known: Sequence[Tensor], *, count: int
) -> tuple[Tensor, list[Tensor]]:
    """What a bank keeps of what is known (float16 [M, D]), and every upright normal's distances to what others know."""
    owner_P = torch.repeat_interleave(torch.arange(len(known)), torch.tensor([len(one) for one in known]))
    places_PD = torch.cat(list(known))
    candidates = min(
        max(recipe.candidates_max, recipe.candidates_each * len(known)), _CANDIDATES_GROW * recipe.candidates_max
    )
    if len(places_PD) > candidates:
        generator = torch.Generator().manual_seed(recipe.seed)
        drawn = torch.randperm(len(places_PD), generator=generator)[:candidates].sort().values
        places_PD, owner_P = places_PD[drawn], owner_P[drawn]
    chosen = choose_places(places_PD, count=count, seed=recipe.seed)
    remembered, owner_M = places_PD[chosen].half(), owner_P[chosen]
    used = unit(remembered)  # as it will be read back
    apart = []
    for index, one in enumerate(upright):
        is_own_M = owner_M == index
        # of equal normals one may own all that is kept: it stands for the others' places, and hiding it leaves nothing
        apart.append(bank.apart(recipe, one, used, hidden_M=None if is_own_M.all() else is_own_M))
    return remembered, apart
