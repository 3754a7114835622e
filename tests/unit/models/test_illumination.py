"""Illumination is normalised for lines whose normals differ in it, and for no others."""

import numpy as np
import pytest
import torch

from siad.models.teachers.illumination import CONTRAST, LEVEL, illumination_differs, normalise_illumination


def shot(level: float, contrast: float, *, seed: int = 0, side: int = 256) -> torch.Tensor:
    """Noise of a level and a contrast in grey levels of 255, as the network gets it: float32 [3, H, W]."""
    grey = np.random.default_rng(seed).normal(level, contrast, (1, side, side))
    return torch.from_numpy(((grey - 127) / 128).astype(np.float32)).repeat(3, 1, 1)


@pytest.mark.parametrize(("step", "expected"), [(0.5, False), (1.0, False), (9.0, True), (25.0, True)])
def test_normals_differ_in_light_by_what_counts_within_one(step: float, expected: bool) -> None:
    assert illumination_differs([shot(100 + step * index, 25, seed=index) for index in range(10)]) is expected


def test_the_same_step_counts_less_where_parts_have_contrast() -> None:
    levels = [100 + 9 * index for index in range(5)]
    assert illumination_differs([shot(level, 20) for level in levels])
    assert not illumination_differs([shot(level, 90) for level in levels])


@pytest.mark.parametrize("odd", [20, 220])
def test_one_odd_picture_of_ten_does_not_decide_for_the_line(odd: float) -> None:
    under_one_lamp = [shot(100 + index % 3, 25, seed=index) for index in range(9)]
    assert not illumination_differs([*under_one_lamp, shot(odd, 25)])
    assert illumination_differs([*under_one_lamp[:6], *(shot(odd, 25, seed=index) for index in range(4))])


def test_one_normal_says_nothing_and_empty_views_need_no_light() -> None:
    assert not illumination_differs([shot(100, 25)])
    assert not illumination_differs([torch.zeros(3, 64, 64)] * 4)


@pytest.mark.parametrize(("level", "contrast"), [(60, 15), (120, 25), (180, 20)])
def test_every_light_becomes_one(level: float, contrast: float) -> None:
    normalised = normalise_illumination(shot(level, contrast)[None])
    reference = normalise_illumination(shot(100, 30)[None])
    assert float(normalised.median()) == pytest.approx(LEVEL, abs=0.02)
    assert float(normalised.std()) == pytest.approx(CONTRAST, rel=0.03)
    np.testing.assert_allclose(normalised.numpy(), reference.numpy(), atol=0.05)


def test_an_empty_view_does_not_become_noise_and_nothing_leaves_the_range() -> None:
    assert float(normalise_illumination(shot(100, 0.5)[None]).std()) < 3 / 128
    assert float(normalise_illumination(shot(20, 80)[None]).abs().max()) <= 1.0


def test_images_of_a_batch_are_normalised_each_by_itself() -> None:
    batch = torch.stack([shot(60, 15), shot(180, 20, seed=1)])
    one_by_one = torch.cat([normalise_illumination(image[None]) for image in batch])
    np.testing.assert_allclose(normalise_illumination(batch).numpy(), one_by_one.numpy(), rtol=1e-6, atol=1e-6)


def test_colours_keep_their_differences() -> None:
    image = shot(100, 25)
    image[0] += 0.2
    normalised = normalise_illumination(image[None])[0]
    gain = float(normalised[1].std() / image[1].std())
    np.testing.assert_allclose((normalised[0] - normalised[1]).mean().item(), 0.2 * gain, rtol=0.05)
