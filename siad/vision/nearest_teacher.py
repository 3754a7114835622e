"""Choice of the teacher that a new threshold starts from.

Ten normals of a new product or line tell little of how high good parts score. Where another line inspects parts like
these, its stream and the answers about it have told. Two teachers are alike by the distance of their normals' mean
features (``siad.models.teachers.normals_summary``): .03 to .32 between draws of one product, .6 to .7 between two kinds
of solar cells, .9 and more between other products.

The threshold moves towards that of the nearest teacher by a share of the way, in log scores:

    weight(d) = WEIGHT_MAX (1 - (d / DISTANCE_MAX)^2), 0 from DISTANCE_MAX on.

Scores of a teacher that was fitted on other ten normals of one product differ as much as what ten normals say by
themselves, so half of the way is the most. Figures: docs/calibration.md.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from siad.contracts.corrections import ThresholdSet
from siad.contracts.manifest import Manifest, NearestTeacher

DISTANCE_MAX: Final = 0.5  # from which on parts are unlike: a start from the other kind of cells cost misses
WEIGHT_MAX: Final = 0.5  # share of the way that a threshold moves at most
STREAM_MIN: Final = 100  # captures behind a threshold in service that is taken over, or
ANSWERS_MIN: Final = 10  # answers
DISAGREEMENT_MAX: Final = 0.5  # of log scores between both thresholds; more says that scores do not compare
RATE_MAX: Final = 0.3  # share of good captures over a threshold beyond which it says little of the others


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherTeacher:
    """A teacher in service elsewhere."""

    manifest: Manifest
    mean_D: NDArray[np.float32]  # feature of its normals, as ``summarise`` gives it
    in_use: ThresholdSet | None  # None: that of its manifest, which only normals chose


def find_nearest(
    manifest: Manifest, mean_D: NDArray[np.float32], others: Iterable[OtherTeacher]
) -> NearestTeacher | None:
    """Find the teacher with the most alike normals.

    Of the like ones that have a threshold from a stream or answers the nearest; else the nearest of all, and why it is
    not used.

    Args:
        manifest: of the new teacher.
        mean_D: float32 [D], feature of its normals.
        others: teachers of other lines and products; those of another method can't be compared.
    """
    found = [
        _compare(other, float(np.linalg.norm(mean_D - other.mean_D)))
        for other in others
        if other.manifest.place != manifest.place
        and other.manifest.method == manifest.method
        and other.mean_D.shape == mean_D.shape
    ]
    return min(found, key=lambda one: (bool(one.declined), one.distance, one.line, one.product), default=None)


def weight_of(distance: float) -> float:
    """Share of the way to take towards another threshold: 0 to ``WEIGHT_MAX``."""
    return WEIGHT_MAX * max(0.0, 1 - (distance / DISTANCE_MAX) ** 2)


def describe_nearest(nearest: NearestTeacher | None) -> str:
    """Say which teacher the threshold starts from, or why from none.

    Empty where there was none to compare with.
    """
    if nearest is None:
        return ""
    name = f"{nearest.line}/{nearest.product}, distance {nearest.distance:.2f}"
    if nearest.declined:
        return f"threshold starts from these normals alone; nearest is {name}: {nearest.declined}"
    share = weight_of(nearest.distance)
    return (
        f"threshold starts from {name}: {share:.0%} of the way to its {nearest.threshold:.4g}, which rejects about "
        f"{nearest.rate:.1%} of its good parts"
    )


def _compare(other: OtherTeacher, distance: float) -> NearestTeacher:
    manifest, in_use = other.manifest, other.in_use
    declined = ""
    if distance >= DISTANCE_MAX:
        declined = f"its normals are unlike these, {DISTANCE_MAX:g} and more is too far"
    elif in_use is None or not (in_use.stream_captures >= STREAM_MIN or in_use.answers >= ANSWERS_MIN):
        declined = f"no stream of {STREAM_MIN} captures and no {ANSWERS_MIN} answers are behind its threshold yet"
    elif not (in_use.image_threshold > 0 and 0 < in_use.estimated <= RATE_MAX):
        declined = f"its threshold rejects {in_use.estimated:.1%} of its good parts, which tells nothing of these"
    taken = None if declined else in_use
    return NearestTeacher(
        line=manifest.line,
        product=manifest.product,
        weights=manifest.weights,
        distance=round(distance, 4),
        threshold=0.0 if taken is None else taken.image_threshold,
        rate=0.0 if taken is None else taken.estimated,
        declined=declined,
    )


def declined_for(nearest: NearestTeacher, own: float) -> NearestTeacher:
    """Decline a threshold that the normals contradict.

    Args:
        nearest: as ``find_nearest`` gives it.
        own: the raw score that by the normals alone the same share of good captures exceeds; 0: they tell none.
    """
    if own > 0 and abs(math.log(nearest.threshold / own)) <= DISAGREEMENT_MAX:
        return nearest
    contradicts = f"its threshold {nearest.threshold:.4g} contradicts these normals, which say about {own:.4g}"
    declined = contradicts if own > 0 else "not all scores of these normals are over 0, so no other threshold compares"
    return replace(nearest, threshold=0.0, rate=0.0, declined=declined)
