"""Patch features: pooling, normalisation, coreset selection and distances.

A patch feature describes one position of a feature map. A memory bank keeps a coreset of the normals' patch features;
a position is anomalous by its distance to the bank.

Shape suffixes: B = batch, N = positions of one image, P = patch features of all images, M = patch features kept,
D = length of a patch feature, K = length of its random projection, k = neighbours of a position.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

_DISTANCE_MIN = 0.01
_VARIANCE_MIN = 1e-6  # a plain background has none, and rounding may leave less than none
PROJECTION = 64  # dimensions of the coreset selection; distances survive it (Johnson and Lindenstrauss 1984)


def pool_patches(output_BDhw: Tensor, *, grid: tuple[int, int]) -> Tensor:
    """Average an output over 3 x 3 neighbours and resize it.

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
    """Compute mean and deviation of every channel over wide windows (zones).

    A zone of another finish has no position that is anomalous by itself; only the statistics of many together are.

    Args:
        output_BDhw: float32 [B, D, h, w] of a fine stage; h and w at least twice those of the grid.
        grid: rows and columns.
        share: side of the window, as a share of the square root of the output's area; cut at the border.

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
    deviation = (square - mean.square()).clamp_min(_VARIANCE_MIN).sqrt()
    return torch.cat([mean, deviation], 1).transpose(1, 2)


def _blurred(values_BDhw: Tensor, reach: int) -> Tensor:
    """Average over a square window, first along columns, then along rows."""
    side = 2 * reach + 1
    rows = functional.avg_pool2d(values_BDhw, (side, 1), 1, (reach, 0), count_include_pad=False)
    return functional.avg_pool2d(rows, (1, side), 1, (0, reach), count_include_pad=False)


def normalise_features(pooled_BND: Tensor, *, mean_D: Tensor | None = None) -> Tensor:
    """Remove the image's style, then scale every patch feature to unit length.

    Style is what all positions of an image share (light, focus, white balance), and is no defect. The mean of an
    image's features holds most of it, so it is moved to the mean of the normals.

    Args:
        pooled_BND: float32 [B, N, D].
        mean_D: float32 [D], the normals' mean; None leaves the image's mean, as needed for a part of an image.

    Returns:
        float32 [B, N, D] of length 1.

    Source:
        Huang and Belongie 2017, arXiv:1703.06868, eq. 8, without its second moment, which measured no better.
    """
    if mean_D is not None:
        pooled_BND = pooled_BND - (pooled_BND.mean(1, keepdim=True) - mean_D)
    return functional.normalize(pooled_BND, dim=2)


def choose_coreset(features_PD: Tensor, *, count: int, seed: int) -> Tensor:
    """Choose patch features that cover all others.

    Greedy k-centre in a random projection.

    Args:
        features_PD: float32 [P, D].
        count: how many to keep; all are kept where there are no more.
        seed: of the projection.

    Returns:
        int64 [M], ascending positions in ``features_PD``, M = min(count, P).

    Source:
        Gonzalez 1985 (twice the optimal radius at worst); in a projection as Roth et al. 2022, section 3.2.
    """
    total, width = features_PD.shape
    if total <= count:
        return torch.arange(total)
    if width > PROJECTION:
        generator = torch.Generator().manual_seed(seed)
        features_PD = features_PD @ (torch.randn(width, PROJECTION, generator=generator) / PROJECTION**0.5)
    squares_P = features_PD.square().sum(1)
    nearest_P = torch.full((total,), torch.inf)
    chosen = torch.empty(count, dtype=torch.int64)
    pick = 0
    for step in range(count):
        chosen[step] = pick
        distance_P = torch.addmv(squares_P + squares_P[pick], features_PD, features_PD[pick], alpha=-2)
        torch.minimum(nearest_P, distance_P, out=nearest_P)
        nearest_P[pick] = -torch.inf  # equal features are never chosen twice
        pick = int(nearest_P.argmax())
    return chosen.sort().values


def nearest_distances(features_ND: Tensor, bank_MD: Tensor, *, hidden_M: Tensor | None = None) -> Tensor:
    """Measure each patch feature's Euclidean distance to the nearest in a bank.

    Args:
        features_ND: float32 [N, D], of unit length.
        bank_MD: float32 [M, D], of unit length.
        hidden_M: bool [M]; true entries of the bank are left out. At least one must be left.

    Returns:
        float32 [N], 0.01 to 2. Nearer than 0.01 counts as 0.01: there the root would turn the last bit of a product,
        which differs between processors, into the fourth digit of a distance.
    """
    cosine_NM = features_ND @ bank_MD.T
    if hidden_M is not None:
        cosine_NM.masked_fill_(hidden_M, -torch.inf)
    return (2 - 2 * cosine_NM.amax(1)).clamp_min(_DISTANCE_MIN**2).sqrt()


def span_distances(
    features_ND: Tensor, bank_MD: Tensor, *, neighbours: int, ridge: float, hidden_M: Tensor | None = None
) -> Tensor:
    """Measure each patch feature's Euclidean distance to the span of its nearest.

    Ten parts do not show every variation that good parts have, but what lies between two of them is likely good too.
    With b_1 ... b_k the nearest of a patch feature x, the distance is that to sum_i w_i b_i with the weights that
    minimise

        |x - sum_i w_i b_i|^2 + ridge * (mean_i |x - b_i|^2) * sum_i w_i^2,    sum_i w_i = 1.

    Args:
        features_ND: float32 [N, D], of unit length.
        bank_MD: float32 [M, D], of unit length.
        neighbours: k; 1 gives the distance to the nearest.
        ridge: penalty on large weights: without one, few neighbours reach almost any point near them.
        hidden_M: bool [M]; true entries of the bank are left out. At least one must be left.

    Returns:
        float32 [N], 0.01 to 2, as of ``nearest_distances``.

    Source:
        Roweis and Saul 2000, Science 290, p. 2323 (locally linear embedding), with its ridge.
    """
    shown_MD = bank_MD if hidden_M is None else bank_MD[~hidden_M]
    count = min(neighbours, len(shown_MD))
    nearest_Nk = (features_ND @ shown_MD.T).topk(count, 1).indices
    apart_NkD = shown_MD[nearest_Nk] - features_ND[:, None]
    gram_Nkk = apart_NkD @ apart_NkD.transpose(1, 2)
    ridge_N = ridge * gram_Nkk.diagonal(dim1=1, dim2=2).mean(1) + _DISTANCE_MIN**2
    gram_Nkk = gram_Nkk + ridge_N[:, None, None] * torch.eye(count)
    weights_Nk1 = torch.cholesky_solve(torch.ones(len(features_ND), count, 1), torch.linalg.cholesky(gram_Nkk))
    weights_Nk1 = weights_Nk1 / weights_Nk1.sum(1, keepdim=True)
    rest_ND = (weights_Nk1 * apart_NkD).sum(1)
    return rest_ND.square().sum(1).sqrt().clamp_min(_DISTANCE_MIN)
