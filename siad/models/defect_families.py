"""Families of defects, by how corrected defects look.

A line has no classes of defects, but corrected ones have masks. A defect is described by the features of the pretrained
backbone inside its mask less those around it, so that the part itself does not count. Similar descriptions are one
family. The gate compares each family by itself: an average hides that a rare one is forgotten.

Shape suffixes: H, W = size of an image, h, w = size of a crop, D = length of a description.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from siad.models.backbone import Backbone, pretrained_backbone
from siad.vision.images import Image
from siad.vision.masks import DEFECT
from siad.vision.preprocess import preprocess

SIMILAR_MIN: Final = 0.5  # cosine of two descriptions of one family
MARGIN: Final = 0.5  # of a defect's box, on each side: what is around it
CROP_PX: Final = 128  # side of the square with the area that a crop is brought to
CROP_PX_MIN: Final = 32  # side of a crop in the image at least
STAGE: Final = 4  # of the backbone: parts and textures, at stride 16


def describe_defect(image_HWC: Image, mask_HW: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Describe a defect: float32 [D] of length 1.

    None where nothing is marked, or all of the crop is.

    Args:
        image_HWC: uint8 or uint16 [H, W, C], of the full range.
        mask_HW: uint8 [H, W], as ``siad.vision.masks`` has it.
    """
    rows, columns = np.nonzero(mask_HW == DEFECT)
    if not len(rows):
        return None
    top, bottom = _around(int(rows.min()), int(rows.max()) + 1, mask_HW.shape[0])
    left, right = _around(int(columns.min()), int(columns.max()) + 1, mask_HW.shape[1])
    crop_hwC = image_HWC[top:bottom, left:right].copy()
    input_CHW = preprocess(crop_hwC, input_px=CROP_PX)
    with torch.inference_mode():
        [features_BDhw] = _backbone().forward(torch.from_numpy(input_CHW)[None], (STAGE,))
    features_Dhw = features_BDhw[0].numpy()
    marked_hw = (mask_HW[top:bottom, left:right] == DEFECT).astype(np.float32)
    size = (features_Dhw.shape[2], features_Dhw.shape[1])
    inside_hw = np.asarray(cv2.resize(marked_hw, size, interpolation=cv2.INTER_AREA), np.float32)
    outside_hw = 1 - inside_hw
    if inside_hw.sum() < 1e-3 or outside_hw.sum() < 1e-3:
        return None
    inside_D = (features_Dhw * inside_hw).sum((1, 2)) / inside_hw.sum()
    outside_D = (features_Dhw * outside_hw).sum((1, 2)) / outside_hw.sum()
    apart_D = np.asarray(inside_D - outside_D, np.float32)
    length = float(np.linalg.norm(apart_D))
    return apart_D / length if length > 0 else None


def group_defects(descriptions: Mapping[str, NDArray[np.float32]]) -> dict[str, str]:
    """Name the family of each described defect.

    In the order of the ids each joins the family whose mean it is most similar to, or begins one.

    Args:
        descriptions: by capture id, as ``describe_defect`` gives them.
    """
    sums: list[NDArray[np.float32]] = []
    families = {}
    for capture_id, description_D in sorted(descriptions.items()):
        similar = [float(description_D @ (sum_D / np.linalg.norm(sum_D))) for sum_D in sums]
        if similar and max(similar) >= SIMILAR_MIN:
            chosen = int(np.argmax(similar))
            sums[chosen] = sums[chosen] + description_D
        else:
            chosen = len(sums)
            sums.append(description_D)
        families[capture_id] = str(chosen + 1)
    return families


def _around(low: int, high: int, side: int) -> tuple[int, int]:
    """Widen a span by the margin, within the image."""
    more = max(MARGIN * (high - low), (CROP_PX_MIN - (high - low)) / 2)
    return max(0, int(low - more)), min(side, int(high + more) + 1)


@lru_cache(maxsize=1)
def _backbone() -> Backbone:
    return pretrained_backbone("lite0")
