"""Estimates on synthetic defects, of a detector that finds all and of one that finds none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from siad.models.predictor import Predictor
from siad.models.runner.torch import TorchRunner
from siad.models.teachers.normals import Normals
from siad.models.teachers.synthetic_estimate import Fit, SyntheticEstimate, estimate
from siad.vision.synthetic_defects import KINDS
from tests.manifests import make_manifest
from tests.synthetic import normals_of

MANIFEST = make_manifest(input_px=96, image_threshold=0.3, pixel_threshold=0.3, held_out_scores=(0.0, 0.1))


class Difference:
    """Scores a position by its distance from the noise-free part."""

    def __init__(self, usual_CHW: Tensor) -> None:
        self._usual = usual_CHW

    def score(self, images_BCHW: Tensor) -> Tensor:
        apart = (images_BCHW - self._usual).abs().amax(1, keepdim=True)
        return functional.avg_pool2d(apart, 4)[:, 0]


class Useless:
    """Scores by the image's first pixel."""

    def score(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW[:, 0, :1, :1].expand(-1, 24, 24).contiguous()


def normals(count: int = 5, *, grain: float = 2.0) -> Normals:
    """Chequers, each with a grain of its own so that no two are equal."""
    rng = np.random.default_rng(0)
    chequers = np.kron(np.indices((6, 6)).sum(0) % 2, np.ones((16, 16))) * 60 + 90
    noisy = [chequers + rng.normal(0, grain, (96, 96)) for _ in range(count)]
    return normals_of([np.clip(pixels, 0, 255).astype(np.uint8)[..., None] for pixels in noisy])


def usual() -> Tensor:
    chequers = np.kron(np.indices((6, 6)).sum(0) % 2, np.ones((16, 16))) * 60 + 90
    return torch.tensor((chequers - 127) / 128, dtype=torch.float32)


def fit_difference(_: Normals) -> Predictor:
    return Predictor(MANIFEST, TorchRunner(Difference(usual())))


def test_a_perfect_detector_gets_high_figures() -> None:
    found = estimate(normals(grain=0.5), fit_difference)  # fainter than any defect
    assert found.image_auroc > 0.98
    assert found.pixel_ap > 0.6
    assert found.false_rejects == 0.0
    assert found.merit > 0.8


def test_a_useless_detector_gets_low_figures() -> None:
    found = estimate(normals(), lambda _: Predictor(MANIFEST, TorchRunner(Useless())))
    assert 0.3 < found.image_auroc < 0.7
    assert found.pixel_ap < 0.1


def test_no_normal_is_scored_by_a_teacher_that_was_fitted_on_it() -> None:
    fitted_on: list[set[str]] = []

    def fit(some: Normals) -> Predictor:
        fitted_on.append(set(some.capture_ids))
        return fit_difference(some)

    every = normals(7)
    estimate(every, fit, folds=3)
    held_out = [name for names in fitted_on for name in set(every.capture_ids) - names]
    assert len(fitted_on) == 3
    assert sorted(held_out) == list(every.capture_ids)


def without_clock(found: SyntheticEstimate) -> SyntheticEstimate:
    return replace(found, fit_s=0.0, images_per_s=0.0)


def test_one_seed_gives_one_estimate_and_another_other_defects() -> None:
    one, same, other = (estimate(normals(), fit_difference, seed=seed) for seed in (1, 1, 2))
    assert without_clock(one) == without_clock(same)
    assert without_clock(one) != without_clock(other)


def test_scores_of_folds_with_other_units_can_be_compared() -> None:
    gains = iter((1.0, 100.0, 0.01))

    def fit_in_another_unit(_: Normals) -> Predictor:
        gain = next(gains)
        scaled = replace(MANIFEST, image_threshold=0.3 * gain, held_out_scores=(0.0, 0.1 * gain))

        class Scaled(Difference):
            def score(self, images_BCHW: Tensor) -> Tensor:
                return gain * super().score(images_BCHW)

        return Predictor(scaled, TorchRunner(Scaled(usual())))

    assert estimate(normals(), fit_in_another_unit).image_auroc == pytest.approx(
        estimate(normals(), fit_difference).image_auroc, abs=1e-6
    )


def test_recall_is_given_by_kind() -> None:
    found = estimate(normals(), fit_difference)
    assert [kind for kind, _ in found.recall_by_kind] == list(KINDS)
    assert np.mean([share for _, share in found.recall_by_kind]) == pytest.approx(found.recall)


@pytest.mark.parametrize("fit", [fit_difference])
def test_two_normals_are_too_few(fit: Fit) -> None:
    with pytest.raises(ValueError, match="2 normals; an estimate needs 3"):
        estimate(normals(2), fit)


def test_clear_and_other_defects_are_counted_apart() -> None:
    found = estimate(normals(), fit_difference)
    assert found.clear.defects + found.faint.defects == len(KINDS) * len(normals())
    assert found.clear.share > found.faint.share
    assert found.clear.found + found.faint.found == round(found.recall * len(KINDS) * len(normals()))
