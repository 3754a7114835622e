"""What a distance usually is, place by place: a rim or a moving part is always further from the memory than a face.

A third of it is believed, because parts move and because ten normals say little of one place: the rest is what a
distance usually is anywhere. Of the view's rim more is believed, as a whole: there networks see padding and parts are
cut off, in every image somewhere else, and ten normals show a thousand places of it. Pure.

Shape suffixes: h, w = size of a grid of places, G = 32 or 1, the side of the map that is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import Tensor
from torch.nn import functional

SIDE: Final = 32  # places of a map a side, whatever the size of the image
NORMALS_MIN: Final = 5  # fewer say nothing of single places
BELIEF: Final = 0.3  # 0 is better for a bottle and for cubes that lie anywhere, 0.75 for a spindle, by .01 or .02
RIM_BELIEF: Final = 0.6  # of the rim, the outermost places of the map; 1 measured the same, a wider rim costs bottles
SPREAD_MIN: Final = 0.02  # of the log of a distance; equal normals have none
_REACH: Final = 1.5  # deviation of the Gaussian that smooths a map, in its places


@dataclass(frozen=True, slots=True)
class UsualDistance:
    """Centre and spread of a value over the view; both float32 [G, G]."""

    centre_GG: Tensor
    spread_GG: Tensor

    @classmethod
    def everywhere(cls, values: Sequence[Tensor]) -> Self:
        """The same everywhere: mean and deviation of all values, float32 [h, w] each."""
        every = torch.cat([value_hw.flatten() for value_hw in values])
        return cls(every.mean().view(1, 1), every.std().clamp_min(SPREAD_MIN).view(1, 1))

    @classmethod
    def by_place(cls, values: Sequence[Tensor]) -> Self:
        """Learn from normals, float32 [h, w] each, of any sizes that show the same view.

        At each place the highest value is left out, since a normal may have a speck there.
        """
        flat = cls.everywhere(values)
        if len(values) < NORMALS_MIN:
            return flat
        maps_NGG = torch.stack([_to(value_hw, (SIDE, SIDE)) for value_hw in values]).sort(0).values[:-1]
        mean_GG = maps_NGG.mean(0)
        rim_GG = _by_region(lambda region: mean_GG[region].mean())
        rest_GG = _smooth(mean_GG - rim_GG)
        centre_GG = flat.centre_GG + RIM_BELIEF * (rim_GG - rim_GG.mean()) + BELIEF * (rest_GG - rest_GG.mean())
        variance_GG = _believed(_smooth(maps_NGG.var(0)), BELIEF)
        variance_GG = variance_GG * _believed(_by_region(lambda region: maps_NGG[:, region].var()), RIM_BELIEF)
        left = torch.cat([(value_hw - _to(centre_GG, value_hw.shape)).flatten() for value_hw in values])
        spread_GG = left.std() * variance_GG.sqrt()
        return cls(centre_GG, spread_GG.clamp_min(SPREAD_MIN))

    def judge(self, values_Bhw: Tensor) -> Tensor:
        """How many spreads each value lies over what is usual there: float32 [B, h, w]."""
        grid = values_Bhw.shape[1:]
        return (values_Bhw - _to(self.centre_GG, grid)) / _to(self.spread_GG, grid)


def _to(map_hw: Tensor, grid: Sequence[int]) -> Tensor:
    """Bring a map to another grid; bilinear, averaging where it shrinks."""
    if tuple(map_hw.shape) == tuple(grid):
        return map_hw
    return functional.interpolate(map_hw[None, None], size=tuple(grid), mode="bilinear", antialias=True)[0, 0]


def _by_region(value_of: Callable[[Tensor], Tensor]) -> Tensor:
    """What holds for the rim, there, and what holds for all within it, there: float32 [G, G]."""
    is_rim_GG = torch.ones(SIDE, SIDE, dtype=torch.bool)
    is_rim_GG[1:-1, 1:-1] = False
    return torch.where(is_rim_GG, value_of(is_rim_GG), value_of(~is_rim_GG))


def _believed(variance_GG: Tensor, belief: float) -> Tensor:
    """As a share of its mean, believed in part."""
    return 1 - belief + belief * variance_GG / variance_GG.mean().clamp_min(1e-9)


def _smooth(map_GG: Tensor) -> Tensor:
    reach = int(3 * _REACH)
    kernel = torch.exp(-((torch.arange(-reach, reach + 1.0) / _REACH) ** 2) / 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(map_GG[None, None], (reach, reach, reach, reach), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[0, 0]
