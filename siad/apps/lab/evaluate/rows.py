"""Rows of the contact sheet of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.apps.lab.evaluate.folder import LabelledSample, read_images, read_mask
from siad.apps.lab.evaluate.mask_file import MaskFileError
from siad.apps.lab.evaluate.run import ScoredSamples
from siad.apps.lab.evaluate.scored import MappedImage, ScoredImage, shrink
from siad.apps.lab.sheet_rows import SheetRow, focus, worst_first
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

    Only their images are decoded and scored again.
    """
    by_name = {sample.name: sample for sample in samples}
    threshold = scored.predictor.image_threshold
    entries = [_SheetEntry(image, image.is_defect, image.score, threshold) for image in scored.images]
    rows = []
    for entry in worst_first(entries):
        sample = by_name[entry.image.name]
        images, _, _ = read_images([sample.path])
        rows += [focus(_row(entry.image, sample, image_HWC, scored)) for image_HWC in images]
    return rows


def _row(image: ScoredImage, sample: LabelledSample, image_HWC: Image, scored: ScoredSamples) -> SheetRow:
    predictor = scored.predictor
    [views] = predictor.views([image_HWC])
    mapped = _mapped(image, sample, np.asarray(np.mean(views, axis=0), np.float32))
    if scored.pixels_px is not None:
        mapped = shrink(mapped, side_px=scored.pixels_px)
    map_HW = mapped.map_HW
    height, width = map_HW.shape
    small = [np.asarray(cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA), np.float32) for one in views]
    finding = predictor.decide(map_HW, views=small if predictor.has_views else ())
    return SheetRow(
        name=image.name,
        image_HWC=predictor.at_full_range(image_HWC),
        map_HW=map_HW,
        mask_HW=finding.mask_HW,
        truth_HW=mapped.mask_HW if image.is_defect else None,
        is_defect=image.is_defect,
        score=image.score,
        threshold=predictor.image_threshold,
        ignored_HW=finding.pseudo_mask_HW == IGNORE if predictor.has_views else None,
    )


def _mapped(image: ScoredImage, sample: LabelledSample, map_HW: NDArray[np.float32]) -> MappedImage:
    try:
        mask_HW = read_mask(sample, (map_HW.shape[0], map_HW.shape[1]))
    except MaskFileError:  # named when the image was scored
        mask_HW = None
    return MappedImage(name=image.name, kind=image.kind, map_HW=map_HW, mask_HW=mask_HW)
