"""What is looked at after an evaluation: of detectors with several views also where these differ."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from siad.cli.evaluate.folder import Sample
from siad.cli.evaluate.run import judge, worst_rows
from siad.cli.sheet import Row
from siad.core.events import WeightsKind
from siad.core.manifest import Manifest, Part
from siad.models.examine import Examiner

MANIFEST = Manifest(
    kind=WeightsKind.TEACHER,
    method="brightness",
    line="l",
    product="p",
    code_version="1",
    parts=(Part(name="golden", sha256="a" * 64, size_bytes=1),),
    decoder_version=1,
    preprocess_version=1,
    input_px=64,
    image_threshold=0.3,
    pixel_threshold=0.3,
    promised_false_reject=None,
    held_out_scores=(0.1, 0.2),
    metrics=(),
    normals=(),
    training_set=None,
    parent=None,
)


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
def sample(tmp_path: Path) -> Sample:
    """An image with a bright square in the middle."""
    image = np.full((64, 64), 127, np.uint8)
    image[16:48, 16:48] = 255
    cv2.imwrite(str(tmp_path / "1.png"), image)
    return Sample(path=tmp_path / "1.png", kind="square", mask_path=None)


def row_of(detector: Brightness, sample: Sample, *, pixels_px: int | None) -> Row:
    examiner = Examiner(MANIFEST, detector)
    judged = judge(examiner, [sample], fit_s=1.0, pixels_px=pixels_px, say=print, tick=lambda: None)
    [row] = worst_rows(judged, [sample])
    return row


@pytest.mark.parametrize("pixels_px", [None, 16])
def test_where_views_differ_is_shown_at_the_size_of_the_map(sample: Sample, pixels_px: int | None) -> None:
    row = row_of(Halves(), sample, pixels_px=pixels_px)
    assert row.ignored_HW is not None
    assert row.ignored_HW.shape == row.map_HW.shape
    assert row.ignored_HW.mean() == pytest.approx(0.25, abs=0.12)
    middle = row.ignored_HW.shape[0] // 2
    assert row.ignored_HW[middle, middle]
    assert not row.mask_HW.any()  # what the line is told is the mean's


def test_one_view_has_nothing_to_ignore(sample: Sample) -> None:
    assert row_of(Brightness(), sample, pixels_px=None).ignored_HW is None
