"""Bundles: what is whole and true serves, anything else is refused and says why."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from siad.contracts.errors import GoldenError, OutOfMemoryError, UnusableWeightsError
from siad.contracts.manifest import Manifest
from siad.models.bundle import GOLDEN, Bundle, golden_crops, open_bundle
from siad.models.teachers import feature_memory
from siad.models.teachers.feature_memory import BACKBONE, MEMORY, RECIPE, fit
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.tensors import pack, unpack
from tests.synthetic import normals_of


@cache
def bundle(*, zone: float = 0.0) -> Bundle:
    """Without zones, for a map that they lift everywhere does not show what the stages say."""
    images = [np.random.default_rng(seed).integers(0, 256, (64, 64, 1), dtype=np.uint8) for seed in range(3)]
    recipe = MemoryRecipe(input_px=64, places_max=30, zone=zone)
    return fit(normals_of(images), false_reject_budget=0.5, recipe=recipe)


def with_memory(change: Mapping[str, Tensor]) -> dict[str, bytes]:
    memory = unpack(bundle().parts[MEMORY])
    return {**bundle().parts, MEMORY: pack({**memory, **change})}


def test_a_whole_bundle_opens() -> None:
    assert open_bundle(bundle().manifest, bundle().parts).manifest == bundle().manifest


@pytest.mark.parametrize("name", ["bank.s2", "bank.s4", "bank.s5"])
def test_another_bank_misses_the_golden_scores(name: str) -> None:
    bank = unpack(bundle().parts[MEMORY])[name]
    with pytest.raises(GoldenError, match="miss their golden scores"):
        open_bundle(bundle().manifest, with_memory({name: bank.roll(1, dims=1)}))


def test_other_zones_miss_the_golden_scores() -> None:
    made = bundle(zone=1.0)
    memory = unpack(made.parts[MEMORY])
    other = pack({**memory, "bank.zone": memory["bank.zone"].roll(1, dims=1)})
    with pytest.raises(GoldenError, match="miss their golden scores"):
        open_bundle(made.manifest, {**made.parts, MEMORY: other})


@pytest.mark.parametrize("name", ["centre.s2", "spread.s4"])
def test_another_calibration_misses_the_golden_scores(name: str) -> None:
    value = unpack(bundle().parts[MEMORY])[name]
    with pytest.raises(GoldenError):
        open_bundle(bundle().manifest, with_memory({name: value * 1.02}))


def test_a_bank_that_gives_no_numbers_is_refused() -> None:
    bank = unpack(bundle().parts[MEMORY])["bank.s2"]
    with pytest.raises(GoldenError):
        open_bundle(bundle().manifest, with_memory({"bank.s2": torch.full_like(bank, torch.nan)}))


def test_rounding_of_another_processor_passes() -> None:
    memory, generator = unpack(bundle().parts[MEMORY]), torch.Generator().manual_seed(0)
    banks = {name: value.float() for name, value in memory.items() if name.startswith("bank")}
    nudged = {name: bank + 1e-6 * torch.randn(bank.shape, generator=generator) for name, bank in banks.items()}
    open_bundle(bundle().manifest, with_memory(nudged))


def test_other_inputs_than_the_golden_ones_are_noticed() -> None:
    golden = unpack(bundle().parts[GOLDEN])
    golden["crops"] = 255 - golden["crops"]
    with pytest.raises(GoldenError):
        open_bundle(bundle().manifest, {**bundle().parts, GOLDEN: pack(golden)})


@pytest.mark.parametrize(("method", "why"), [("magic", "no runner of this version knows"), ("draem", "was removed")])
def test_a_method_that_is_not_there_is_named_with_the_way_out(method: str, why: str) -> None:
    with pytest.raises(UnusableWeightsError, match=f"'{method}', which {why}; fit another teacher.*feature-memory"):
        open_bundle(replace(bundle().manifest, method=method), bundle().parts)


@pytest.mark.parametrize("field", ["decoder_version", "preprocess_version"])
def test_weights_of_another_preprocessing_are_refused(field: str) -> None:
    with pytest.raises(UnusableWeightsError, match="refit"):
        open_bundle(replace(bundle().manifest, **{field: 99}), bundle().parts)  # type: ignore[arg-type]


def test_a_missing_part_is_named() -> None:
    parts = {name: data for name, data in bundle().parts.items() if name != MEMORY}
    with pytest.raises(UnusableWeightsError, match=MEMORY):
        open_bundle(bundle().manifest, parts)


def test_a_pickle_is_not_opened() -> None:
    with pytest.raises(UnusableWeightsError, match="not safetensors"):
        open_bundle(bundle().manifest, {**bundle().parts, MEMORY: b"\x80\x04\x95" + b"\0" * 100})


@pytest.mark.parametrize(
    "parts",
    [
        {RECIPE: b"no JSON"},
        {RECIPE: b"[1]"},
        {MEMORY: pack({"bank.s2": torch.zeros(3, 2)})},
        {BACKBONE: pack({"stem": torch.zeros(1)})},
        {GOLDEN: b"\0" * 20},
        {GOLDEN: pack({"crops": torch.zeros(2)})},
    ],
    ids=lambda parts: f"{next(iter(parts))} of {len(next(iter(parts.values())))} bytes",
)
def test_parts_that_do_not_fit_make_weights_unusable(parts: dict[str, bytes]) -> None:
    with pytest.raises(UnusableWeightsError, match="fit them again"):
        open_bundle(bundle().manifest, {**bundle().parts, **parts})


def test_a_bank_of_other_features_makes_weights_unusable() -> None:
    with pytest.raises(UnusableWeightsError, match="fit them again"):
        open_bundle(bundle().manifest, with_memory({"bank.s2": torch.ones(3, 2)}))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_weights_that_find_no_memory_may_be_good(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def load(manifest: Manifest, parts: Mapping[str, bytes]) -> None:
        raise error

    monkeypatch.setattr(feature_memory, "load", load)
    with pytest.raises(OutOfMemoryError, match="loading weights"):
        open_bundle(bundle().manifest, bundle().parts)


def test_equal_tensors_give_equal_bytes() -> None:
    one, two = torch.arange(3.0), torch.arange(4)
    assert pack({"a": one, "b": two}) == pack({"b": two.clone(), "a": one.clone()})


def test_golden_inputs_are_small_and_uint8() -> None:
    for image in (np.zeros((900, 30, 3), np.uint8), np.full((64, 64, 1), 65535, np.uint16)):
        for crop in golden_crops(image):
            assert crop.shape == (64, 64, 3)
            assert crop.dtype == np.uint8
    assert len(bundle().parts[GOLDEN]) < 50_000
