"""Figures of labelled images: what counts for what, and what a set can't say."""

import numpy as np
import pytest

from siad.apps.lab.evaluate.figures import OwnThreshold, figures_by_kind, figures_of, mean_of, spread_of
from siad.apps.lab.evaluate.scored import MappedImage, shrink
from tests.unit.apps.lab.scored import scored_set

OWN = OwnThreshold(image_threshold=1.0, budget=0.1)


def answer(kind: str, score: float, *, masked: bool = True, size: tuple[int, int] = (20, 20)) -> MappedImage:
    mask_HW = np.zeros(size, np.uint8)
    if kind != "good":
        mask_HW[4:8, 4:10] = 255
    map_HW = np.full(size, 0.1, np.float32)
    map_HW[4:8, 4:10] = score
    return MappedImage(name=f"{kind}/{score}", kind=kind, map_HW=map_HW, mask_HW=mask_HW if masked else None)


def test_a_detector_that_tells_all_apart_has_full_marks() -> None:
    found = figures_of(
        scored_set([answer("good", 0.2), answer("good", 0.3), answer("crack", 2.0), answer("stain", 3.0)]), OWN
    )
    assert (found.image_auroc, found.image_ap, found.image_f1max) == (1.0, 1.0, 1.0)
    assert (found.pixel_iou, found.false_rejects, found.misses) == (1.0, 0.0, 0.0)


def test_errors_are_counted_at_the_detector_s_own_threshold() -> None:
    answers = [answer("good", 0.2), answer("good", 1.0), answer("crack", 0.9), answer("crack", 2.0)]
    found = figures_of(scored_set(answers), OWN)
    assert (found.false_rejects, found.misses) == (0.5, 0.5)
    assert found.misses_at_quantile == 0.5  # 90% of the good ones are under 0.92
    assert found.image_auroc == 0.75


def test_without_masks_the_pixel_figures_are_none() -> None:
    found = figures_of(scored_set([answer("good", 0.2), answer("crack", 2.0, masked=False)]), OWN)
    assert found.image_auroc == 1.0
    assert (found.pixel_auroc, found.pixel_ap, found.aupro_30, found.pixel_iou) == (None,) * 4


def test_a_defective_image_without_a_mask_counts_as_an_image_alone() -> None:
    with_it = [answer("good", 0.2), answer("crack", 2.0), answer("crack", 0.05, masked=False)]
    assert figures_of(scored_set(with_it), OWN).pixel_ap == figures_of(scored_set(with_it[:2]), OWN).pixel_ap
    assert figures_of(scored_set(with_it), OWN).image_auroc == 0.5


def test_without_good_images_there_is_no_image_auroc() -> None:
    found = figures_of(scored_set([answer("crack", 2.0)]), OWN)
    assert (found.image_auroc, found.false_rejects, found.misses) == (None, None, 0.0)
    assert found.pixel_auroc == 1.0


def test_each_class_stands_against_all_good_images() -> None:
    answers = [answer("good", 0.5), answer("crack", 2.0), answer("stain", 0.3)]
    scored = scored_set(answers)
    by_kind = figures_by_kind(scored, OWN, overall=figures_of(scored, OWN))
    assert {kind: figures.image_auroc for kind, figures in by_kind.items()} == {"crack": 1.0, "stain": 0.0}


def test_the_mean_and_spread_over_seeds() -> None:
    runs: list[dict[str, float | None]] = [{"a": 1.0, "b": None}, {"a": 3.0, "b": 1.0}]
    assert mean_of(runs) == {"a": 2.0, "b": None}
    assert spread_of(runs) == {"a": pytest.approx(2**0.5), "b": None}
    assert spread_of(runs[:1]) == {"a": None, "b": None}


def test_a_defect_is_never_shrunk_to_nothing() -> None:
    tiny = answer("crack", 2.0, size=(400, 400))
    assert tiny.mask_HW is not None
    small = shrink(tiny, side_px=32)
    assert small.map_HW.shape == (32, 32)
    assert small.mask_HW is not None
    assert small.mask_HW.any()
    assert shrink(small, side_px=64) is small


def test_figures_of_a_lone_class_are_the_overall_ones() -> None:
    scored = scored_set([answer("good", 0.5), answer("crack", 2.0)])
    overall = figures_of(scored, OWN)
    assert figures_by_kind(scored, OWN, overall=overall)["crack"] is overall


def test_the_iou_of_the_best_cut_is_found_among_all_cuts() -> None:
    scored = scored_set([answer("good", 0.5), answer("crack", 0.3), answer("crack", 2.0)])
    found = figures_of(scored, OWN)
    assert found.pixel_iou == pytest.approx(1 / 2)  # the own threshold marks one of the two
    assert found.pixel_iou_best == pytest.approx(48 / 72)  # both, and the good image's 24 pixels
