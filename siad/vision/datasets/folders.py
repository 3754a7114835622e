"""Mask PNG and MVTec: a mask file for each image."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from siad.vision.datasets.instances import split_instances
from siad.vision.datasets.samples import WITHOUT_CLASS, DatasetSample, EndFile, SampleFiles
from siad.vision.masks import DEFECT, IGNORE, encode_mask

IMAGES, MASKS = "images", "masks"
COMBINED: Final = "combined"  # MVTec's folder of images with several kinds of defects
_NO_FOLDER: Final = re.compile(r"[^A-Za-z0-9_-]+")


class MaskWriter:
    """Writer of grey masks; nothing is lost.

    0 is good, 128 unsure, 255 defect.
    """

    def add(self, sample: DatasetSample) -> SampleFiles:
        """Write a sample: image and mask of the same name.

        Without an answer, or a defect without an outline, there is no mask: an empty one says good.
        """
        if not sample.is_known:
            return SampleFiles(image=f"{IMAGES}/{sample.file_name}")
        mask = (f"{MASKS}/{sample.name}.png", encode_mask(sample.mask_HW))
        return SampleFiles(image=f"{IMAGES}/{sample.file_name}", files=(mask,))

    def end(self) -> Sequence[EndFile]:
        """Nothing comes last."""
        return ()

    def summary(self) -> Mapping[str, Any]:
        """Nothing is lost."""
        return {}


class MvtecWriter:
    """Writer of the layout of MVTec AD: a folder of each product.

    Normals are in ``train/good``, answered captures in ``test``. A mask has no unsure pixels there; they are good.
    """

    def __init__(self) -> None:
        self._unsure_px = 0

    def add(self, sample: DatasetSample) -> SampleFiles:
        """Write a sample: its image, and of a defect the mask."""
        if sample.is_normal:
            return SampleFiles(image=f"{sample.product}/train/good/{sample.file_name}")
        if not sample.is_defect:
            return SampleFiles(image=f"{sample.product}/test/good/{sample.file_name}")
        unsure = int((sample.mask_HW == IGNORE).sum())
        self._unsure_px += unsure
        kind = _kind(sample)
        mask = encode_mask(np.where(sample.mask_HW == DEFECT, 255, 0).astype(np.uint8))
        return SampleFiles(
            image=f"{sample.product}/test/{kind}/{sample.file_name}",
            files=((f"{sample.product}/ground_truth/{kind}/{sample.name}_mask.png", mask),),
            facts={"unsure_px": unsure},
        )

    def end(self) -> Sequence[EndFile]:
        """Nothing comes last."""
        return ()

    def summary(self) -> Mapping[str, Any]:
        """Unsure pixels, which are good there."""
        return {"unsure_px": self._unsure_px}


def _kind(sample: DatasetSample) -> str:
    """Folder of a defect: its class, or ``combined`` for several."""
    names = {one.class_name for one in split_instances(sample.mask_HW, sample.objects)}
    if len(names) > 1:
        return COMBINED
    name = _NO_FOLDER.sub("_", names.pop()) or WITHOUT_CLASS
    return f"{name}_" if name in ("good", COMBINED) else name
