"""Confidence of a finding, which the trainer weighs pseudo-masks by.

Three factors, multiplied: how far the score is from the threshold, whether the mask would stay if the threshold moved,
and whether a defect of that size is plausible. A score's unit is its detector's own, so distances are measured in the
spread of the normals' scores.

Shape suffixes: H, W = size of the image.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

PLAUSIBLE_RATIO: Final = 0.2  # of the view; up to it any size is equally plausible
IMPLAUSIBLE_RATIO: Final = 0.6  # from it on the light, the camera or another product explains the scores


def confidence_of(map_HW: NDArray[np.float32], mask_HW: NDArray[np.uint8], *, threshold: float, spread: float) -> float:
    """Compute the confidence of one finding.

    With s the image's score, t the threshold and d the spread: clearness is m / (1 + m), m = |s - t| / d, so one half
    at a distance of one spread. A defect's steadiness is the share of its mask that would stay if the threshold rose
    by d, averaged with 1 (masks of a smooth map always lose a rim); its plausibility falls from 1 to 0 while it grows
    from 20% to 60% of the view.

    Args:
        map_HW: float32 [H, W], raw scores at image size.
        mask_HW: uint8 [H, W], 0 good, 255 defect; empty where there is none.
        threshold: raw score at which an image is defective.
        spread: standard deviation of normals' image scores, over 0.

    Returns:
        0..1; 0 at the threshold itself.
    """
    margin = abs(float(map_HW.max()) - threshold) / spread
    clearness = margin / (1 + margin)
    marked = map_HW[mask_HW > 0]
    if not marked.size:
        return clearness
    steadiness = (1 + float(np.mean(marked >= threshold + spread))) / 2
    ratio = marked.size / map_HW.size
    plausibility = 1 - (ratio - PLAUSIBLE_RATIO) / (IMPLAUSIBLE_RATIO - PLAUSIBLE_RATIO)
    return clearness * steadiness * min(1.0, max(0.0, plausibility))
