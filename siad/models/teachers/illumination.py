"""Normalisation of level and contrast.

For lines whose light differs from image to image.

A good cell in twilight is far from every good cell in daylight, and farther than a cell with a crack. Where the
normals' brightness varies between images as much as within one, brightness says nothing about defects, and every input
is brought to the contrast of the photographs that the backbone was trained on. Where it does not, inputs are left
alone: there a dark part is information.

Shape suffixes: B = batch, C = channels, H, W = size of the input; inputs are float32 from
``siad.vision.preprocess``.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from siad.vision.preprocess import CENTRE, SCALE

LEVEL: Final = (118.0 - CENTRE) / SCALE  # median grey of photographs
CONTRAST: Final = 50.0 / SCALE  # deviation of grey; 40 and 58 (ImageNet's) measured the same
DIFFERS: Final = 0.3  # deviation of levels over mean contrast: lines under one lamp have .03 to .12, others .7 to .9
_GAIN_MAX: Final = 4.0  # an empty view has no contrast, and its noise must not be amplified into one
_STEP: Final = 4  # px between those sampled


def illumination_differs(inputs: Sequence[Tensor]) -> bool:
    """Whether normals differ in brightness by what matters within one.

    Normals are float32 [C, H, W] each.
    """
    measured = [_measure(input_CHW[None]) for input_CHW in inputs]
    levels_N, contrasts_N = (torch.cat(values) for values in zip(*measured, strict=True))
    return len(inputs) > 1 and float(levels_N.std()) > DIFFERS * max(float(contrasts_N.mean()), 1 / SCALE)


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
    return grey_BP.median(1).values, grey_BP.std(1)
