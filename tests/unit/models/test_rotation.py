"""Rotated copies: made where normals lie at any angle, and only there."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from siad.models.teachers import rotation
from siad.models.teachers.rotation import REMAINING_MAX, remaining_distance, rotate, useful_copies

SIDE, STRIDE = 64, 8


def part(seed: int, *, degrees: float = 0.0) -> Tensor:
    """A bar and a dot beside it, with some grain: float32 [3, 64, 64]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    angle = np.deg2rad(degrees)
    along, beside = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
    bar = (np.abs(beside) < 5) & (np.abs(along) < 24)
    dot = np.hypot(along - 12, beside - 14) < 6
    grey = -0.5 + 1.0 * bar + 0.7 * dot + rng.normal(0, 0.01, (SIDE, SIDE))
    return torch.from_numpy(grey.astype(np.float32))[None].repeat(3, 1, 1)


def pool(inputs_BCHW: Tensor) -> list[tuple[tuple[int, int], Tensor]]:
    """Patches of 16 px every 8 px instead of a network: one stage."""
    padded = functional.pad(inputs_BCHW[:, :1], (4, 4, 4, 4), mode="replicate")
    patches = functional.unfold(padded, 16, stride=STRIDE).transpose(1, 2)
    side = SIDE // STRIDE
    return [((side, side), patches)]


def normals(*, turned: bool, count: int = 6) -> list[Tensor]:
    angles = np.random.default_rng(5).uniform(0, 360, count) if turned else np.zeros(count)
    return [part(seed, degrees=float(angle)) for seed, angle in enumerate(angles)]


def left(inputs: Sequence[Tensor]) -> float:
    turned = [[torch.cat([pool(rotate(one, angle)[None])[0][1] for angle in range(30, 360, 30)])] for one in inputs]
    return remaining_distance([pool(one[None]) for one in inputs], turned, bank=0)


def test_parts_that_lie_at_any_angle_are_found_again_in_turned_copies() -> None:
    assert left(normals(turned=True)) < REMAINING_MAX < left(normals(turned=False)) <= 1


def other_part(seed: int) -> Tensor:
    """A part of another kind, in noise: nothing like the bar."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    grey = 0.8 * ((x // 4 + y // 6) % 2) + rng.normal(0, 0.3, (SIDE, SIDE))
    return torch.from_numpy(grey.astype(np.float32))[None].repeat(3, 1, 1)


@pytest.mark.parametrize("odd", [1, 2, 3, 4])
def test_a_few_odd_normals_do_not_decide_for_the_rest(odd: int) -> None:
    others = [other_part(50 + number) for number in range(odd)]
    assert left([*normals(turned=True, count=10 - odd), *others]) < 0.6 < REMAINING_MAX
    assert left([*normals(turned=False, count=10 - odd), *others]) > REMAINING_MAX


def test_copies_are_made_where_they_pay() -> None:
    inputs = normals(turned=True)
    copies = useful_copies(inputs, [pool(one[None]) for one in inputs], pool, turns=12, bank=0)
    assert [one[0].shape for one in copies] == [(11, 64, 256)] * len(inputs)


def test_no_copies_are_made_where_parts_lie_still_or_are_too_few() -> None:
    for inputs in (normals(turned=False), normals(turned=True, count=2)):
        assert not any(useful_copies(inputs, [pool(one[None]) for one in inputs], pool, turns=12, bank=0))


def test_many_normals_are_turned_less_often() -> None:
    inputs = normals(turned=True, count=60)
    copies = useful_copies(inputs, [pool(one[None]) for one in inputs], pool, turns=12, bank=0)
    assert {len(one[0]) for one in copies} == {4}


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_four_quarter_turns_lead_back(turns: int) -> None:
    image = part(0, degrees=20)
    for _ in range(4):
        image = rotate(image, 90.0 * turns)
    np.testing.assert_allclose(image.numpy(), part(0, degrees=20).numpy(), atol=1e-4)


def test_the_border_goes_on_outside() -> None:
    image = torch.full((3, 32, 48), 0.25)
    np.testing.assert_allclose(rotate(image, 33.0).numpy(), image.numpy(), atol=1e-6)


def test_a_large_input_is_measured_at_a_smaller_size_and_rotated_at_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_TRIAL_PX", 96)
    seen: list[tuple[int, ...]] = []

    def record(inputs_BCHW: Tensor) -> list[tuple[tuple[int, int], Tensor]]:
        seen.append(tuple(inputs_BCHW.shape[2:]))
        shrunk = functional.interpolate(inputs_BCHW, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        return pool(shrunk)

    large = [
        functional.interpolate(one[None], size=(160, 160), mode="bilinear")[0] for one in normals(turned=True, count=3)
    ]
    upright = [pool(one[None]) for one in normals(turned=True, count=3)]
    copies = useful_copies(large, upright, record, turns=12, bank=0)
    assert seen[: 3 * 12] == [(96, 96)] * 36  # as they lie, and at eleven angles
    assert seen[3 * 12 :] == [(160, 160)] * 33
    assert [len(one[0]) for one in copies] == [11] * 3
