"""Distance norm: by position where there are enough normals, and only partly trusted."""

import numpy as np
import pytest
import torch

from siad.models.teachers.distance_norm import LOCAL_TRUST, NORMALS_MIN, RIM_TRUST, SIDE, DistanceNorm


def values(count: int, *, side: int = SIDE, raised: float = 0.0, seed: int = 0) -> list[torch.Tensor]:
    """Noise of deviation 0.1 about 1, with a left half that lies ``raised`` higher."""
    rng = np.random.default_rng(seed)
    maps = 1.0 + 0.1 * rng.normal(size=(count, side, side))
    maps[:, :, : side // 2] += raised
    return [torch.from_numpy(one.astype(np.float32)) for one in maps]


def test_a_position_that_is_always_high_raises_the_centre_in_part() -> None:
    norm = DistanceNorm.by_position(values(10, raised=1.0))
    centre = norm.centre_GG
    assert float(centre[:, :8].mean() - centre[:, -8:].mean()) == pytest.approx(LOCAL_TRUST * 1.0, abs=0.02)


def test_a_noisy_place_has_a_wider_spread() -> None:
    maps = values(20)
    for number, one in enumerate(maps):
        one[:, :16] += 0.5 * (-1) ** number
    spread = DistanceNorm.by_position(maps).spread_GG
    assert float(spread[:, :8].mean()) > 1.3 * float(spread[:, -8:].mean())


def test_the_rim_is_trusted_more_than_single_positions() -> None:
    maps = values(10)
    rim = torch.ones(SIDE, SIDE, dtype=torch.bool)
    rim[1:-1, 1:-1] = False
    for one in maps:
        one[rim] += 1.0
    centre = DistanceNorm.by_position(maps).centre_GG
    assert float(centre[rim].mean() - centre[~rim].mean()) == pytest.approx(RIM_TRUST * 1.0, abs=0.02)
    assert float(centre[1:3, 1:-1].mean() - centre[8:-8, 8:-8].mean()) == pytest.approx(0, abs=0.02)  # and no wider


def test_a_rim_that_is_cut_off_otherwise_in_every_normal_has_a_wider_spread() -> None:
    maps = values(20)
    for number, one in enumerate(maps):
        one[0] += 0.5 * (-1) ** number
    spread = DistanceNorm.by_position(maps).spread_GG
    assert float(spread[-1].mean()) > 1.2 * float(spread[8:-8, 8:-8].mean())  # the other side is the rim too


def test_one_speck_on_one_normal_changes_little() -> None:
    maps = values(10)
    without = DistanceNorm.by_position(maps).centre_GG
    maps[3][16, 16] = 50.0
    assert float((DistanceNorm.by_position(maps).centre_GG - without).abs().max()) < 0.3


@pytest.mark.parametrize("count", [1, 2, NORMALS_MIN - 1])
def test_few_normals_give_one_norm_for_all_positions(count: int) -> None:
    norm = DistanceNorm.by_position(values(count, raised=1.0))
    every = torch.cat([one.flatten() for one in values(count, raised=1.0)])
    assert norm.centre_GG.shape == norm.spread_GG.shape == (1, 1)
    assert float(norm.centre_GG) == pytest.approx(float(every.mean()))
    assert float(norm.spread_GG) == pytest.approx(float(every.std()))


def test_equal_normals_leave_a_spread_to_divide_by() -> None:
    norm = DistanceNorm.by_position([torch.ones(4, 4)] * 6)
    assert bool(torch.isfinite(norm.standardise(torch.full((1, 4, 4), 2.0))).all())


def test_normals_and_images_may_be_of_any_size() -> None:
    norm = DistanceNorm.by_position(
        [one for side in (12, 48, 20, 32, 8, 64) for one in values(1, side=side, raised=1.0)]
    )
    judged = norm.standardise(torch.ones(2, 10, 30))
    assert judged.shape == (2, 10, 30)
    assert float(judged[0, :, :8].mean()) < float(judged[0, :, -8:].mean())


def test_standardising_counts_spreads_over_the_centre() -> None:
    norm = DistanceNorm(torch.tensor([[2.0]]), torch.tensor([[0.5]]))
    assert norm.standardise(torch.tensor([[[3.0, 2.0, 1.0]]])).tolist() == [[[2.0, 0.0, -2.0]]]
