"""Normalisation of level and contrast.

For lines whose light differs from image to image.

A good cell in twilight is far from every good cell in daylight, and farther than a cell with a crack. Where the
normals' brightness varies between images as much as within one, brightness says nothing about defects, and every input
is brought to the contrast of the photographs that the backbone was trained on. Where it does not, inputs are left
alone: there a dark part is information.

Shape suffixes: B = batch, C = channels, H, W = size of the input; inputs are float32 from
``siad.vision.preprocess``.
"""

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from siad.vision.preprocess import CENTRE, SCALE

LEVEL: Final = (118.0 - CENTRE) / SCALE  # median grey of photographs
CONTRAST: Final = 50.0 / SCALE  # deviation of grey; 40 and 58 (ImageNet's) measured the same
DIFFERS: Final = 0.3  # deviation of levels over median contrast: lines under one lamp have .02 to .10, others from .46
_ODD_SHARE: Final = 0.1  # of the normals that do not count
_ODD_FROM: Final = 5  # normals from which on one may be odd
_GAIN_MAX: Final = 4.0  # an empty view has no contrast, and its noise must not be amplified into one
_STEP: Final = 4  # px between those sampled


def illumination_differs(inputs: Sequence[Tensor]) -> bool:
    """Whether normals differ in brightness by what matters within one.

    A tenth of them, the farthest from the median, does not count: one dark picture among ten must not take brightness
    away from a line under one lamp.

    Args:
        inputs: normals, float32 [C, H, W] each.
    """
    if len(inputs) < 2:
        return False
    measured = [_measure(input_CHW[None]) for input_CHW in inputs]
    levels_N, contrasts_N = (torch.cat(values) for values in zip(*measured, strict=True))
    left_out = math.ceil(_ODD_SHARE * len(inputs)) if len(inputs) >= _ODD_FROM else 0
    nearest_N = (levels_N - levels_N.median()).abs().argsort(stable=True)[: len(inputs) - left_out]
    return float(levels_N[nearest_N].std()) > DIFFERS * max(float(contrasts_N.median()), 1 / SCALE)


def normalise_illumination(inputs_BCHW: Tensor) -> Tensor:
    """Bring each image to one level and contrast of grey.

    float32 [B, C, H, W]; colours keep their differences.
    """
    level_B, contrast_B = _measure(inputs_BCHW)
    gain_B = (CONTRAST / contrast_B.clamp_min(1e-6)).clamp_max(_GAIN_MAX)
    normalised_BCHW = (inputs_BCHW - level_B[:, None, None, None]) * gain_B[:, None, None, None] + LEVEL
    return normalised_BCHW.clamp(-CENTRE / SCALE, (255.0 - CENTRE) / SCALE)


def _measure(inputs_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Measure median and deviation of grey, float32 [B] each."""
    grey_BP = inputs_BCHW[:, :, ::_STEP, ::_STEP].mean(1).flatten(1)
    middle_B = grey_BP.sort(1).values[:, (grey_BP.shape[1] - 1) // 2]  # ``median``, which a graph does not have
    return middle_B, grey_BP.std(1)
