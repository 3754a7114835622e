"""Bundles: what is whole and true serves, anything else is refused and says why."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from siad.contracts.errors import CorruptError
from siad.models.bundle import (
    GOLDEN,
    Bundle,
    GoldenError,
    UnusableWeightsError,
    golden_crops,
    open_bundle,
    pack,
    unpack,
)
from siad.models.teachers.feature_memory import MEMORY, fit
from siad.models.teachers.memory_recipe import MemoryRecipe


@cache
def bundle(*, zone: float = 0.0) -> Bundle:
    """Without zones, for a map that they lift everywhere does not show what the stages say."""
    images = [np.random.default_rng(seed).integers(0, 256, (64, 64, 1), dtype=np.uint8) for seed in range(3)]
    recipe = MemoryRecipe(input_px=64, places_max=30, zone=zone)
    return fit(images, line="a", product="b", normals=["a", "b", "c"], false_reject_budget=0.5, recipe=recipe)


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


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(UnusableWeightsError, match=r"'magic'; this code knows feature-memory"):
        open_bundle(replace(bundle().manifest, method="magic"), bundle().parts)


@pytest.mark.parametrize("field", ["decoder_version", "preprocess_version"])
def test_weights_of_another_preprocessing_are_refused(field: str) -> None:
    with pytest.raises(UnusableWeightsError, match="refit"):
        open_bundle(replace(bundle().manifest, **{field: 99}), bundle().parts)  # type: ignore[arg-type]


def test_a_missing_part_is_named() -> None:
    parts = {name: data for name, data in bundle().parts.items() if name != MEMORY}
    with pytest.raises(CorruptError, match=MEMORY):
        open_bundle(bundle().manifest, parts)


def test_a_pickle_is_not_opened() -> None:
    with pytest.raises(CorruptError, match="not safetensors"):
        open_bundle(bundle().manifest, {**bundle().parts, MEMORY: b"\x80\x04\x95" + b"\0" * 100})


def test_equal_tensors_give_equal_bytes() -> None:
    one, two = torch.arange(3.0), torch.arange(4)
    assert pack({"a": one, "b": two}) == pack({"b": two.clone(), "a": one.clone()})


def test_golden_inputs_are_small_and_uint8() -> None:
    for image in (np.zeros((900, 30, 3), np.uint8), np.full((64, 64, 1), 65535, np.uint16)):
        for crop in golden_crops(image):
            assert crop.shape == (64, 64, 3)
            assert crop.dtype == np.uint8
    assert len(bundle().parts[GOLDEN]) < 50_000
