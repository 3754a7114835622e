"""Gradient noise against its definition, pixel by pixel."""

import math

import numpy as np
import pytest

from siad.vision.perlin import perlin


def slow_perlin(size: tuple[int, int], cells: tuple[int, int], seed: int) -> list[list[float]]:
    """One pixel at a time, as the paper says it."""
    turns = np.random.default_rng(seed).uniform(0, 2 * math.pi, (cells[0] + 1, cells[1] + 1))

    def at(pixel_y: int, pixel_x: int) -> float:
        y, x = pixel_y * cells[0] / size[0], pixel_x * cells[1] / size[1]
        total = 0.0
        for row in (int(y), int(y) + 1):
            for column in (int(x), int(x) + 1):
                dy, dx = y - row, x - column
                dot = math.sin(turns[row, column]) * dy + math.cos(turns[row, column]) * dx
                total += dot * (1 - fade(abs(dy))) * (1 - fade(abs(dx)))
        return math.sqrt(2) * total

    def fade(t: float) -> float:
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    return [[at(y, x) for x in range(size[1])] for y in range(size[0])]


@pytest.mark.parametrize(("size", "cells"), [((8, 12), (2, 3)), ((7, 5), (1, 1)), ((10, 9), (4, 2))])
def test_agrees_with_the_definition(size: tuple[int, int], cells: tuple[int, int]) -> None:
    fast = perlin(size, cells=cells, rng=np.random.default_rng(3))
    assert fast == pytest.approx(np.array(slow_perlin(size, cells, 3)), abs=1e-6)


def test_stays_within_one() -> None:
    noise_HW = perlin((256, 256), cells=(16, 16), rng=np.random.default_rng(0))
    assert np.abs(noise_HW).max() <= 1.0
    assert abs(float(noise_HW.mean())) < 0.05


def test_is_zero_at_the_lattice() -> None:
    noise_HW = perlin((64, 64), cells=(4, 4), rng=np.random.default_rng(0))
    assert noise_HW[::16, ::16] == pytest.approx(np.zeros((4, 4)), abs=1e-6)


def test_no_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="0x3 cells"):
        perlin((8, 8), cells=(0, 3), rng=np.random.default_rng(0))
