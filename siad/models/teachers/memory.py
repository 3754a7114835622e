"""The memory itself: describe places, choose which to keep, ask how far a place is from all of them. Pure.

Shape suffixes: B = batch, N = places of one image, P = places of all images, M = places kept, D = length of a
description, K = length of its random projection, k = neighbours of a place.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

_SAME = 0.01
_FLAT = 1e-6  # of a variance: a plain ground has none, and rounding may leave less than none
PROJECTION = 64  # dimensions in which places are chosen; distances survive it (Johnson and Lindenstrauss 1984)


def pool_places(output_BDhw: Tensor, *, grid: tuple[int, int]) -> Tensor:
    """Average an output of the backbone over its neighbourhood and bring it to a grid.

    Args:
        output_BDhw: float32 [B, D, h, w] of one stage.
        grid: rows and columns.

    Returns:
        float32 [B, N, D], N = rows * columns.

    Source:
        Roth et al. 2022, arXiv:2106.08265, eq. 1 to 3.
    """
    local = functional.avg_pool2d(output_BDhw, 3, stride=1, padding=1, count_include_pad=False)
    if local.shape[-2:] != grid:
        local = functional.interpolate(local, size=grid, mode="bilinear", align_corners=False)
    return local.flatten(2).transpose(1, 2)


def pool_zones(output_BDhw: Tensor, *, grid: tuple[int, int], share: float) -> Tensor:
    """Mean and deviation of every channel over a wide window about each place of a grid: what grain a zone has.

    A zone of another finish has no place that is odd; only that so many lie together is.

    Args:
        output_BDhw: float32 [B, D, h, w] of a fine stage; h and w at least twice those of the grid.
        grid: rows and columns.
        share: side of the window, of the square root of the output's area; at the border it is cut.

    Returns:
        float32 [B, N, 2 D], N = rows * columns: means, then deviations.

    Source:
        The statistics of Huang and Belongie 2017, arXiv:1703.06868, eq. 5 and 6, of a window instead of an image.
    """
    halved = [functional.avg_pool2d(moment_BDhw, 2) for moment_BDhw in (output_BDhw, output_BDhw.square())]
    reach = max(1, round(share * math.sqrt(halved[0].shape[2] * halved[0].shape[3]) / 2))
    mean, square = (
        functional.adaptive_avg_pool2d(_blurred(moment_BDhw, reach), grid).flatten(2) for moment_BDhw in halved
    )
    deviation = (square - mean.square()).clamp_min(_FLAT).sqrt()
    return torch.cat([mean, deviation], 1).transpose(1, 2)


def _blurred(values_BDhw: Tensor, reach: int) -> Tensor:
    """Mean over a square window, rows and columns one after the other."""
    side = 2 * reach + 1
    rows = functional.avg_pool2d(values_BDhw, (side, 1), 1, (reach, 0), count_include_pad=False)
    return functional.avg_pool2d(rows, (1, side), 1, (0, reach), count_include_pad=False)


def describe_places(pooled_BND: Tensor, *, usual_D: Tensor | None = None) -> Tensor:
    """Give every place unit length, after its image's own mean was moved to where that of the normals is.

    What all places of an image share (light, focus, the camera's mood) is style, and style is no defect; the first
    moment of an image's features holds most of it.

    Args:
        pooled_BND: float32 [B, N, D].
        usual_D: float32 [D], the normals' mean; None leaves an image where it is, as a part of one must be.

    Returns:
        float32 [B, N, D] of length 1.

    Source:
        Huang and Belongie 2017, arXiv:1703.06868, eq. 8, without its second moment, which measured no better.
    """
    if usual_D is not None:
        pooled_BND = pooled_BND - (pooled_BND.mean(1, keepdim=True) - usual_D)
    return functional.normalize(pooled_BND, dim=2)


def choose_places(places_PD: Tensor, *, count: int, seed: int) -> Tensor:
    """Choose places that leave none far from a chosen one: greedy k-centre in a random projection.

    Args:
        places_PD: float32 [P, D].
        count: how many to keep; all are kept where there are no more.
        seed: of the projection.

    Returns:
        int64 [M], ascending positions in ``places_PD``, M = min(count, P).

    Source:
        Gonzalez 1985 (twice the optimal radius at worst); in a projection as Roth et al. 2022, section 3.2.
    """
    total, width = places_PD.shape
    if total <= count:
        return torch.arange(total)
    if width > PROJECTION:
        generator = torch.Generator().manual_seed(seed)
        places_PD = places_PD @ (torch.randn(width, PROJECTION, generator=generator) / PROJECTION**0.5)
    squares_P = places_PD.square().sum(1)
    nearest_P = torch.full((total,), torch.inf)
    chosen = torch.empty(count, dtype=torch.int64)
    pick = 0
    for turn in range(count):
        chosen[turn] = pick
        distance_P = torch.addmv(squares_P + squares_P[pick], places_PD, places_PD[pick], alpha=-2)
        torch.minimum(nearest_P, distance_P, out=nearest_P)
        nearest_P[pick] = -torch.inf  # never twice, where places are equal
        pick = int(nearest_P.argmax())
    return chosen.sort().values


def distances(places_ND: Tensor, bank_MD: Tensor, *, hidden_M: Tensor | None = None) -> Tensor:
    """Euclidean distance of each place to its nearest in the bank; all of unit length.

    Args:
        places_ND: float32 [N, D].
        bank_MD: float32 [M, D].
        hidden_M: bool [M]; what is true is not looked at. At least one must be left.

    Returns:
        float32 [N], 0.01 to 2. Nearer than 0.01 is the same place: there the root would turn the last bit of a
        product, which differs between processors, into the fourth digit of a distance.
    """
    cosine_NM = places_ND @ bank_MD.T
    if hidden_M is not None:
        cosine_NM.masked_fill_(hidden_M, -torch.inf)
    return (2 - 2 * cosine_NM.amax(1)).clamp_min(_SAME**2).sqrt()


def distances_to_span(
    places_ND: Tensor, bank_MD: Tensor, *, neighbours: int, ridge: float, hidden_M: Tensor | None = None
) -> Tensor:
    """Euclidean distance of each place to what its nearest in the bank span; all of unit length.

    Ten parts do not show every shade that good parts have, but what lies between two of them is likely good too, and a
    little past them. With b_1 ... b_k the nearest of a place x, the distance is that to sum_i w_i b_i with the weights
    that minimise

        |x - sum_i w_i b_i|^2 + ridge * (mean_i |x - b_i|^2) * sum_i w_i^2,    sum_i w_i = 1.

    Args:
        places_ND: float32 [N, D].
        bank_MD: float32 [M, D].
        neighbours: k; 1 is the distance to the nearest.
        ridge: how much weights are kept from growing: with none, few neighbours reach anything near them.
        hidden_M: bool [M]; what is true is not looked at. At least one must be left.

    Returns:
        float32 [N], 0.01 to 2, as ``distances`` has it.

    Source:
        Roweis and Saul 2000, Science 290, p. 2323 (locally linear embedding), with its ridge.
    """
    shown_MD = bank_MD if hidden_M is None else bank_MD[~hidden_M]
    count = min(neighbours, len(shown_MD))
    nearest_Nk = (places_ND @ shown_MD.T).topk(count, 1).indices
    apart_NkD = shown_MD[nearest_Nk] - places_ND[:, None]
    gram_Nkk = apart_NkD @ apart_NkD.transpose(1, 2)
    kept_N = ridge * gram_Nkk.diagonal(dim1=1, dim2=2).mean(1) + _SAME**2
    gram_Nkk = gram_Nkk + kept_N[:, None, None] * torch.eye(count)
    weights_Nk1 = torch.cholesky_solve(torch.ones(len(places_ND), count, 1), torch.linalg.cholesky(gram_Nkk))
    weights_Nk1 = weights_Nk1 / weights_Nk1.sum(1, keepdim=True)
    left_ND = (weights_Nk1 * apart_NkD).sum(1)
    return left_ND.square().sum(1).sqrt().clamp_min(_SAME)
