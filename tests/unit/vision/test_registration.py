"""Laying images onto each other: a known motion is found again, and what has nothing in common stays."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from siad.vision.registration import IDENTITY, match_illumination, register, warp


def scene(seed: int = 0) -> NDArray[np.float32]:
    """Soft lumps, float32 [96, 128]."""
    noise = np.random.default_rng(seed).normal(0, 1, (96, 128)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.asarray(blurred / blurred.std(), np.float32)


def motion(degrees: float, across: float, down: float) -> NDArray[np.float32]:
    """About the middle of the scene."""
    turned = cv2.getRotationMatrix2D((64, 48), degrees, 1.0)
    turned[:, 2] += (across, down)
    return np.asarray(turned, np.float32)


@pytest.mark.parametrize(("degrees", "across", "down"), [(0, 7, -5), (0, 0.4, 0.6), (4, 3, 2), (-6, -8, 4)])
def test_a_known_motion_is_found_again(degrees: float, across: float, down: float) -> None:
    moved = warp(scene(), motion(degrees, across, down))  # moved(x) = scene(M x)
    found = register(moved, scene())
    corners = np.array([[0, 0, 1], [127, 0, 1], [0, 95, 1]])
    apart = corners @ (found - motion(degrees, across, down)).T
    assert np.abs(apart).max() < 0.5


@pytest.mark.parametrize("other", [scene(9), np.zeros((96, 128), np.float32)])
def test_images_with_nothing_in_common_are_left_as_they_lie(other: NDArray[np.float32]) -> None:
    assert np.array_equal(register(scene(), other), IDENTITY)


def test_a_part_far_off_is_not_pulled_in() -> None:
    assert np.array_equal(register(warp(scene(), motion(40, 0, 0)), scene()), IDENTITY)


def test_what_is_given_is_not_changed() -> None:
    one, other = scene(), scene(1)
    register(one, other)
    assert np.array_equal(one, scene())
    assert np.array_equal(other, scene(1))


def test_images_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="128x96 and 64x96 px"):
        register(scene(), scene()[:, :64])


def test_another_lamp_is_evened_out() -> None:
    like = scene()[:, :, None]
    slope = np.linspace(-0.5, 0.5, 128, dtype=np.float32)[None, :, None]
    assert np.abs(match_illumination(0.7 * like + slope + 0.4, like) - like).mean() < 0.12
    assert math.isclose(float(np.abs(match_illumination(like, like) - like).max()), 0, abs_tol=1e-4)
