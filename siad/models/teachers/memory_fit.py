"""Fit of a feature memory, with leave-one-out scores of normals.

Shape suffixes: as in ``siad.models.teachers.memory_banks``, and P = patch features of all normals.
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
from siad.models.teachers.distance_norm import DistanceNorm
from siad.models.teachers.illumination import illumination_differs, normalise_illumination
from siad.models.teachers.memory_banks import (
    Bank,
    PooledFeatures,
    banks_of,
    combine_banks,
    combine_stages,
    pool_banks,
    unit_length,
)
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.patch_features import choose_coreset, normalise_features
from siad.models.teachers.rotation import useful_copies
from siad.vision.decide import smooth_map
from siad.vision.images import Image
from siad.vision.outliers import outlier_score, suspect_position_threshold
from siad.vision.preprocess import preprocess

ILLUMINATION: Final = "in_one_light"  # name of a flag in the memory's file: inputs get one level and contrast
_LEAVE_ONE_OUT_MAX: Final = 20  # normals; of more, a single one hardly changes the norm
_STYLE_POSITIONS_MIN: Final = 36  # the mean over fewer describes these positions rather than a style
_CANDIDATES_GROW: Final = 3  # factor by which candidates grow with the normals at most; 5 measured no better
_PIXEL_QUANTILE: Final = 0.999
_PIXEL_STEP: Final = 4  # px of the image between pixels that this quantile is of; maps are smooth
_ROTATED_GROW: Final = (
    1.5  # factor of patch features kept with rotated copies; 2 finds a little more and takes too long
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedNormal:
    """Features of one normal."""

    pooled: list[PooledFeatures]  # by bank; float32 [N, D] here
    rotated: list[Tensor]  # by bank: features of its rotated copies, float32 [K, N, D]; empty without copies
    input_hw: tuple[int, int]
    size_px: tuple[int, int]
    suspect_hw: Tensor | None = None  # bool, positions to keep out of the memory; None: none


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedNormals:
    """Features of all normals, and what holds for the line."""

    each: list[EncodedNormal]
    is_illumination_normalised: bool
    is_rotated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFit:
    """A memory, and leave-one-out scores of its normals.

    Each is scored with its own patch features left out of the banks.
    """

    memory: dict[str, Tensor]
    maps: list[NDArray[np.float32]]  # [h, w], of the stages alone: zones are as wide as parts of a rare kind
    peaks: list[float]  # maxima of these maps after smoothing
    scores: list[float]  # of images, with zones
    normal_pixel: float  # that a thousandth of these images' pixels exceed

    def outlier_scores(self) -> list[float]:
        """Measure how far each normal stands out in few of its positions."""
        return [outlier_score(map_hw, peak) for map_hw, peak in zip(self.maps, self.peaks, strict=True)]


def encode_normals(backbone: Backbone, recipe: MemoryRecipe, images: Sequence[Image]) -> EncodedNormals:
    """Run the normals through the backbone.

    With normalised illumination and rotated copies where they help.

    Args:
        backbone: pretrained.
        recipe: how.
        images: uint8 or uint16 [H, W, C] each.
    """
    inputs = [torch.from_numpy(preprocess(image_HWC, input_px=recipe.input_px)) for image_HWC in images]
    is_normalised = illumination_differs(inputs)
    if is_normalised:
        inputs = [normalise_illumination(input_CHW[None])[0] for input_CHW in inputs]

    def pool(inputs_BCHW: Tensor) -> list[PooledFeatures]:
        return pool_banks(backbone, recipe, inputs_BCHW)

    upright = [pool(input_CHW[None]) for input_CHW in inputs]
    copies: list[list[Tensor]] = [[] for _ in inputs]
    if recipe.turns > 1:
        copies = useful_copies(inputs, upright, pool, turns=recipe.turns, bank=min(1, len(recipe.stages) - 1))
    each = [
        EncodedNormal(
            pooled=[(grid, pooled_BND[0]) for grid, pooled_BND in pooled],
            rotated=rotated,
            input_hw=(input_CHW.shape[1], input_CHW.shape[2]),
            size_px=(image_HWC.shape[0], image_HWC.shape[1]),
        )
        for pooled, rotated, input_CHW, image_HWC in zip(upright, copies, inputs, images, strict=True)
    ]
    return EncodedNormals(each=each, is_illumination_normalised=is_normalised, is_rotated=any(copies))


def exclude_suspects(normals: EncodedNormals, fit: MemoryFit, suspects: Sequence[int]) -> EncodedNormals:
    """Mark the anomalous positions of suspect normals.

    The memory does not learn them.

    No other normal shows anything near them. If the normal is defective they are the defect, and a memory with them
    finds no more of its kind. If it is not, they are rare, and little is lost. After Jiang et al. 2022 (SoftPatch,
    arXiv:2403.14233), who leave out the most anomalous positions of all images alike; that costs clean lines more.

    Args:
        normals: as they were fitted on.
        fit: their memory.
        suspects: positions of the suspect normals.
    """
    threshold = suspect_position_threshold(fit.peaks)
    each = list(normals.each)
    for index in suspects:
        each[index] = replace(each[index], suspect_hw=torch.from_numpy(fit.maps[index]) >= threshold)
    return replace(normals, each=each)


def fit_memory(recipe: MemoryRecipe, normals: EncodedNormals) -> MemoryFit:
    """Fill the banks (float16 [M, D] each) and estimate their distance norms.

    Args:
        recipe: how.
        normals: at least two; one whose positions are all suspect adds nothing.
    """
    memory = {ILLUMINATION: torch.tensor(normals.is_illumination_normalised, dtype=torch.uint8)}
    scores_of: list[list[Tensor]] = [[] for _ in normals.each]  # by image, then by bank: [1, h, w]
    for index, bank in enumerate(banks_of(recipe)):
        mean_D = None if bank.is_zone else _style_mean(normals, index)  # a zone's statistics are its style
        if mean_D is not None:
            memory[f"mean.{bank.name}"] = mean_D
        upright, allowed = _normalised(normals, index, mean_D)
        count = int(bank.size(recipe) * (_ROTATED_GROW if normals.is_rotated else 1))
        bank_MD, apart = _fill(recipe, bank, upright, allowed, count=count)
        far = [apart_N.log().view(normal.pooled[index][0]) for apart_N, normal in zip(apart, normals.each, strict=True)]
        norm = DistanceNorm.by_position(far)
        memory[f"bank.{bank.name}"] = bank_MD
        memory |= {f"centre.{bank.name}": norm.centre_GG, f"spread.{bank.name}": norm.spread_GG}
        for image, far_hw in enumerate(far):
            is_few = len(far) <= _LEAVE_ONE_OUT_MAX
            others = DistanceNorm.by_position([*far[:image], *far[image + 1 :]]) if is_few else norm
            scores_of[image].append(others.standardise(far_hw[None]))
    maps, peaks, scores, pixels = [], [], [], []
    for scores_Lhw, normal in zip(scores_of, normals.each, strict=True):
        maps.append(combine_stages(recipe, scores_Lhw[: len(recipe.stages)])[0].numpy())
        peaks.append(float(_smoothed(maps[-1], normal).max()))
        smooth_HW = _smoothed(combine_banks(recipe, scores_Lhw)[0].numpy(), normal)
        scores.append(float(smooth_HW.max()))
        pixels.append(smooth_HW[::_PIXEL_STEP, ::_PIXEL_STEP].ravel())
    normal_pixel = float(np.quantile(np.concatenate(pixels), _PIXEL_QUANTILE))
    return MemoryFit(memory=memory, maps=maps, peaks=peaks, scores=scores, normal_pixel=normal_pixel)


def _smoothed(map_hw: NDArray[np.float32], normal: EncodedNormal) -> NDArray[np.float32]:
    return smooth_map(map_hw, input_hw=normal.input_hw, size_px=normal.size_px)


def _style_mean(normals: EncodedNormals, index: int) -> Tensor | None:
    """Mean feature of one bank over the normals, float32 [D].

    None where a view has too few positions.
    """
    if min(len(normal.pooled[index][1]) for normal in normals.each) < _STYLE_POSITIONS_MIN:
        return None
    return torch.stack([normal.pooled[index][1].mean(0) for normal in normals.each]).mean(0)


def _normalised(normals: EncodedNormals, index: int, mean_D: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
    """Normalise one bank's features of every normal.

    float32 [N, D] each: all, and those the memory may learn.
    """
    upright = [normalise_features(normal.pooled[index][1][None], mean_D=mean_D)[0] for normal in normals.each]
    allowed = []
    for features_ND, normal in zip(upright, normals.each, strict=True):
        if normal.suspect_hw is not None:  # without its rotated copies, which show the same
            allowed.append(features_ND[~_positions(normal.suspect_hw, normal.pooled[index][0])])
        elif normals.is_rotated:
            copies_ND = normalise_features(normal.rotated[index], mean_D=mean_D).flatten(0, 1)
            allowed.append(torch.cat([features_ND, copies_ND]))
        else:
            allowed.append(features_ND)
    return upright, allowed


def _positions(suspect_hw: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mark positions of a coarser grid with a suspect one: bool [N]."""
    return functional.adaptive_max_pool2d(suspect_hw[None].float(), grid)[0].flatten() > 0


def _fill(
    recipe: MemoryRecipe, bank: Bank, upright: Sequence[Tensor], allowed: Sequence[Tensor], *, count: int
) -> tuple[Tensor, list[Tensor]]:
    """Fill a bank, and measure each normal's distances to the rest.

    Returns:
        The coreset of all allowed features, float16 [M, D], and by normal the distance of each of its positions to what
        the other normals have in it, float32 [N].
    """
    owner_P = torch.repeat_interleave(torch.arange(len(allowed)), torch.tensor([len(one) for one in allowed]))
    features_PD = torch.cat(list(allowed))
    candidates = min(
        max(recipe.candidates_max, recipe.candidates_each * len(allowed)), _CANDIDATES_GROW * recipe.candidates_max
    )
    if len(features_PD) > candidates:
        generator = torch.Generator().manual_seed(recipe.seed)
        drawn = torch.randperm(len(features_PD), generator=generator)[:candidates].sort().values
        features_PD, owner_P = features_PD[drawn], owner_P[drawn]
    chosen = choose_coreset(features_PD, count=count, seed=recipe.seed)
    bank_MD, owner_M = features_PD[chosen].half(), owner_P[chosen]
    served_MD = unit_length(bank_MD)  # as it will be read back
    apart = []
    for index, features_ND in enumerate(upright):
        is_own_M = owner_M == index
        # of equal normals one may own the whole coreset: it also stands for the others, and hiding it leaves nothing
        apart.append(bank.distances(recipe, features_ND, served_MD, hidden_M=None if is_own_M.all() else is_own_M))
    return bank_MD, apart
