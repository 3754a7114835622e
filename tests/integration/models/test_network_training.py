"""Training: the split of normals, batches and minimisation."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from siad.models.teachers.network_training import NORMALS_MIN, NormalBatches, minimise, seeded, split_normals
from siad.vision.images import Image
from tests.synthetic import normals_of


@pytest.mark.parametrize("count", [NORMALS_MIN, 5, 10, 100])
def test_every_normal_is_either_trained_on_or_held_out(count: int) -> None:
    training, held_out = split_normals(normals_of(images([(8, 8)] * count)))
    assert sorted(training.capture_ids + held_out.capture_ids) == [f"{index:032x}" for index in range(count)]
    assert len(training) >= 2
    assert 2 <= len(held_out) <= max(2, count / 2)


def images(sizes: list[tuple[int, int]]) -> list[Image]:
    return [np.full((*size, 1), 20 * (index % 10), np.uint8) for index, size in enumerate(sizes)]


def test_every_normal_is_shown_as_often_as_the_others() -> None:
    batches = NormalBatches(images([(64, 64)] * 4), input_px=64, seed=0)
    shown = batches.batch(40).mean((1, 2, 3))
    nearest = torch.round((shown * 128 + 127) / 20).clamp(0, 3)
    assert torch.bincount(nearest.int(), minlength=4).min() >= 6  # ten of each; light changes a few into neighbours


def test_normals_of_several_sizes_are_shown_at_the_smallest() -> None:
    batches = NormalBatches(images([(64, 128), (128, 64)]), input_px=96, seed=0)
    assert batches.batch(3).shape == (3, 3, *batches.size)
    assert batches.size == (64, 64)


def test_the_same_seed_shows_the_same() -> None:
    one, two, three = (NormalBatches(images([(64, 64)] * 3), input_px=64, seed=seed).batch(3) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_minimise_finds_the_minimum() -> None:
    point = nn.Parameter(torch.tensor([3.0, -2.0]))

    def loss_of(_: int) -> Tensor:
        return (point - torch.tensor([1.0, 1.0])).square().sum()

    assert minimise([point], loss_of, steps=60, rate=0.3) < 1e-2
    assert torch.allclose(point.detach(), torch.ones(2), atol=0.05)


def test_a_loss_that_is_no_number_is_an_error() -> None:
    point = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="loss became nan"):
        minimise([point], lambda _: point.sum() * float("nan"), steps=3, rate=0.1)


def test_drawing_by_seed_leaves_other_draws_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1):
        torch.rand(7)
    assert torch.equal(torch.rand(3), expected)
