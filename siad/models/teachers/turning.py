"""Parts that lie at any angle: show the memory its normals at other angles, where the normals themselves ask for it.

A part that lies as it likes looks, at an angle that no normal has, like no normal. Copies of the normals at other
angles cure that; where parts lie still they would only hide defects. The normals tell the two apart: take the places of
each that are hardest to find in the other normals, and look for them in the others' turned copies. Where parts turn,
they are there, much nearer than before.

Shape suffixes: C = channels, H, W = size of an input, D = length of a description, N = places of an image, K = copies.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from siad.models.teachers.memory import describe_places, distances
from siad.vision.preprocess import input_size

PAYS: Final = 0.875  # of the distance without copies that is left with them: .54 to .85 where parts turn, else .90 to 1
_HARDEST: Final = 0.05  # of the places of a normal
_ASKED_MAX: Final = 10  # normals; so many say it as well as all
_ASKED_PX: Final = 384  # side of the square that a much larger input is asked at: whether parts turn shows there too
_COPIES_MAX: Final = 240  # of all normals together: a hundred normals lie at many angles by themselves

Stages = Sequence[tuple[tuple[int, int], Tensor]]  # by stage: grid, and pooled float32 [B, N, D]


def copies_that_pay(
    inputs: Sequence[Tensor], upright: Sequence[Stages], look: Callable[[Tensor], Stages], *, turns: int, stage: int
) -> list[list[Tensor]]:
    """Turn the normals where that pays.

    Args:
        inputs: float32 [C, H, W] each, as the backbone is shown them.
        upright: what ``look`` sees on each.
        look: shows a backbone some inputs of one size.
        turns: angles of a full turn; the first is 0.
        stage: position of the one that is asked whether it pays: one of parts, not of grain.

    Returns:
        By normal and by stage the places of its copies, float32 [K, N, D]; nothing by normal where it does not pay.
    """
    none: list[list[Tensor]] = [[] for _ in inputs]
    if len(inputs) < 3:
        return none
    some = range(min(len(inputs), _ASKED_MAX))
    angles = [360.0 * turn / turns for turn in range(1, turns)]
    shown = [_small(inputs[index]) for index in some]
    still = [upright[index] if shown[index] is inputs[index] else look(shown[index][None]) for index in some]
    found = [_copies(one, look, angles) for one in shown]
    if what_is_left(still, found, stage=stage) >= PAYS:
        return none
    fewer = angles[:: max(1, math.ceil(len(inputs) * len(angles) / _COPIES_MAX))]
    return [
        found[index]
        if index in some and fewer == angles and shown[index] is inputs[index]
        else _copies(inputs[index], look, fewer)
        for index in range(len(inputs))
    ]


def what_is_left(upright: Sequence[Stages], copies: Sequence[Sequence[Tensor]], *, stage: int) -> float:
    """How far the hardest places of normals lie from others and their copies, over how far from the others alone.

    In the places of one stage. The mean over normals; 1 where copies find nothing.
    """
    places = [describe_places(one[stage][1])[0] for one in upright]
    turned = [describe_places(one[stage]).flatten(0, 1) for one in copies]
    left = []
    for index, places_ND in enumerate(places):
        apart_N = distances(places_ND, torch.cat([*places[:index], *places[index + 1 :]]))
        hardest = apart_N.topk(max(1, math.ceil(_HARDEST * len(apart_N)))).indices
        with_copies = distances(places_ND[hardest], torch.cat([*turned[:index], *turned[index + 1 :]]))
        left.append(float(torch.minimum(with_copies, apart_N[hardest]).mean() / apart_N[hardest].mean()))
    return float(np.mean(left))


def turn(input_CHW: Tensor, degrees: float) -> Tensor:
    """Turn an input about its middle, the border repeated: float32 [C, H, W]."""
    height, width = input_CHW.shape[1:]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    image_HWC = np.ascontiguousarray(input_CHW.permute(1, 2, 0).numpy())
    turned_HWC = cv2.warpAffine(image_HWC, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(turned_HWC).permute(2, 0, 1).contiguous()


def _small(input_CHW: Tensor) -> Tensor:
    """An input of more than twice the area made smaller, else the input itself."""
    height, width = input_CHW.shape[1:]
    if height * width <= 2 * _ASKED_PX**2:
        return input_CHW
    size = input_size(height, width, input_px=_ASKED_PX)
    return functional.interpolate(input_CHW[None], size=size, mode="bilinear", antialias=True)[0]


def _copies(input_CHW: Tensor, look: Callable[[Tensor], Stages], angles: Sequence[float]) -> list[Tensor]:
    """By stage: the places of one normal at other angles, float32 [K, N, D]."""
    seen = [look(turn(input_CHW, degrees)[None]) for degrees in angles]
    return [torch.cat([stages[index][1] for stages in seen]) for index in range(len(seen[0]))]
