"""Normalisation of distances by position of the view.

A rim or a moving part is farther from the memory than a plain face in every image. The local estimate is trusted to
``LOCAL_TRUST``, because parts move and ten normals say little of one position; the rest is the estimate of the whole
view. The rim of the view, as one region, is trusted more: there networks see padding and parts are cut off, at another
point in every image, and ten normals show a thousand positions of it.

Shape suffixes: h, w = size of a grid of positions, G = 32 or 1, the side of the stored map.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import Tensor
from torch.nn import functional

SIDE: Final = 32  # positions of the stored map each way, whatever the size of the image
NORMALS_MIN: Final = 5  # fewer say nothing of single positions
LOCAL_TRUST: Final = 0.3  # 0 is better for a bottle and for cubes at any position, 0.75 for a spindle, by .01 or .02
RIM_TRUST: Final = 0.6  # of the rim, the map's outermost positions; 1 measured the same, a wider rim costs bottles
SPREAD_MIN: Final = 0.02  # of the log of a distance; equal normals have none
_SMOOTHING: Final = 1.5  # deviation of the Gaussian that smooths a map, in its positions


@dataclass(frozen=True, slots=True)
class DistanceNorm:
    """Centre and spread of the normals' log distances over the view."""

    centre_GG: Tensor  # float32
    spread_GG: Tensor  # float32

    @classmethod
    def uniform(cls, values: Sequence[Tensor]) -> Self:
        """Use mean and deviation of all values at every position.

        Values are float32 [h, w] each.
        """
        every = torch.cat([value_hw.flatten() for value_hw in values])
        return cls(every.mean().view(1, 1), every.std().clamp_min(SPREAD_MIN).view(1, 1))

    @classmethod
    def by_position(cls, values: Sequence[Tensor]) -> Self:
        """Estimate centre and spread by position.

        From values of normals, float32 [h, w] each, of any sizes that show the same view.

        At each position the highest value is left out, since a normal may have a speck there.
        """
        flat = cls.uniform(values)
        if len(values) < NORMALS_MIN:
            return flat
        maps_NGG = torch.stack([_resized(value_hw, (SIDE, SIDE)) for value_hw in values]).sort(0).values[:-1]
        mean_GG = maps_NGG.mean(0)
        rim_GG = _by_region(lambda region: mean_GG[region].mean())
        rest_GG = _smooth(mean_GG - rim_GG)
        centre_GG = flat.centre_GG + RIM_TRUST * (rim_GG - rim_GG.mean()) + LOCAL_TRUST * (rest_GG - rest_GG.mean())
        variance_GG = _shrunk(_smooth(maps_NGG.var(0)), LOCAL_TRUST)
        variance_GG = variance_GG * _shrunk(_by_region(lambda region: maps_NGG[:, region].var()), RIM_TRUST)
        left = torch.cat([(value_hw - _resized(centre_GG, value_hw.shape)).flatten() for value_hw in values])
        spread_GG = left.std() * variance_GG.sqrt()
        return cls(centre_GG, spread_GG.clamp_min(SPREAD_MIN))

    def standardise(self, values_Bhw: Tensor) -> Tensor:
        """Express log distances in spreads over the centre: float32 [B, h, w]."""
        grid = values_Bhw.shape[1:]
        return (values_Bhw - _resized(self.centre_GG, grid)) / _resized(self.spread_GG, grid)


def _resized(map_hw: Tensor, grid: Sequence[int]) -> Tensor:
    """Resize a map; bilinear, averaging where it shrinks.

    As matrices, since a graph of the network takes inputs of any size, and no runner averages where a map shrinks.
    """
    if tuple(map_hw.shape) == tuple(grid):
        return map_hw
    down, across = (_weights(before, after) for before, after in zip(map_hw.shape, grid, strict=True))
    return down @ map_hw @ across.T


def _weights(before: int, after: int) -> Tensor:
    """Weights of linear resizing along one axis: float32 [after, before].

    A tent as wide as a new position, or as an old one where these are wider.
    """
    ratio = torch.as_tensor(before).float() / torch.as_tensor(after).float()
    centres = (torch.arange(after).float() + 0.5) * ratio
    apart = (torch.arange(before).float() + 0.5 - centres[:, None]).abs() / ratio.clamp_min(1)
    tents = (1 - apart).clamp_min(0)
    return tents / tents.sum(1, keepdim=True)


def _by_region(value_of: Callable[[Tensor], Tensor]) -> Tensor:
    """Map of two values, for the rim and within it.

    float32 [G, G].
    """
    is_rim_GG = torch.ones(SIDE, SIDE, dtype=torch.bool)
    is_rim_GG[1:-1, 1:-1] = False
    return torch.where(is_rim_GG, value_of(is_rim_GG), value_of(~is_rim_GG))


def _shrunk(variance_GG: Tensor, trust: float) -> Tensor:
    """Variance over its mean, moved towards 1 by the distrust."""
    return 1 - trust + trust * variance_GG / variance_GG.mean().clamp_min(1e-9)


def _smooth(map_GG: Tensor) -> Tensor:
    reach = int(3 * _SMOOTHING)
    kernel = torch.exp(-((torch.arange(-reach, reach + 1.0) / _SMOOTHING) ** 2) / 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(map_GG[None, None], (reach, reach, reach, reach), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[0, 0]
