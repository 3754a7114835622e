"""What is told after an evaluation: rows to look at, with what views differ on, and the doubts of every draw."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from siad.apps.lab.evaluate.folder import FolderError, LabelledSample
from siad.apps.lab.evaluate.rows import worst_rows
from siad.apps.lab.evaluate.run import (
    EvaluationRun,
    EvaluationSettings,
    Progress,
    ScoredSamples,
    report_of,
    score_samples,
    sum_up,
)
from siad.apps.lab.evaluate.scored import ScoredImage, ScoredSet
from siad.apps.lab.sheet_rows import SheetRow
from siad.contracts.normals_profile import MisfitReason, OddNormal, SizeRule
from siad.models.predictor import Predictor
from siad.models.runner.torch import TorchRunner
from siad.vision.plausibility import profile_normals
from tests.manifests import make_manifest

MANIFEST = make_manifest(image_threshold=0.3, pixel_threshold=0.3, held_out_scores=(0.1, 0.2))


class Brightness:
    """Scores a place by its mean."""

    def score(self, images_BCHW: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(images_BCHW.mean(1, keepdim=True), 8)[:, 0]


class Halves(Brightness):
    """Two views: the brightness, and its reverse."""

    def views(self, images_BCHW: Tensor) -> Tensor:
        bright_Bhw = super().score(images_BCHW)
        return torch.stack((bright_Bhw, -0.5 * bright_Bhw))

    def score(self, images_BCHW: Tensor) -> Tensor:
        return self.views(images_BCHW).mean(0)


@pytest.fixture
def sample(tmp_path: Path) -> LabelledSample:
    """An image with a bright square in the middle."""
    image = np.full((64, 64), 127, np.uint8)
    image[16:48, 16:48] = 255
    cv2.imwrite(str(tmp_path / "1.png"), image)
    return LabelledSample(path=tmp_path / "1.png", kind="square")


def settings_of(pixels_px: int | None = None, *, sizes: SizeRule = SizeRule.NORMALS) -> EvaluationSettings:
    return EvaluationSettings(method="feature-memory", budget=0.1, seeds=1, pixels_px=pixels_px, sizes=sizes)


def row_of(detector: Brightness, sample: LabelledSample, *, pixels_px: int | None) -> SheetRow:
    predictor = Predictor(MANIFEST, TorchRunner(detector))
    scored = score_samples(predictor, [sample], fit_s=1.0, settings=settings_of(pixels_px))
    [row] = worst_rows(scored, [sample])
    return row


@pytest.mark.parametrize("pixels_px", [None, 16])
def test_where_views_differ_is_shown_at_the_size_of_the_map(sample: LabelledSample, pixels_px: int | None) -> None:
    row = row_of(Halves(), sample, pixels_px=pixels_px)
    assert row.ignored_HW is not None
    assert row.ignored_HW.shape == row.map_HW.shape
    assert row.ignored_HW.mean() == pytest.approx(0.25, abs=0.12)
    middle = row.ignored_HW.shape[0] // 2
    assert row.ignored_HW[middle, middle]
    assert not row.mask_HW.any()  # what the line is told is the mean's


def test_one_view_has_nothing_to_ignore(sample: LabelledSample) -> None:
    assert row_of(Brightness(), sample, pixels_px=None).ignored_HW is None


def run_of(seed: int, *, left_out: tuple[str, ...] = (), doubted: tuple[str, ...] = ()) -> EvaluationRun:
    """A draw whose teacher left out or doubted these."""
    predictor = Predictor(replace(MANIFEST, left_out=left_out, doubted=doubted), TorchRunner(Brightness()))
    scored = ScoredSet(images=[ScoredImage(name="good/1", kind="good", score=1.0)])
    samples = ScoredSamples(scored=scored, predictor=predictor, fit_s=1.0, images_per_s=1.0, budget=0.05)
    return sum_up(samples, shots=10, seed=seed)


def test_doubts_of_every_draw_are_told_and_what_is_alike_once() -> None:
    odd, clear, doubtful = run_of(0, left_out=("a.png",)), run_of(1), run_of(3, doubted=("b.png",))
    told = report_of([odd, clear, run_of(2, left_out=("a.png",)), doubtful])["doubts"]
    assert [one.split("; ")[0] for one in told] == ["seeds 0, 2: left out as outliers: a.png", "seed 3: suspect: b.png"]


@pytest.mark.parametrize(("sizes", "is_told"), [(SizeRule.NORMALS, True), (SizeRule.ANY, False)])
def test_normals_of_another_size_are_told_by_file_where_sizes_matter(sizes: SizeRule, is_told: bool) -> None:
    odd = OddNormal(
        capture_id="7.png", own="64x48 px, grey", others="the other 9: 9x9 px, grey", differs_in=(MisfitReason.SIZE,)
    )
    run = run_of(0, left_out=("a.png",))
    manifest = replace(run.scored.predictor.manifest, odd_normals=(odd,))
    scored = replace(run.scored, predictor=Predictor(manifest, TorchRunner(Brightness())), sizes=sizes)
    report = report_of([replace(run, scored=scored)])
    [told] = report["doubts"]
    assert told == report["by_seed"][0]["doubts"]
    assert told.startswith("left out as outliers: a.png")
    assert ("odd normals: 7.png: 64x48 px, grey; the other 9: 9x9 px, grey; learned from" in told) is is_told
    assert ("--sizes any" in told) is is_told


def test_a_lone_draw_needs_no_seed() -> None:
    assert report_of([run_of(0, left_out=("a.png",))])["doubts"][0].startswith("left out as outliers: a.png")
    assert report_of([run_of(0)])["doubts"] == []


@pytest.fixture
def samples(tmp_path: Path) -> list[LabelledSample]:
    """One image like the normals, a dark one, and one of each kind that is unlike them."""
    images = {
        "fits": np.full((64, 64), 127, np.uint8),
        "dark": np.full((64, 64), 20, np.uint8),
        "tiny": np.full((1, 1), 127, np.uint8),
        "deep": np.full((64, 64), 127, np.uint16),
    }
    for name, image in images.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    return [LabelledSample(path=tmp_path / f"{name}.png", kind="good") for name in images]


def line() -> Predictor:
    profile = profile_normals([np.full((64, 64, 1), 127, np.uint8)], 8)
    return Predictor(replace(MANIFEST, profile=profile), TorchRunner(Brightness()))


def names(samples: Iterable[str]) -> list[str]:
    return [name.rsplit("/", 1)[-1] for name in samples]


def test_images_unlike_the_normals_are_named_counted_and_left_out(samples: list[LabelledSample]) -> None:
    said: list[str] = []
    scored = score_samples(line(), samples, fit_s=1.0, settings=settings_of(), progress=Progress(notify=said.append))
    assert names(image.name for image in scored.images) == ["fits.png", "dark.png"]
    assert {name.rsplit("/", 1)[-1]: one.reason.value for name, one in scored.misfits.items()} == {
        "tiny.png": "size",
        "deep.png": "depth",
    }
    assert any("tiny.png was not scored (size): the image has 1x1 px" in text for text in said)
    assert any("dark.png is dark: " in text for text in said)
    report = report_of([sum_up(scored, shots=2, seed=0)])
    assert names(report["misfits"]) == ["tiny.png", "deep.png"]
    assert any("depth 1, size 1" in text for text in report["doubts"])
    assert report["normals"] == "64x64 px, grey, 8 bits"


def test_images_of_every_size_are_scored_where_that_is_wanted(samples: list[LabelledSample]) -> None:
    scored = score_samples(line(), samples, fit_s=1.0, settings=settings_of(sizes=SizeRule.ANY))
    assert names(scored.misfits) == ["deep.png"]


def test_a_folder_in_which_nothing_fits_the_normals_is_a_failure(samples: list[LabelledSample]) -> None:
    with pytest.raises(FolderError, match=r"nothing was evaluated: all test images are not scored, .* depth 1, size 1"):
        score_samples(line(), samples[2:], fit_s=1.0, settings=settings_of())
