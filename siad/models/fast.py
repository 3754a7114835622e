"""Fast segmenter: a small memory and a decoder for a slower map.

The map of a feature memory, or of a residual segmenter on one, takes a whole backbone at full size and four banks. The
fast form has the backbone's first five stages at two thirds of the side, two small banks without spans or zones, and
the decoder of a residual segmenter, which learns the difference to the slow map
(``siad.models.training.distillation``). It is a ``ResidualSegmenter`` in all but its training and its name. Untrained
it is its small memory, so what it never saw in training stays far from its normals, where a network without a memory
may overlook it.

docs/adr/0040-fast-segmenter.md has the measurements.
"""

from dataclasses import replace
from typing import Final

from siad.contracts.methods import FAST
from siad.models.bundle import Bundle
from siad.models.residual import load
from siad.models.teachers.feature_memory import RECIPE, fit
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.normals import Normals

__all__ = ["METHOD", "fit_small_memory", "load"]

METHOD: Final = FAST
STAGES: Final = 2  # of the slow memory's, finest first; each further one costs a fifth of the time
PLACES: Final = 1_000  # patch features of the fine bank at most


def fit_small_memory(normals: Normals, slow: Bundle, *, input_px: int, budget: float) -> Bundle:
    """Fit the memory of a fast segmenter.

    Args:
        normals: at least two, of those that the slow memory knows.
        slow: weights with a feature memory, whose recipe is taken over where nothing else is fixed.
        input_px: side of the fast input.
        budget: share of good parts that may be rejected, in (0, 1); its threshold is only the decoder's zero.

    Raises:
        ValueError: fewer than two normals.
    """
    return fit(normals, false_reject_budget=budget, recipe=small_recipe(slow), input_px=input_px)


def small_recipe(slow: Bundle) -> MemoryRecipe:
    """Derive the recipe of the small memory from the slow one's."""
    recipe = MemoryRecipe.from_json(slow.parts[RECIPE])
    return replace(
        recipe,
        stages=recipe.stages[:STAGES],
        weights=recipe.weights[:STAGES],
        places_max=min(PLACES, recipe.places_max),
        spans_stages=False,
        zone=0.0,
    )
