"""Patch features against slow reference implementations."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from siad.models.teachers.patch_features import choose_coreset, nearest_distances, normalise_features, pool_patches


def features(count: int, width: int = 8, seed: int = 0) -> Tensor:
    return functional.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def slow_distance(place: Tensor, bank: Tensor) -> float:
    return max(0.01, min(float(torch.linalg.vector_norm(place.double() - one.double())) for one in bank))


@pytest.mark.parametrize("seed", range(3))
def test_a_distance_is_that_to_the_nearest(seed: int) -> None:
    query, bank = features(7, seed=seed), features(20, seed=seed + 100)
    expected = [slow_distance(place, bank) for place in query]
    np.testing.assert_allclose(nearest_distances(query, bank).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_what_is_hidden_is_not_looked_at() -> None:
    bank = features(20)
    hidden = torch.arange(20) % 3 == 0
    expected = [slow_distance(place, bank[~hidden]) for place in bank]
    np.testing.assert_allclose(nearest_distances(bank, bank, hidden_M=hidden).numpy(), expected, rtol=1e-4, atol=1e-3)


def test_a_place_in_the_bank_is_the_same_place() -> None:
    np.testing.assert_allclose(nearest_distances(features(20), features(20)).numpy(), 0.01, rtol=1e-6)


def slow_centres(all_features: Tensor, count: int) -> list[int]:
    """Greedy k-centre by its definition: from the first, always the farthest from all chosen."""
    chosen = [0]
    while len(chosen) < count:
        gaps = [slow_distance(place, all_features[chosen]) for place in all_features]
        chosen.append(int(np.argmax(gaps)))
    return sorted(chosen)


@pytest.mark.parametrize("seed", range(5))
def test_choice_is_greedy_k_centre(seed: int) -> None:
    all_features = features(40, seed=seed)
    assert choose_coreset(all_features, count=9, seed=0).tolist() == slow_centres(all_features, 9)


def test_all_are_kept_where_there_are_no_more() -> None:
    assert choose_coreset(features(5), count=5, seed=0).tolist() == list(range(5))


def test_no_place_is_chosen_twice_where_all_are_equal() -> None:
    chosen = choose_coreset(features(1).repeat(30, 1), count=10, seed=0)
    assert len(set(chosen.tolist())) == 10


def test_in_a_projection_the_farthest_are_still_found() -> None:
    clusters = features(12, width=300, seed=1).repeat_interleave(20, dim=0)
    chosen = choose_coreset(clusters + 0.001 * features(240, width=300, seed=2), count=12, seed=0)
    assert sorted(position // 20 for position in chosen.tolist()) == list(range(12))


def test_places_are_means_of_their_neighbourhood_of_unit_length() -> None:
    output = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    described = normalise_features(pool_patches(output, grid=(4, 5)))
    for row, column in ((0, 0), (2, 3), (3, 4)):
        window = output[0, :, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        mean = window.flatten(1).mean(1)
        np.testing.assert_allclose(described[0, row * 5 + column].numpy(), (mean / mean.norm()).numpy(), rtol=1e-5)


def test_every_stage_comes_to_the_same_grid() -> None:
    pooled = [pool_patches(output, grid=(4, 4)) for output in (torch.randn(2, 3, 8, 8), torch.randn(2, 7, 2, 2))]
    assert [tuple(one.shape) for one in pooled] == [(2, 16, 3), (2, 16, 7)]


def test_what_all_features_of_an_image_share_is_taken_off() -> None:
    generator = torch.Generator().manual_seed(0)
    pooled, usual = torch.randn(2, 30, 5, generator=generator), torch.randn(5, generator=generator)
    style = torch.tensor([[3.0, -1.0, 0.0, 2.0, 0.5]])
    same = normalise_features(pooled, mean_D=usual)
    np.testing.assert_allclose(normalise_features(pooled + style, mean_D=usual).numpy(), same.numpy(), atol=1e-5)
    by_hand = pooled[1, 7] - pooled[1].mean(0) + usual
    np.testing.assert_allclose(same[1, 7].numpy(), (by_hand / by_hand.norm()).numpy(), rtol=1e-4, atol=1e-6)
