"""Outliers among the normals: some images chosen as good are not.

A defect among ten normals would be learned as normal and would raise the threshold over its own kind. A good part of a
rare kind, when left out, is lost to the line. Both score high; but a defect is anomalous in one place, and a part of a
rare kind, a cell in another light, nearly everywhere. So an image is an outlier by how far it stands out in few of its
positions.

Shape suffixes: h, w = size of a map, N = normals.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

OUTLIER: Final = 2.3  # medians; of 106 draws of 10 to 200 good images of five lines 5 had one beyond it
SUSPECT: Final = 1.75  # medians; beyond it are three of four defects, and a good image in two of five draws of 10 or 20
FAR: Final = 2.5  # spreads of the norm; less is noise, however similar the others are: no found defect had less
SHARE_MAX: Final = 0.2  # of the normals that may be left out; where more stand out, the line itself varies
NORMALS_MIN: Final = 5  # fewer give no median to compare with
_HIGH: Final = 0.5  # of a map's maximum; positions over it belong to the peak
_SUSPECT_POSITION: Final = 0.5  # of the median score; 0.75 undid less of the harm of a pitted part, by .03 of AP


def outlier_score(map_hw: NDArray[np.float32], score: float) -> float:
    """Measure how far an image stands out in few positions.

    Its score times the share of its positions far under the highest.

    Args:
        map_hw: float32 [h, w], scores by a detector that was not fitted on the image; 0 or more.
        score: of the image, by the same detector, in spreads of the norm.

    Returns:
        0 to ``score``.
    """
    return score * float(np.mean(map_hw < _HIGH * map_hw.max())) if map_hw.max() > 0 else 0.0


def find_outliers(scores_N: Sequence[float] | NDArray[np.float64]) -> list[int]:
    """Find the images to leave out of the fit.

    They are measured against the median, so a few defects neither move it nor hide each other.

    Args:
        scores_N: ``outlier_score`` of each normal.

    Returns:
        Their positions, ascending; none where more than a fifth stand out, or of fewer than five normals.
    """
    outliers = _over(scores_N, OUTLIER)
    return outliers if len(outliers) <= SHARE_MAX * len(scores_N) else []


def find_suspects(scores_N: Sequence[float] | NDArray[np.float64]) -> list[int]:
    """Find the images that may show a defect.

    Their anomalous positions should not be learned.

    Args:
        scores_N: ``outlier_score`` of each normal that is no outlier.

    Returns:
        Their positions, ascending; none of fewer than five normals.
    """
    return _over(scores_N, SUSPECT)


def suspect_position_threshold(peaks_N: Sequence[float] | NDArray[np.float64]) -> float:
    """Score from which on a suspect's positions are not learned.

    Half of the normals' median peak.

    Args:
        peaks_N: image scores of all normals, each by a detector that was not fitted on it.
    """
    return _SUSPECT_POSITION * float(np.median(peaks_N))


def _over(scores_N: Sequence[float] | NDArray[np.float64], medians: float) -> list[int]:
    scores = np.asarray(scores_N, np.float64)
    if len(scores) < NORMALS_MIN:
        return []
    return np.flatnonzero(scores >= max(medians * float(np.median(scores)), FAR)).tolist()


class OutlierOrigin(StrEnum):
    """What to do about outliers, by how they were taken for good."""

    SENT = "check them and send other normals instead"
    ANSWERED = "people called them good. Check them and correct a wrong answer: siad correct CAPTURE --defect"
    STREAM = "they only scored low, and have no answer: siad correct CAPTURE --good, or --defect"


def describe_outliers(
    left_out: Sequence[str], doubted: Sequence[str], *, origin: OutlierOrigin = OutlierOrigin.SENT
) -> str:
    """Say which captures to check; empty where there are none.

    Args:
        left_out: names of outliers.
        doubted: names of suspects.
        origin: how all of them came to be taken for good.
    """
    sentences = []
    if left_out:
        sentences.append(f"left out as outliers: {', '.join(left_out)}; {origin.value}")
    if doubted:
        raised = ", but they may raise the threshold. Check them: if one is defective, fit without it"
        rest = raised if origin is OutlierOrigin.SENT else f"; {origin.value}"
        sentences.append(f"suspect: {', '.join(doubted)}; their anomalous areas were not learned{rest}")
    return ". ".join(sentences)
