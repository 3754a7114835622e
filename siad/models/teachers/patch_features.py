"""Patch features: pooling, normalisation, coreset selection and distances.

A patch feature describes one position of a feature map. A memory bank keeps a coreset of the normals' patch features;
a position is anomalous by its distance to the bank.

Shape suffixes: B = batch, N = positions of one image, P = patch features of all images, M = patch features kept,
D = length of a patch feature, K = length of its random projection, k = neighbours of a position.
"""

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
    height, width = halved[0].shape[2:]
    reach = (share * torch.as_tensor(height * width).float().sqrt() / 2).round().clamp_min(1)
    down_yh, across_xw = (_zone_weights(side, count, reach) for side, count in zip((height, width), grid, strict=True))
    mean, square = ((down_yh @ (moment_BDhw @ across_xw.T)).flatten(2) for moment_BDhw in halved)
    deviation = (square - mean.square()).clamp_min(_VARIANCE_MIN).sqrt()
    return torch.cat([mean, deviation], 1).transpose(1, 2)


def _zone_weights(side: int, count: int, reach: Tensor) -> Tensor:
    """Weights that average one axis over windows, then over zones.

    As matrices, since a graph of the network takes inputs of any size, and a pooling window would be fixed in it.

    Args:
        side: positions along the axis.
        count: zones along it; side is a multiple of it.
        reach: positions on either side of a window's middle, cut at the border.

    Returns:
        float32 [count, side].
    """
    at = torch.arange(side)
    is_near = ((at[:, None] - at).abs() <= reach).float()
    windows = is_near / is_near.sum(1, keepdim=True)
    return windows.view(count, -1, side).mean(1)


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
    ridge_N = ridge * apart_NkD.square().sum(2).mean(1) + _DISTANCE_MIN**2
    weights_Nk = _solve_for_ones(gram_Nkk + ridge_N[:, None, None] * torch.eye(count))
    weights_Nk = weights_Nk / weights_Nk.sum(1, keepdim=True)
    rest_ND = (weights_Nk[:, None] @ apart_NkD)[:, 0]
    return rest_ND.square().sum(1).sqrt().clamp_min(_DISTANCE_MIN)


def _solve_for_ones(gram_Nkk: Tensor) -> Tensor:
    """Solve ``gram w = 1`` for every position: float32 [N, k].

    By Gauss and Jordan, without pivots, which a positive definite matrix with a ridge does not need: a graph has
    neither Cholesky's factors nor a solver, and on a CPU these few steps for all positions are faster.
    """
    count = gram_Nkk.shape[1]
    rows = functional.pad(gram_Nkk, (0, 1), value=1.0)
    unit_kk = torch.eye(count)
    for index in range(count):
        pivot = rows[:, index : index + 1] / rows[:, index : index + 1, index : index + 1]
        rows = rows - (rows[:, :, index : index + 1] - unit_kk[:, index : index + 1]) * pivot
    return rows[:, :, count]
