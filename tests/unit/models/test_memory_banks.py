"""Memory banks and their combination, against slow reference implementations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from siad.models.teachers.memory_banks import banks_of, combine_banks
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.patch_features import pool_zones

ONE_STAGE = MemoryRecipe(stages=(2,), weights=(1.0,), zone=0.5, floor=0.25, lift=0.0)


def test_a_zone_is_the_mean_and_deviation_of_all_in_its_window() -> None:
    output = torch.randn(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    zones = pool_zones(output, grid=(8, 12), share=0.3)[0].reshape(8, 12, 6)
    reach = 1  # in halves of the grid: 0.3 of the root of 8 x 12 is a window of 3
    for row, column in ((0, 0), (3, 5), (7, 11)):
        window = output[
            0, :, 2 * max(0, row - reach) : 2 * (row + reach + 1), 2 * max(0, column - reach) : 2 * (column + reach + 1)
        ]
        expected = torch.cat([window.mean((1, 2)), window.std((1, 2), correction=0)])
        np.testing.assert_allclose(zones[row, column].numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_plain_ground_has_zones_without_deviation() -> None:
    zones = pool_zones(torch.full((1, 2, 8, 8), 3.0), grid=(2, 2), share=0.3)
    np.testing.assert_allclose(zones[0, :, :2].numpy(), 3.0, rtol=1e-6)
    np.testing.assert_allclose(zones[0, :, 2:].numpy(), 0.0, atol=2e-3)


def test_zones_see_another_grain_that_no_place_is_odd_in() -> None:
    rng = np.random.default_rng(0)
    even = torch.from_numpy(rng.choice([-1.0, 1.0], (1, 1, 32, 32)).astype(np.float32))
    calm = even.clone()
    calm[..., 16:, :] = 1.0  # a value that the ground has everywhere
    above, below = pool_zones(calm, grid=(4, 4), share=0.3)[0].reshape(4, 4, 2)[[0, 3], :, 1]
    assert float(above.min()) > 10 * float(below.max())


def test_without_zones_there_is_a_bank_a_stage() -> None:
    assert [bank.name for bank in banks_of(MemoryRecipe(zone=0.0))] == ["s2", "s4", "s5"]
    assert [bank.name for bank in banks_of(MemoryRecipe())] == ["s2", "s4", "s5", "zone"]


def test_coarse_banks_span_and_keep_half() -> None:
    recipe = MemoryRecipe(places_max=100)
    assert [(bank.uses_spans(recipe), bank.size(recipe)) for bank in banks_of(recipe)] == [(False, 100)] + 3 * [
        (True, 50)
    ]
    assert all(bank.uses_spans(MemoryRecipe(grid_stride=16)) for bank in banks_of(recipe))
    many = MemoryRecipe(spans_stages=False)
    assert [bank.name for bank in banks_of(many) if bank.uses_spans(many)] == ["zone"]


def test_a_span_is_asked_where_a_bank_spans() -> None:
    fine, *coarse = banks_of(MemoryRecipe())
    remembered = functional.normalize(torch.tensor([[1.0, 0, 0], [1.0, 0.5, 0]]), dim=1)
    between = functional.normalize(remembered.sum(0, keepdim=True), dim=1)
    nearest = float(fine.distances(MemoryRecipe(), between, remembered))
    assert all(float(bank.distances(MemoryRecipe(), between, remembered)) < 0.8 * nearest for bank in coarse)


def test_no_place_scores_less_than_its_share_of_what_its_zone_says() -> None:
    stage = torch.tensor([[[1.0, 4.0], [0.0, -3.0]]])
    zone = torch.tensor([[[6.0, 6.0], [-6.0, 0.0]]])
    given = combine_banks(ONE_STAGE, [stage, zone])
    np.testing.assert_allclose(given[0].numpy(), [[3.0, 4.0], [0.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("raised", [0.0, 5.0])
def test_a_part_that_is_odd_all_over_has_its_floor_taken_off_and_keeps_its_peak(raised: float) -> None:
    stage = raised + torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 2.0]]])
    given = combine_banks(ONE_STAGE, [stage, torch.zeros(1, 1, 1)])
    peak = raised + 2.0
    np.testing.assert_allclose(given[0].numpy(), [[0, 0, peak / 2], [0, 0, peak]], rtol=1e-5)


def test_a_part_that_is_odd_all_over_scores_higher_than_one_that_is_odd_in_one_place() -> None:
    lifted = replace(ONE_STAGE, lift=0.25)
    place = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 4.0]]])
    everywhere = torch.tensor([[[2.0, 2.0, 3.0], [2.0, 2.0, 4.0]]])
    given = combine_banks(lifted, [torch.cat([place, everywhere]), torch.zeros(2, 1, 1)])
    np.testing.assert_allclose(given[0].numpy(), [[0, 0, 1], [0, 0, 4]], rtol=1e-5)
    np.testing.assert_allclose(given[1].numpy(), [[0, 0, 2.25], [0, 0, 4.5]], rtol=1e-5)


def test_lines_whose_light_differs_are_not_lifted() -> None:
    assert MemoryRecipe().for_light(differs=True) == replace(MemoryRecipe(), lift=0.0)
    assert MemoryRecipe().for_light(differs=False) == MemoryRecipe()


def test_images_of_a_batch_have_floors_of_their_own() -> None:
    stages = torch.stack([torch.tensor([[0.0, 1.0], [2.0, 3.0]]), torch.tensor([[9.0, 9.0], [9.0, 12.0]])])
    both = combine_banks(ONE_STAGE, [stages, torch.zeros(2, 1, 1)])
    alone = [combine_banks(ONE_STAGE, [stages[[index]], torch.zeros(1, 1, 1)])[0] for index in (0, 1)]
    np.testing.assert_allclose(both.numpy(), torch.stack(alone).numpy(), rtol=1e-6)
