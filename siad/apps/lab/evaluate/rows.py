"""Rows of the contact sheet of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.apps.lab.evaluate.figures import ScoredImage
from siad.apps.lab.evaluate.folder import LabelledSample, read_images
from siad.apps.lab.evaluate.run import ScoredSamples
from siad.apps.lab.sheet import SheetRow, worst_first
from siad.models.predictor import Predictor
from siad.vision.images import Image
from siad.vision.masks import IGNORE


@dataclass(frozen=True, slots=True)
class _SheetEntry:
    """One scored image, for the choice of rows."""

    image: ScoredImage
    is_defect: bool
    score: float
    threshold: float


def worst_rows(scored: ScoredSamples, samples: Sequence[LabelledSample]) -> list[SheetRow]:
    """Rows of a contact sheet, worst first.

    Only their images are decoded again.
    """
    by_name = {sample.name: sample for sample in samples}
    threshold = scored.predictor.manifest.image_threshold
    entries = [_SheetEntry(image, image.is_defect, image.score, threshold) for image in scored.images]
    rows = []
    for entry in worst_first(entries):
        images, _, _ = read_images([by_name[entry.image.name].path])
        rows += [_row(entry.image, image_HWC, scored.predictor) for image_HWC in images]
    return rows


def _row(scored: ScoredImage, image_HWC: Image, predictor: Predictor) -> SheetRow:
    return SheetRow(
        name=scored.name,
        image_HWC=predictor.at_full_range(image_HWC),
        map_HW=scored.map_HW,
        mask_HW=predictor.decide(scored.map_HW).mask_HW,
        truth_HW=scored.mask_HW if scored.is_defect else None,
        is_defect=scored.is_defect,
        score=scored.score,
        threshold=predictor.manifest.image_threshold,
        ignored_HW=_ignored(scored, image_HWC, predictor) if predictor.has_views else None,
    )


def _ignored(scored: ScoredImage, image_HWC: Image, predictor: Predictor) -> NDArray[np.bool_]:
    """Pixels that a pseudo-mask marks as unknown, at map size."""
    [views] = predictor.views([image_HWC])
    height, width = scored.map_HW.shape
    small = [np.asarray(cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA), np.float32) for one in views]
    return np.asarray(predictor.decide(scored.map_HW, views=small).pseudo_mask_HW == IGNORE)
