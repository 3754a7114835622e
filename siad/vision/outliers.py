"""Which of some normals are odd: good images that somebody picked by hand are now and then not good. Pure.

Left in, one defect among ten normals teaches that it is usual, and raises the threshold over its like. Left out, a good
part of a rare kind is lost to the line. The two look alike by their score alone; but a defect is odd in one place, and
a part of a rare kind, a cell in another light, is odd nearly everywhere. So what counts is how far an image stands out
in few of its places.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

ODD: Final = 2.3  # medians; of 106 draws of 10 to 200 good images of five lines 5 had one that stood out further
DOUBTFUL: Final = 1.75  # medians; in two of five draws of ten or twenty a good image too, and three of four defects
FAR: Final = 2.5  # deviations of what is usual; less is grain, however alike the others are: no odd defect had less
SHARE_MAX: Final = 0.2  # of the normals that may be left out; where more look odd, it is the line that varies
NORMALS_MIN: Final = 5  # fewer say nothing about what is usual
_HIGH: Final = 0.5  # of a map's maximum; what lies over it is as wide as the peak is
_DOUBTED: Final = 0.5  # of the median score; places over 0.75 of it cured less of what a pitted part did, by .03 of AP


def standing_out(map_hw: NDArray[np.float32], score: float) -> float:
    """How far an image stands out in few of its places: its score times the share of places far under the highest.

    Args:
        map_hw: float32 [h, w], what a detector that was not fitted on the image says of its places; 0 or more.
        score: of the image, by the same detector; its unit is a deviation of what is usual.

    Returns:
        0 to ``score``.
    """
    return score * float(np.mean(map_hw < _HIGH * map_hw.max())) if map_hw.max() > 0 else 0.0


def find_odd(standing_N: Sequence[float] | NDArray[np.float64]) -> list[int]:
    """Find the images that stand out too far to belong to the others.

    The median of all is what is usual, so a few defects neither move it nor hide each other.

    Args:
        standing_N: ``standing_out`` of each normal.

    Returns:
        Their positions, ascending; nothing where more than a fifth stand out, or of fewer than five.
    """
    odd = _over(standing_N, ODD)
    return odd if len(odd) <= SHARE_MAX * len(standing_N) else []


def find_doubtful(standing_N: Sequence[float] | NDArray[np.float64]) -> list[int]:
    """Find the images that may show a defect, or may not: what they alone show is better not taken for usual.

    Args:
        standing_N: ``standing_out`` of each normal that is not odd.

    Returns:
        Their positions, ascending; none of fewer than five.
    """
    return _over(standing_N, DOUBTFUL)


def doubtful_over(scores_N: Sequence[float] | NDArray[np.float64]) -> float:
    """The score over which places of a doubtful image are not taken for usual: half of what normals have at their peak.

    Args:
        scores_N: image scores of all normals, each by a detector that was not fitted on it.
    """
    return _DOUBTED * float(np.median(scores_N))


def _over(standing_N: Sequence[float] | NDArray[np.float64], medians: float) -> list[int]:
    standing = np.asarray(standing_N, np.float64)
    if len(standing) < NORMALS_MIN:
        return []
    return np.flatnonzero(standing >= max(medians * float(np.median(standing)), FAR)).tolist()


def say_doubts(left_out: Sequence[str], doubted: Sequence[str]) -> str:
    """What a person should look at among the normals; empty where there is nothing.

    Args:
        left_out: names of odd normals.
        doubted: names of doubtful ones.
    """
    told = []
    if left_out:
        told.append(f"left out as odd: {', '.join(left_out)}; look at them, and send others in their place")
    if doubted:
        told.append(
            f"doubtful: {', '.join(doubted)}; what they alone show is not taken for usual, but they may hold the "
            "threshold up. Look at them: if one is defective, fit without it"
        )
    return ". ".join(told)
