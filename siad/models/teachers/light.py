"""Light that differs from image to image: where normals need it, every input gets one level and contrast. Pure.

A good cell in twilight is far from every good cell in daylight, and further than a cell with a crack. Where the normals
themselves differ in brightness by as much as one of them differs within itself, brightness says nothing of defects, and
all are brought to the contrast of the photographs that the backbone learned from. Where they do not, it is left alone:
there a dark part is news.

Shape suffixes: B = batch, C = channels, H, W = size of the input; inputs are float32 from
``siad.vision.preprocess``.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from siad.vision.preprocess import CENTRE, SCALE

LEVEL: Final = (118.0 - CENTRE) / SCALE  # the grey that photographs have in the middle
CONTRAST: Final = 50.0 / SCALE  # deviation of grey; 40 and 58 (ImageNet's) measured the same
DIFFERS: Final = 0.3  # deviation of levels in contrasts: lines under one lamp have .03 to .12, others .7 to .9
_GAIN_MAX: Final = 4.0  # an empty view has no contrast, and its grain must not become one
_STEP: Final = 4  # px between those looked at


def differs(inputs: Sequence[Tensor]) -> bool:
    """Say whether normals, float32 [C, H, W] each, differ in brightness by what counts within one of them."""
    seen = [_look(input_CHW[None]) for input_CHW in inputs]
    levels_N, contrasts_N = (torch.cat(values) for values in zip(*seen, strict=True))
    return len(inputs) > 1 and float(levels_N.std()) > DIFFERS * max(float(contrasts_N.mean()), 1 / SCALE)


def even_out(inputs_BCHW: Tensor) -> Tensor:
    """Bring each image to one level and contrast of grey, float32 [B, C, H, W]; colours keep their differences."""
    level_B, contrast_B = _look(inputs_BCHW)
    gain_B = (CONTRAST / contrast_B.clamp_min(1e-6)).clamp_max(_GAIN_MAX)
    evened_BCHW = (inputs_BCHW - level_B[:, None, None, None]) * gain_B[:, None, None, None] + LEVEL
    return evened_BCHW.clamp(-CENTRE / SCALE, (255.0 - CENTRE) / SCALE)


def _look(inputs_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Median and deviation of grey, float32 [B] each."""
    grey_BP = inputs_BCHW[:, :, ::_STEP, ::_STEP].mean(1).flatten(1)
    return grey_BP.median(1).values, grey_BP.std(1)
