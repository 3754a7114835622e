"""The memory against slow, obviously right readings."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from siad.models.teachers.memory import choose_places, describe_places, distances, pool_places


def places(count: int, width: int = 8, seed: int = 0) -> Tensor:
    return functional.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def slow_distance(place: Tensor, bank: Tensor) -> float:
    return max(0.01, min(float(torch.linalg.vector_norm(place.double() - one.double())) for one in bank))


@pytest.mark.parametrize("seed", range(3))
def test_a_distance_is_that_to_the_nearest(seed: int) -> None:
    query, bank = places(7, seed=seed), places(20, seed=seed + 100)
    expected = [slow_distance(place, bank) for place in query]
    np.testing.assert_allclose(distances(query, bank).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_what_is_hidden_is_not_looked_at() -> None:
    bank = places(20)
    hidden = torch.arange(20) % 3 == 0
    expected = [slow_distance(place, bank[~hidden]) for place in bank]
    np.testing.assert_allclose(distances(bank, bank, hidden_M=hidden).numpy(), expected, rtol=1e-4, atol=1e-3)


def test_a_place_in_the_bank_is_the_same_place() -> None:
    np.testing.assert_allclose(distances(places(20), places(20)).numpy(), 0.01, rtol=1e-6)


def slow_centres(all_places: Tensor, count: int) -> list[int]:
    """Greedy k-centre by its definition: from the first, always the farthest from all chosen."""
    chosen = [0]
    while len(chosen) < count:
        gaps = [slow_distance(place, all_places[chosen]) for place in all_places]
        chosen.append(int(np.argmax(gaps)))
    return sorted(chosen)


@pytest.mark.parametrize("seed", range(5))
def test_choice_is_greedy_k_centre(seed: int) -> None:
    all_places = places(40, seed=seed)
    assert choose_places(all_places, count=9, seed=0).tolist() == slow_centres(all_places, 9)


def test_all_are_kept_where_there_are_no_more() -> None:
    assert choose_places(places(5), count=5, seed=0).tolist() == list(range(5))


def test_no_place_is_chosen_twice_where_all_are_equal() -> None:
    chosen = choose_places(places(1).repeat(30, 1), count=10, seed=0)
    assert len(set(chosen.tolist())) == 10


def test_in_a_projection_the_farthest_are_still_found() -> None:
    clusters = places(12, width=300, seed=1).repeat_interleave(20, dim=0)
    chosen = choose_places(clusters + 0.001 * places(240, width=300, seed=2), count=12, seed=0)
    assert sorted(position // 20 for position in chosen.tolist()) == list(range(12))


def test_places_are_means_of_their_neighbourhood_of_unit_length() -> None:
    output = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    described = describe_places(pool_places(output, grid=(4, 5)))
    for row, column in ((0, 0), (2, 3), (3, 4)):
        window = output[0, :, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        mean = window.flatten(1).mean(1)
        np.testing.assert_allclose(described[0, row * 5 + column].numpy(), (mean / mean.norm()).numpy(), rtol=1e-5)


def test_every_stage_comes_to_the_same_grid() -> None:
    pooled = [pool_places(output, grid=(4, 4)) for output in (torch.randn(2, 3, 8, 8), torch.randn(2, 7, 2, 2))]
    assert [tuple(one.shape) for one in pooled] == [(2, 16, 3), (2, 16, 7)]


def test_what_all_places_of_an_image_share_is_taken_off() -> None:
    generator = torch.Generator().manual_seed(0)
    pooled, usual = torch.randn(2, 30, 5, generator=generator), torch.randn(5, generator=generator)
    style = torch.tensor([[3.0, -1.0, 0.0, 2.0, 0.5]])
    same = describe_places(pooled, usual_D=usual)
    np.testing.assert_allclose(describe_places(pooled + style, usual_D=usual).numpy(), same.numpy(), atol=1e-5)
    by_hand = pooled[1, 7] - pooled[1].mean(0) + usual
    np.testing.assert_allclose(same[1, 7].numpy(), (by_hand / by_hand.norm()).numpy(), rtol=1e-4, atol=1e-6)
