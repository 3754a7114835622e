"""A line that asks for no method in particular: probed, chosen, and told what was asked for."""

import pytest

from siad.core.fit_settings import FitSettings
from siad.core.methods import AUTO
from siad.models.bundle import open_bundle
from siad.models.teachers.methods import fit_teacher
from tests.synthetic import part_image

IMAGES = [part_image(seed) for seed in range(10)]
NAMES = [f"{seed:032x}" for seed in range(10)]


@pytest.mark.parametrize("count", [4, 10])
def test_auto_gives_a_teacher_that_says_it_was_chosen(count: int) -> None:
    settings = FitSettings(false_reject_budget=0.1, method=AUTO, input_px=64)
    bundle = fit_teacher(
        IMAGES[:count],
        line="l",
        product="p",
        normals=NAMES[:count],
        false_reject_budget=0.1,
        method=AUTO,
        input_px=64,
    )
    assert FitSettings.of_manifest(bundle.manifest) == settings
    metrics = dict(bundle.manifest.metrics)
    assert ("probed_image_auroc" in metrics) is (count == 10)
    good, bad = open_bundle(bundle.manifest, bundle.parts).examine([part_image(99), part_image(99, defect=True)])
    assert good.score < bad.score


def test_the_same_normals_give_the_same_choice() -> None:
    one, two = (
        fit_teacher(images, line="l", product="p", normals=names, false_reject_budget=0.1, method=AUTO, input_px=64)
        for images, names in ((IMAGES, NAMES), (IMAGES, NAMES))
    )
    assert one.manifest.weights == two.manifest.weights
