"""Recipes as earlier code wrote them: they are parts of bundles, whose bytes name the weights."""

from pathlib import Path

import pytest

from siad.contracts.errors import UnusableWeightsError
from siad.contracts.json_codec import JsonRecord
from siad.models.teachers.ensemble import EnsembleRecipe
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.reconstruction import ReconstructionRecipe
from siad.models.teachers.student_teacher import StudentRecipe

GOLDEN = Path(__file__).parent / "golden"
RECIPES: dict[str, JsonRecord] = {
    "memory_recipe": MemoryRecipe(input_px=416),
    "student_recipe": StudentRecipe(steps=7),
    "ensemble_recipe": EnsembleRecipe(),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_written_and_read_as_before(name: str) -> None:
    data = (GOLDEN / f"{name}.json").read_bytes()
    assert RECIPES[name].to_json() == data
    assert type(RECIPES[name]).from_json(data) == RECIPES[name]


def test_a_recipe_with_a_removed_field_is_read() -> None:
    data = (GOLDEN / "reconstruction_recipe.json").read_bytes()
    assert b"adversarial" in data
    assert ReconstructionRecipe.from_json(data) == ReconstructionRecipe()


@pytest.mark.parametrize("change", [(b'"zone": 0.3, ', b""), (b'"zone": 0.3', b'"zone": 0.3, "newer": 1')])
def test_a_memory_of_another_recipe_is_refused(change: tuple[bytes, bytes]) -> None:
    data = (GOLDEN / "memory_recipe.json").read_bytes().replace(*change)
    with pytest.raises(UnusableWeightsError, match="fit the teacher again"):
        MemoryRecipe.from_json(data)
