"""Drawing a part again: what is remembered, what is left over, what a network gives."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from siad.models.bundle import open_bundle
from siad.models.teachers.autoencoder import Autoencoder
from siad.models.teachers.critic import Adversary
from siad.models.teachers.learning import seeded
from siad.models.teachers.memory_autoencoder import TEMPERATURE, MemoryAutoencoder, address, fit
from siad.models.teachers.reconstruction import NETWORK, ReconstructionRecipe, ResidualDetector, difference
from siad.models.tensors import unpack

TINY = ReconstructionRecipe(input_px=64, width=4, latent=8, slots=6)


def slow_address(place: list[float], slots: list[list[float]]) -> list[float]:
    """Gong's equations 4, 5 and 7 for one place, number by number."""
    cosines = [
        sum(a * b for a, b in zip(place, slot, strict=True)) / (math.hypot(*place) * math.hypot(*slot))
        for slot in slots
    ]
    powers = [math.exp(cosine / TEMPERATURE) for cosine in cosines]
    weights = [power / sum(powers) for power in powers]
    kept = [max(weight - 1 / len(slots), 0) * weight / abs(weight - 1 / len(slots)) for weight in weights]
    return [one / sum(kept) for one in kept]


def test_a_place_is_addressed_by_the_papers_equations() -> None:
    generator = torch.Generator().manual_seed(0)
    places, slots = torch.randn(5, 4, generator=generator), torch.randn(7, 4, generator=generator)
    for place, found in zip(places.tolist(), address(places, slots), strict=True):
        assert found.tolist() == pytest.approx(slow_address(place, slots.tolist()), abs=1e-5)


def test_few_slots_are_used_and_their_shares_make_one() -> None:
    shares = address(torch.randn(40, 16), torch.randn(100, 16))
    assert torch.allclose(shares.sum(1), torch.ones(40), atol=1e-5)
    assert (shares > 0).sum(1).max() < 60


def test_a_memory_gives_back_only_what_lies_between_its_slots() -> None:
    network = MemoryAutoencoder(TINY).eval()
    with torch.inference_mode():
        drawn = [network(image)[0] for image in (torch.zeros(1, 3, 32, 32), 50 * torch.randn(1, 3, 32, 32))]
    assert all(one.abs().max() < 10 for one in drawn)


@pytest.mark.parametrize("network", [Autoencoder(TINY), MemoryAutoencoder(TINY)])
@torch.inference_mode()
def test_the_image_comes_back_at_its_size(network: Autoencoder | MemoryAutoencoder) -> None:
    again, besides = network(torch.zeros(2, 3, 32, 96))
    assert again.shape == (2, 3, 32, 96)
    assert besides.isfinite()


class Blind(torch.nn.Module):
    """Draws grey, whatever it sees."""

    def forward(self, images_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros_like(images_BCHW), torch.zeros(())


def test_what_can_not_be_drawn_again_is_left_over() -> None:
    image = torch.zeros(1, 3, 32, 32)
    image[..., 8:16, 16:24] = 0.8
    map_hw = ResidualDetector(Blind()).score(image)[0]
    assert map_hw.shape == (8, 8)
    assert map_hw[2:4, 4:6].min() > 0.8**2
    assert map_hw[7, 0] < 1e-3


def test_an_image_drawn_perfectly_costs_nothing() -> None:
    image = torch.rand(1, 3, 32, 32)
    assert float(difference(image, image)) == pytest.approx(0, abs=1e-3)
    assert float(difference(image, 1 - image)) > 0.5


def test_a_memory_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="0 slots"):
        fit([], line="a", product="b", normals=[], false_reject_budget=0.1, recipe=ReconstructionRecipe())


def test_a_critic_learns_to_tell_drawn_from_true_and_blames_the_network() -> None:
    with seeded(0):
        adversary = Adversary(width=8, device=torch.device("cpu"))
        true, flat = torch.randn(4, 3, 32, 32), torch.zeros(4, 3, 32, 32, requires_grad=True)
        losses = [adversary.teach(true, flat) for _ in range(200)]
    assert losses[-1] < 0.2 * losses[0]
    blame = adversary.blame(flat)
    assert float(blame.detach()) > 0.5  # drawn patches are taken for drawn
    blame.backward()  # type: ignore[no-untyped-call]
    assert flat.grad is not None
    assert bool(flat.grad.any())


def test_teaching_the_critic_leaves_the_network_alone() -> None:
    adversary = Adversary(width=4, device=torch.device("cpu"))
    drawn = torch.zeros(2, 3, 32, 32, requires_grad=True)
    adversary.teach(torch.randn(2, 3, 32, 32), drawn)
    assert drawn.grad is None


def test_a_memory_with_a_critic_is_fitted_and_opened_like_one_without() -> None:
    images = [np.random.default_rng(seed).integers(90, 160, (64, 64, 1)).astype(np.uint8) for seed in range(6)]
    names = [f"{index:032x}" for index in range(6)]
    weights = []
    for share in (0.0, 0.1):
        recipe = replace(TINY, steps=3, adversarial=share)
        made = fit(images, line="l", product="p", normals=names, false_reject_budget=0.2, recipe=recipe)
        assert open_bundle(made.manifest, made.parts).maps(images[:1])[0].shape == (64, 64)
        weights.append(unpack(made.parts[NETWORK]))
    assert weights[0].keys() == weights[1].keys()  # the critic stays behind
    assert not all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
