"""Rotated copies of the normals, for parts that lie at any angle.

At an angle that no normal has, such a part differs from every normal; rotated copies of the normals cure that. Where
parts keep their angle, copies would only hide defects. The normals decide: take the positions of each that are farthest
from the other normals, and measure them against the others' rotated copies. Where parts rotate, they come much nearer.
The half of the normals that comes nearest decides: an odd or defective normal comes nearer at no angle, and a few of
them among ten must not decide for the rest.

Shape suffixes: C = channels, H, W = size of an input, D = length of a patch feature, N = positions of an image,
K = copies.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from siad.models.teachers.memory_banks import PooledFeatures
from siad.models.teachers.patch_features import nearest_distances, normalise_features
from siad.vision.preprocess import input_size

# Copies are used if they leave less than this share of the distance: .49 to .74 where parts rotate, .85 to 1 elsewhere,
# with two defective normals of ten as without (docs/models/feature-memory.md).
REMAINING_MAX: Final = 0.8
_FARTHEST: Final = 0.05  # of a normal's positions, those that are measured
_NORMALS_MAX: Final = 10  # that are measured; more measured the same
_TRIAL_PX: Final = 384  # side of the square that much larger inputs are reduced to for the measurement
_COPIES_MAX: Final = 240  # of all normals together: a hundred normals already lie at many angles

Pool = Callable[[Tensor], Sequence[PooledFeatures]]  # runs inputs of one size through the backbone; by bank


def useful_copies(
    inputs: Sequence[Tensor], upright: Sequence[Sequence[PooledFeatures]], pool: Pool, *, turns: int, bank: int
) -> list[list[Tensor]]:
    """Compute patch features of rotated copies where they help.

    They help where they bring normals nearer to each other.

    Args:
        inputs: float32 [C, H, W] each, as the backbone gets them.
        upright: what ``pool`` gives for each.
        pool: runs inputs through the backbone.
        turns: angles of a full turn; the first is 0.
        bank: position of the one that is measured: one of parts, not of grain.

    Returns:
        By normal and by bank the features of its copies, float32 [K, N, D]; no banks where copies are not used.
    """
    none: list[list[Tensor]] = [[] for _ in inputs]
    if len(inputs) < 3:
        return none
    measured = range(min(len(inputs), _NORMALS_MAX))
    angles = [360.0 * turn / turns for turn in range(1, turns)]
    trial = [_reduced(inputs[index]) for index in measured]
    unrotated = [upright[index] if trial[index] is inputs[index] else pool(trial[index][None]) for index in measured]
    copies = [_copies(input_CHW, pool, angles) for input_CHW in trial]
    if remaining_distance(unrotated, copies, bank=bank) >= REMAINING_MAX:
        return none
    fewer = angles[:: max(1, math.ceil(len(inputs) * len(angles) / _COPIES_MAX))]
    return [
        copies[index]
        if index in measured and fewer == angles and trial[index] is inputs[index]
        else _copies(inputs[index], pool, fewer)
        for index in range(len(inputs))
    ]


def remaining_distance(
    upright: Sequence[Sequence[PooledFeatures]], copies: Sequence[Sequence[Tensor]], *, bank: int
) -> float:
    """Measure the distance between normals that rotated copies leave.

    Of each normal's positions that are farthest from the other normals: the distance to the others and their copies,
    over the distance to the others alone. The mean over the half of the normals where it is least; 1 where copies
    change nothing.
    """
    features = [normalise_features(pooled[bank][1])[0] for pooled in upright]
    rotated = [normalise_features(of_normal[bank]).flatten(0, 1) for of_normal in copies]
    ratios = []
    for index, features_ND in enumerate(features):
        apart_N = nearest_distances(features_ND, torch.cat([*features[:index], *features[index + 1 :]]))
        farthest = apart_N.topk(max(1, math.ceil(_FARTHEST * len(apart_N)))).indices
        with_copies = nearest_distances(features_ND[farthest], torch.cat([*rotated[:index], *rotated[index + 1 :]]))
        ratios.append(float(torch.minimum(with_copies, apart_N[farthest]).mean() / apart_N[farthest].mean()))
    return float(np.mean(sorted(ratios)[: math.ceil(len(ratios) / 2)]))


def rotate(input_CHW: Tensor, degrees: float) -> Tensor:
    """Rotate an input about its centre, repeating the border.

    float32 [C, H, W].
    """
    height, width = input_CHW.shape[1:]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    image_HWC = np.ascontiguousarray(input_CHW.permute(1, 2, 0).numpy())
    rotated_HWC = cv2.warpAffine(image_HWC, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(rotated_HWC).permute(2, 0, 1).contiguous()


def _reduced(input_CHW: Tensor) -> Tensor:
    """Reduce an input of more than twice the trial's area.

    Others are returned unchanged.
    """
    height, width = input_CHW.shape[1:]
    if height * width <= 2 * _TRIAL_PX**2:
        return input_CHW
    size = input_size(height, width, input_px=_TRIAL_PX)
    return functional.interpolate(input_CHW[None], size=size, mode="bilinear", antialias=True)[0]


def _copies(input_CHW: Tensor, pool: Pool, angles: Sequence[float]) -> list[Tensor]:
    """Compute one normal's patch features at other angles, by bank.

    float32 [K, N, D] each.
    """
    pooled = [pool(rotate(input_CHW, degrees)[None]) for degrees in angles]
    return [torch.cat([of_angle[index][1] for of_angle in pooled]) for index in range(len(pooled[0]))]
