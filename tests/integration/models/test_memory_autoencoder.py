"""Memory autoencoder: shares of slots, reconstruction and residual."""

import json
import math
from dataclasses import replace

import pytest
import torch

from siad.models.teachers.memory_autoencoder import TEMPERATURE, MemoryAutoencoder, fit, slot_weights
from siad.models.teachers.reconstruction import ReconstructionRecipe, ResidualDetector, reconstruction_loss
from tests.synthetic import normals_of

TINY = ReconstructionRecipe(input_px=64, width=4, latent=8, slots=6)


def slow_slot_weights(place: list[float], slots: list[list[float]]) -> list[float]:
    """Gong's equations 4, 5 and 7 for one place, number by number."""
    cosines = [
        sum(a * b for a, b in zip(place, slot, strict=True)) / (math.hypot(*place) * math.hypot(*slot))
        for slot in slots
    ]
    powers = [math.exp(cosine / TEMPERATURE) for cosine in cosines]
    weights = [power / sum(powers) for power in powers]
    kept = [max(weight - 1 / len(slots), 0) * weight / abs(weight - 1 / len(slots)) for weight in weights]
    return [one / sum(kept) for one in kept]


def test_a_place_is_slot_weightsed_by_the_papers_equations() -> None:
    generator = torch.Generator().manual_seed(0)
    places, slots = torch.randn(5, 4, generator=generator), torch.randn(7, 4, generator=generator)
    for place, found in zip(places.tolist(), slot_weights(places, slots), strict=True):
        assert found.tolist() == pytest.approx(slow_slot_weights(place, slots.tolist()), abs=1e-5)


def test_few_slots_are_used_and_their_shares_make_one() -> None:
    shares = slot_weights(torch.randn(40, 16), torch.randn(100, 16))
    assert torch.allclose(shares.sum(1), torch.ones(40), atol=1e-5)
    assert (shares > 0).sum(1).max() < 60


def test_a_memory_gives_back_only_what_lies_between_its_slots() -> None:
    network = MemoryAutoencoder(TINY).eval()
    with torch.inference_mode():
        drawn = [network(image)[0] for image in (torch.zeros(1, 3, 32, 32), 50 * torch.randn(1, 3, 32, 32))]
    assert all(one.abs().max() < 10 for one in drawn)


@torch.inference_mode()
def test_the_image_comes_back_at_its_size() -> None:
    again, besides = MemoryAutoencoder(TINY)(torch.zeros(2, 3, 32, 96))
    assert again.shape == (2, 3, 32, 96)
    assert besides.isfinite()


class Grey(torch.nn.Module):
    """Reconstructs every image as grey."""

    def forward(self, images_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros_like(images_BCHW), torch.zeros(())


def test_what_can_not_be_drawn_again_is_left_over() -> None:
    image = torch.zeros(1, 3, 32, 32)
    image[..., 8:16, 16:24] = 0.8
    map_hw = ResidualDetector(Grey()).score(image)[0]
    assert map_hw.shape == (8, 8)
    assert map_hw[2:4, 4:6].min() > 0.8**2
    assert map_hw[7, 0] < 1e-3


def test_an_image_drawn_perfectly_costs_nothing() -> None:
    image = torch.rand(1, 3, 32, 32)
    assert float(reconstruction_loss(image, image)) == pytest.approx(0, abs=1e-3)
    assert float(reconstruction_loss(image, 1 - image)) > 0.5


def test_a_memory_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="0 slots"):
        fit(normals_of([]), false_reject_budget=0.1, recipe=replace(TINY, slots=0))


def test_a_recipe_of_an_earlier_version_is_read() -> None:
    data = json.dumps({**json.loads(TINY.to_json()), "adversarial": 0.0}).encode()
    assert ReconstructionRecipe.from_json(data) == TINY
