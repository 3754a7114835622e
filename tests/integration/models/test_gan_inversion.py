"""Asking a generator for the normal most like an image: nearer with every step, and robust against a defect."""

from functools import cache

import pytest
import torch
from torch import Tensor

from siad.models.backbone import Backbone
from siad.models.teachers.draem import Judge, focal
from siad.models.teachers.gan_inversion import LATENT, GanInversion, InversionRecipe, squared

TINY = InversionRecipe(side_px=32, width=8, descents=20, stride=0.5)


@cache
def detector() -> GanInversion:
    torch.manual_seed(0)
    made = GanInversion(Backbone("lite0"), TINY).eval()
    with torch.no_grad():
        made.generator.first.weight.mul_(4)  # untaught it makes nearly the same of every latent
    for parameter in made.parameters():
        parameter.requires_grad = False
    return made


def made(latent_BZ: Tensor) -> Tensor:
    return detector().generator(latent_BZ)  # type: ignore[no-any-return]


def loss_of(images: Tensor, latents: Tensor) -> float:
    return float(torch.nn.functional.huber_loss(made(latents), images, delta=TINY.huber))


def test_an_inversion_ends_nearer_than_it_began() -> None:
    images = made(torch.randn(3, LATENT, generator=torch.Generator().manual_seed(1)))
    begun, ended = detector().encoder(images), detector().invert(images)
    assert loss_of(images, ended) < 0.9 * loss_of(images, begun)


def test_a_part_shown_with_company_is_inverted_as_alone() -> None:
    images = made(torch.randn(2, LATENT, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(detector().invert(images)[1], detector().invert(images[1:])[0], atol=1e-2)


def test_it_scores_in_inference_mode_too() -> None:
    with torch.inference_mode():
        maps = detector().score(torch.zeros(1, 3, 64, 96))
    assert maps.shape == (1, 8, 8)
    assert maps.isfinite().all()


def test_the_mask_is_what_minimises_the_robust_objective() -> None:
    left, price = torch.linspace(-1, 1, 41), TINY.huber
    masks = torch.linspace(-1, 1, 4001)
    costs = 0.5 * (left[:, None] - masks).square() + price * masks.abs()
    closed = left.sign() * torch.relu(left.abs() - price)
    assert torch.allclose(masks[costs.argmin(1)], closed, atol=1e-3)
    huber = torch.nn.functional.huber_loss(left, torch.zeros_like(left), delta=price, reduction="none")
    assert torch.allclose(costs.amin(1), huber, atol=1e-5)


def test_any_view_is_shown_as_a_square() -> None:
    assert squared(torch.zeros(2, 3, 64, 128), 32).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("side", [16, 100])
def test_a_side_that_can_not_be_doubled_to_is_refused(side: int) -> None:
    with pytest.raises(ValueError, match=f"{side} px; its side must be a power of two"):
        InversionRecipe(side_px=side)


def test_the_focal_loss_is_the_papers() -> None:
    odds, truth = torch.tensor([-2.0, 0.5, 3.0]), torch.tensor([0.0, 1.0, 0.0])
    right = torch.where(truth > 0, torch.sigmoid(odds), 1 - torch.sigmoid(odds))
    assert float(focal(odds, truth)) == pytest.approx(float((-((1 - right) ** 2) * right.log()).mean()))


def test_the_judge_answers_at_half_the_size() -> None:
    assert Judge(width=4)(torch.zeros(2, 9, 32, 64)).shape == (2, 16, 32)
