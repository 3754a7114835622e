"""At what size a memory is shown its images, by their own size alone."""

import pytest

from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.tiling import is_tiled
from siad.vision.preprocess import input_size


@pytest.mark.parametrize(
    ("size_px", "input_px"),
    [
        ((900, 900), 384),  # shrunk 2.4 times
        ((1152, 1152), 384),
        ((1500, 1500), 512),  # 500, in whole strides
        ((1650, 4336), 896),
        ((1696, 4096), 896),
        ((6000, 6000), 960),
        ((64, 64), 384),
    ],
)
def test_large_images_are_shown_larger(size_px: tuple[int, int], input_px: int) -> None:
    assert MemoryRecipe().shown_at([size_px]).input_px == input_px


def test_no_rounding_cuts_what_was_asked_for_at_1024_px() -> None:
    for aspect in (1, 1.5, 2.63, 4):
        assert not is_tiled(*input_size(1000, round(1000 * aspect), input_px=1024))
    assert is_tiled(*input_size(1000, 1000, input_px=1152))


def test_one_large_image_among_small_ones_changes_nothing() -> None:
    assert MemoryRecipe().shown_at([(300, 300), (300, 300), (5000, 5000)]) == MemoryRecipe()


@pytest.mark.parametrize("aspect", [1, 2.63, 7, 20])
def test_what_is_shown_by_default_is_never_cut_into_tiles(aspect: float) -> None:
    size_px = (4000, round(4000 * aspect))
    height, width = input_size(*size_px, input_px=MemoryRecipe().shown_at([size_px]).input_px)
    assert not is_tiled(height, width)


def test_stages_of_many_normals_need_no_spans() -> None:
    recipe = MemoryRecipe(spanning_max=20)
    assert [recipe.for_normals(count).spans_stages for count in (2, 20, 21, 900)] == [True, True, False, False]
    assert not MemoryRecipe(spans_stages=False).for_normals(2).spans_stages
