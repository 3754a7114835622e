"""Distances to a span, against the constrained problem solved directly."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from siad.models.teachers.patch_features import nearest_distances, span_distances


def features(count: int, width: int = 8, seed: int = 0) -> Tensor:
    return functional.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def slow_span(place: Tensor, bank: Tensor, neighbours: int, ridge: float) -> float:
    """Lagrange's conditions of the nearest few, in float64, with the constraint as a row of its own."""
    apart = np.array(sorted((bank - place).double().tolist(), key=np.linalg.norm)[:neighbours])
    count = len(apart)
    system = np.ones((count + 1, count + 1))
    system[count, count] = 0
    kept = ridge * np.mean((apart**2).sum(1)) + 0.01**2
    system[:count, :count] = apart @ apart.T + kept * np.eye(count)
    weights = np.linalg.solve(system, np.append(np.zeros(count), 1.0))[:count]
    return max(0.01, float(np.linalg.norm(weights @ apart)))


@pytest.mark.parametrize(("neighbours", "ridge"), [(2, 0.3), (5, 0.3), (5, 0.01), (50, 0.3)])
def test_a_distance_is_that_to_the_best_mean_of_the_nearest_few(neighbours: int, ridge: float) -> None:
    query, bank = features(7, seed=1), features(20, seed=2)
    expected = [slow_span(place, bank, neighbours, ridge) for place in query]
    given = span_distances(query, bank, neighbours=neighbours, ridge=ridge)
    np.testing.assert_allclose(given.numpy(), expected, rtol=1e-4)


def test_with_one_neighbour_it_is_the_distance_to_the_nearest() -> None:
    query, bank = features(7, seed=1), features(20, seed=2)
    given = span_distances(query, bank, neighbours=1, ridge=0.3)
    np.testing.assert_allclose(given.numpy(), nearest_distances(query, bank).numpy(), rtol=1e-4)


def test_what_lies_between_two_remembered_places_is_near_and_what_lies_off_their_line_is_not() -> None:
    one, other = torch.tensor([1.0, 0, 0]), functional.normalize(torch.tensor([1.0, 0.5, 0]), dim=0)
    middle = one + other
    between, off = (functional.normalize(place, dim=0)[None] for place in (middle, middle + torch.tensor([0, 0, 0.5])))
    bank = torch.stack([one, other])
    near, far = (float(span_distances(place, bank, neighbours=2, ridge=0.05)) for place in (between, off))
    assert near < 0.3 * float(nearest_distances(between, bank))
    assert far > 0.7 * float(nearest_distances(off, bank))


def test_what_is_hidden_is_not_looked_at() -> None:
    bank = features(20)
    hidden = torch.arange(20) % 3 == 0
    given = span_distances(bank, bank, neighbours=4, ridge=0.3, hidden_M=hidden)
    expected = [slow_span(place, bank[~hidden], 4, 0.3) for place in bank]
    np.testing.assert_allclose(given.numpy(), expected, rtol=1e-3)


def test_a_bank_of_equal_places_spans_nothing() -> None:
    bank = features(1).repeat(6, 1)
    given = span_distances(torch.cat([bank[:1], features(1, seed=3)]), bank, neighbours=5, ridge=0.3)
    np.testing.assert_allclose(given.numpy(), [0.01, float(nearest_distances(features(1, seed=3), bank))], rtol=1e-4)
