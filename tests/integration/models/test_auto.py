"""Method auto: ranked on synthetic defects, chosen, and recorded in the manifest."""

import pytest
from structlog.testing import capture_logs

from siad.contracts.fit_settings import FitSettings
from siad.contracts.methods import AUTO
from siad.models.bundle import open_bundle
from siad.models.teachers.fit import fit_teacher
from tests.synthetic import normals_of, part_image

IMAGES = [part_image(seed) for seed in range(10)]
NAMES = [f"{seed:032x}" for seed in range(10)]
SETTINGS = FitSettings(false_reject_budget=0.1, method=AUTO, input_px=64)


@pytest.mark.parametrize("count", [4, 10])
def test_auto_gives_a_teacher_that_says_it_was_chosen(count: int) -> None:
    bundle = fit_teacher(normals_of(IMAGES[:count]), SETTINGS)
    assert FitSettings.of_manifest(bundle.manifest) == SETTINGS
    metrics = dict(bundle.manifest.metrics)
    assert ("probed_image_auroc" in metrics) is (count == 10)
    good, bad = open_bundle(bundle.manifest, bundle.parts).predict([part_image(99), part_image(99, defect=True)])
    assert good.score < bad.score


def test_the_same_normals_in_any_order_give_the_same_choice() -> None:
    orders = ((IMAGES, NAMES), (IMAGES[::-1], NAMES[::-1]))
    one, two = (fit_teacher(normals_of(images, names), SETTINGS) for images, names in orders)
    assert one.manifest.weights == two.manifest.weights


def test_outliers_are_logged_of_the_line_s_own_fit_and_not_of_ranking_folds() -> None:
    images = [*IMAGES, part_image(3, defect=True)]
    names = [*NAMES, "odd"]
    with capture_logs() as logs:
        bundle = fit_teacher(normals_of(images, names), SETTINGS)
    manifest = bundle.manifest
    assert manifest.left_out == ("odd",)
    assert any(one["event"] == "way_probed" for one in logs)
    told = {one["event"]: one["normals"] for one in logs if one["log_level"] == "warning"}
    assert told == {"normals_left_out": ["odd"], "normals_doubted": list(manifest.doubted)}
    assert sum(one["event"] in told for one in logs) == 2  # of the folds there are none
