"""Structural similarity of two images around each pixel.

Shape suffixes: B = batch, C = channels, H, W = size of the images.
"""

from typing import Final

from torch import Tensor
from torch.nn import functional

WINDOW_PX: Final = 11
_C1, _C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # for images in -1..1, as preprocessing makes them: a range of 2


def ssim_map(one_BCHW: Tensor, other_BCHW: Tensor, *, window_px: int = WINDOW_PX) -> Tensor:
    """Compare two batches of images around every pixel.

        SSIM = (2 m1 m2 + C1)(2 s12 + C2) / ((m1^2 + m2^2 + C1)(s1^2 + s2^2 + C2))

    of the means, variances and covariance in a uniform window, which is cut at the border.

    Args:
        one_BCHW: float32, about -1 to 1.
        other_BCHW: of the same shape.
        window_px: odd.

    Returns:
        float32 [B, H, W], mean over the channels; 1 where they are equal, at least -1.

    Source:
        Wang et al. 2004, eq. 13; a uniform window in place of the Gaussian one, which costs four times as much.
    """
    products = (one_BCHW, other_BCHW, one_BCHW.square(), other_BCHW.square(), one_BCHW * other_BCHW)
    mean1, mean2, square1, square2, product = (_mean(x_BCHW, window_px) for x_BCHW in products)
    variance1, variance2 = (square1 - mean1.square()).clamp_min(0), (square2 - mean2.square()).clamp_min(0)
    covariance = product - mean1 * mean2
    luminance = (2 * mean1 * mean2 + _C1) / (mean1.square() + mean2.square() + _C1)
    structure = (2 * covariance + _C2) / (variance1 + variance2 + _C2)
    return (luminance * structure).mean(1)


def _mean(x_BCHW: Tensor, window_px: int) -> Tensor:
    """Average along rows, then columns: 22 sums a pixel instead of 121."""
    reach = window_px // 2
    across = functional.avg_pool2d(x_BCHW, (1, window_px), stride=1, padding=(0, reach), count_include_pad=False)
    return functional.avg_pool2d(across, (window_px, 1), stride=1, padding=(reach, 0), count_include_pad=False)
