"""Probing: a detector that sees defects against one that is blind, and what is shown to whom."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from siad.models.predictor import Predictor
from siad.models.probing import Fit, ProbeEstimate, estimate
from siad.models.runner.torch import TorchRunner
from siad.vision.images import Image
from siad.vision.synthetic_defects import KINDS
from tests.manifests import make_manifest

MANIFEST = make_manifest(input_px=96, image_threshold=0.3, pixel_threshold=0.3, held_out_scores=(0.0, 0.1))


class Difference:
    """Scores a place by its distance from what every part looks like there: it sees all."""

    def __init__(self, usual_CHW: Tensor) -> None:
        self._usual = usual_CHW

    def score(self, images_BCHW: Tensor) -> Tensor:
        apart = (images_BCHW - self._usual).abs().amax(1, keepdim=True)
        return functional.avg_pool2d(apart, 4)[:, 0]


class Blind:
    """Scores by the image's first pixel."""

    def score(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW[:, 0, :1, :1].expand(-1, 24, 24).contiguous()


def normals(count: int = 5, *, grain: float = 2.0) -> list[Image]:
    """Chequers, each with a grain of its own so that no two are equal."""
    rng = np.random.default_rng(0)
    chequers = np.kron(np.indices((6, 6)).sum(0) % 2, np.ones((16, 16))) * 60 + 90
    return [
        np.clip(chequers + rng.normal(0, grain, (96, 96)), 0, 255).astype(np.uint8)[..., None] for _ in range(count)
    ]


def usual() -> Tensor:
    chequers = np.kron(np.indices((6, 6)).sum(0) % 2, np.ones((16, 16))) * 60 + 90
    return torch.tensor((chequers - 127) / 128, dtype=torch.float32)


def fit_difference(_: Sequence[Image], __: Sequence[str]) -> Predictor:
    return Predictor(MANIFEST, TorchRunner(Difference(usual())))


def test_who_sees_everything_gets_nearly_everything() -> None:
    found = estimate(normals(grain=0.5), fit_difference)  # fainter than any probe
    assert found.image_auroc > 0.98
    assert found.pixel_ap > 0.6
    assert found.false_rejects == 0.0
    assert found.merit > 0.8


def test_who_sees_nothing_gets_next_to_nothing() -> None:
    found = estimate(normals(), lambda *_: Predictor(MANIFEST, TorchRunner(Blind())))
    assert 0.3 < found.image_auroc < 0.7
    assert found.pixel_ap < 0.1


def test_no_normal_is_probed_by_a_teacher_that_was_fitted_on_it() -> None:
    images = normals(7)
    shown: list[list[str]] = []

    def fit(given: Sequence[Image], names: Sequence[str]) -> Predictor:
        assert all(any(image is one for one in images) for image in given)
        shown.append(list(names))
        return fit_difference(given, names)

    estimate(images, fit, folds=3)
    everybody = {f"{index:06d}" for index in range(7)}
    held_out = [name for names in shown for name in everybody - set(names)]
    assert len(shown) == 3
    assert sorted(held_out) == sorted(everybody)


def without_clock(found: ProbeEstimate) -> ProbeEstimate:
    return replace(found, fit_s=0.0, images_per_s=0.0)


def test_one_seed_gives_one_estimate_and_another_other_probes() -> None:
    one, same, other = (estimate(normals(), fit_difference, seed=seed) for seed in (1, 1, 2))
    assert without_clock(one) == without_clock(same)
    assert without_clock(one) != without_clock(other)


def test_scores_of_folds_with_other_units_can_be_compared() -> None:
    gains = iter((1.0, 100.0, 0.01))

    def fit_in_another_unit(_: Sequence[Image], __: Sequence[str]) -> Predictor:
        gain = next(gains)
        scaled = replace(MANIFEST, image_threshold=0.3 * gain, held_out_scores=(0.0, 0.1 * gain))

        class Scaled(Difference):
            def score(self, images_BCHW: Tensor) -> Tensor:
                return gain * super().score(images_BCHW)

        return Predictor(scaled, TorchRunner(Scaled(usual())))

    assert estimate(normals(), fit_in_another_unit).image_auroc == pytest.approx(
        estimate(normals(), fit_difference).image_auroc, abs=1e-6
    )


def test_recall_is_told_by_kind() -> None:
    found = estimate(normals(), fit_difference)
    assert [kind for kind, _ in found.recall_by_kind] == list(KINDS)
    assert np.mean([share for _, share in found.recall_by_kind]) == pytest.approx(found.recall)


@pytest.mark.parametrize("fit", [fit_difference])
def test_two_normals_are_too_few(fit: Fit) -> None:
    with pytest.raises(ValueError, match=r"needs 3 normals, .*; there are 2"):
        estimate(normals(2), fit)
