"""Structural similarity against its formula, window by window."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from siad.models.ssim import ssim_map


def slow_ssim(one: NDArray[np.float64], other: NDArray[np.float64], *, reach: int) -> NDArray[np.float64]:
    """Wang's equation 13 in every window, cut off at the border; two float64 [H, W]."""
    out = np.zeros_like(one)
    for row, column in np.ndindex(*one.shape):
        box = (
            slice(max(0, row - reach), row + reach + 1),
            slice(max(0, column - reach), column + reach + 1),
        )
        a, b = one[box].ravel(), other[box].ravel()
        c1, c2 = 0.02**2, 0.06**2
        covariance = np.mean((a - a.mean()) * (b - b.mean()))
        above = (2 * a.mean() * b.mean() + c1) * (2 * covariance + c2)
        out[row, column] = above / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (a.var() + b.var() + c2))
    return out


@pytest.mark.parametrize("window", [5, 11])
def test_it_is_the_formula_in_every_window(window: int) -> None:
    rng = np.random.default_rng(window)
    one, other = rng.uniform(-1, 1, (2, 14, 17))
    found = ssim_map(
        torch.from_numpy(one)[None, None].float(), torch.from_numpy(other)[None, None].float(), window_px=window
    )
    np.testing.assert_allclose(found[0].numpy(), slow_ssim(one, other, reach=window // 2), atol=1e-4)


def test_an_image_is_wholly_like_itself() -> None:
    image = torch.rand(2, 3, 32, 40) * 2 - 1
    assert torch.allclose(ssim_map(image, image), torch.ones(2, 32, 40), atol=1e-4)


def test_flat_images_of_one_light_are_alike_and_give_numbers() -> None:
    flat = torch.full((1, 3, 16, 16), 0.3)
    assert torch.allclose(ssim_map(flat, flat), torch.ones(1, 16, 16), atol=1e-3)
    assert ssim_map(flat, -flat).isfinite().all()
