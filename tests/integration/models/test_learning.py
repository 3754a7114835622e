"""Who is held out, what is shown, how steps are taken."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from siad.models.teachers.learning import NORMALS_MIN, NormalBatches, hold_out, seeded, take_steps
from siad.vision.images import Image


@pytest.mark.parametrize("count", [NORMALS_MIN, 5, 10, 100])
def test_everyone_is_either_learnt_from_or_held_out(count: int) -> None:
    learn, held = hold_out(count)
    assert sorted(learn + held) == list(range(count))
    assert len(learn) >= 2
    assert len(held) >= 2
    assert len(held) <= max(2, count / 2)


def images(sizes: list[tuple[int, int]]) -> list[Image]:
    return [np.full((*size, 1), 20 * index, np.uint8) for index, size in enumerate(sizes)]


def test_every_normal_is_shown_as_often_as_the_others() -> None:
    showings = NormalBatches(images([(64, 64)] * 4), input_px=64, seed=0)
    shown = showings.batch(40).mean((1, 2, 3))
    nearest = torch.round((shown * 128 + 127) / 20).clamp(0, 3)
    assert torch.bincount(nearest.int(), minlength=4).min() >= 6  # ten of each; light changes a few into neighbours


def test_normals_of_several_sizes_are_shown_at_the_smallest() -> None:
    showings = NormalBatches(images([(64, 128), (128, 64)]), input_px=96, seed=0)
    assert showings.batch(3).shape == (3, 3, *showings.size)
    assert showings.size == (64, 64)


def test_the_same_seed_shows_the_same() -> None:
    one, two, three = (NormalBatches(images([(64, 64)] * 3), input_px=64, seed=seed).batch(3) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_steps_find_the_lowest_place() -> None:
    place = nn.Parameter(torch.tensor([3.0, -2.0]))

    def loss_of(_: int) -> Tensor:
        return (place - torch.tensor([1.0, 1.0])).square().sum()

    assert take_steps([place], loss_of, steps=60, rate=0.3) < 1e-2
    assert torch.allclose(place.detach(), torch.ones(2), atol=0.05)


def test_a_loss_that_is_no_number_is_an_error() -> None:
    place = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="loss became nan"):
        take_steps([place], lambda _: place.sum() * float("nan"), steps=3, rate=0.1)


def test_drawing_by_seed_leaves_other_draws_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1):
        torch.rand(7)
    assert torch.equal(torch.rand(3), expected)
