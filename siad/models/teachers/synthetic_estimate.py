"""Estimate of a teacher's quality on normals alone.

By cross-validation with synthetic defects.

The normals are divided into folds. Each fold in turn is held out; a teacher is fitted on the rest and scores the
held-out normals as they are and with synthetic defects (``siad.vision.synthetic_defects``). How well it separates the
two, and how well its map locates the defects, ranks methods and input sizes against each other.

**What is found.** The share of all synthetic defects that is found says nothing about real ones: it is the mean over
sizes and contrasts that the generator happens to draw. Of the same teacher it was .91 for clear defects on bottles and
.00 for small faint ones, and on six real sets the overall share was .20 to .49 under that of the real defects, on sets
with smaller defects over it. So two shares are estimated, of clear defects (``SyntheticDefect.is_clear``) and of the
others, each with an interval: they say which defects a teacher can find, not how many of them a process makes
(docs/calibration.md).

Sources: cross-validation as in Stone 1974; the area under the ROC curve and
average precision by scikit-learn.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.models.predictor import Predictor
from siad.models.teachers.normals import Normals
from siad.vision.found_share import NONE_TRIED, FoundShare
from siad.vision.images import Image
from siad.vision.ranking import average_precision
from siad.vision.scores import image_auroc
from siad.vision.synthetic_defects import KINDS, make_synthetic_defect

FOLDS: Final = 3
DISPERSION: Final = 2.0  # of shares found: defects of one normal are alike, and the teacher that serves is another one
MAP_PX: Final = 128  # side of the square that maps and masks are compared at: the order of two methods shows there too

Fit = Callable[[Normals], Predictor]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticEstimate:
    """Figures of one method on held-out normals with and without synthetic defects."""

    image_auroc: float  # 0..1, with defects against without
    pixel_ap: float  # 0..1, mean over kinds: the defects' pixels among all pixels of the images with defects
    recall: float  # 0..1, share of all synthetic defects that is found; no forecast of real ones
    false_rejects: float  # 0..1, the same of held-out normals
    recall_by_kind: tuple[tuple[str, float], ...]
    fit_s: float  # of one fold
    images_per_s: float
    clear: FoundShare = NONE_TRIED  # of defects that are neither small nor faint
    faint: FoundShare = NONE_TRIED  # of the others

    @property
    def merit(self) -> float:
        """One number to rank by: detection and localisation count alike."""
        return (self.image_auroc + self.pixel_ap) / 2


@dataclass(slots=True)
class _FoldScores:
    """Scores over all folds, in units of each fold's teacher.

    Thresholds differ by fold.
    """

    good: list[float] = field(default_factory=list)
    defective: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})  # by kind, as below
    is_clear: dict[str, list[bool]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    maps: dict[str, list[NDArray[np.float32]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    masks: dict[str, list[NDArray[np.bool_]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def found(self, *, clear: bool) -> FoundShare:
        """How many of the clear defects are found, or of the others."""
        over = [
            score >= 0
            for kind in KINDS
            for score, is_clear in zip(self.defective[kind], self.is_clear[kind], strict=True)
            if is_clear == clear
        ]
        return FoundShare(found=sum(over), defects=len(over), dispersion=DISPERSION)


def estimate(normals: Normals, fit: Fit, *, folds: int = FOLDS, seed: int = 0) -> SyntheticEstimate:
    """Estimate one method.

    The same seed makes the same folds and defects for every method, so two estimates differ by the methods alone.

    Args:
        normals: at least 3, so that two are left to fit on.
        fit: fits a teacher on some of them.
        folds: number of fits; at most the number of normals.
        seed: of folds and defects.

    Raises:
        ValueError: under 3 normals, or what ``fit`` raises.
    """
    count = len(normals)
    if count < 3:
        msg = f"{count} normals; an estimate needs 3, two to fit on and one to hold out"
        raise ValueError(msg)
    folds = min(folds, count)
    order = np.random.default_rng(seed).permutation(count)
    scores = _FoldScores()
    fit_s, score_s, scored = 0.0, 0.0, 0
    for fold in range(folds):
        held_out = set(order[fold::folds].tolist())
        began_s = time.perf_counter()
        predictor = fit(normals.subset([index for index in range(count) if index not in held_out]))
        fit_s += time.perf_counter() - began_s
        for index in sorted(held_out):
            began_s = time.perf_counter()
            _score(predictor, normals.images[index], np.random.default_rng((seed, index)), scores)
            score_s += time.perf_counter() - began_s
            scored += 1 + len(KINDS)
    every = [score for of_kind in scores.defective.values() for score in of_kind]
    return SyntheticEstimate(
        image_auroc=image_auroc([*scores.good, *every], [False] * len(scores.good) + [True] * len(every)),
        pixel_ap=mean_pixel_ap(scores.maps, scores.masks),
        recall=_share_over(every),
        false_rejects=_share_over(scores.good),
        recall_by_kind=tuple((kind, _share_over(scores.defective[kind])) for kind in KINDS),
        fit_s=fit_s / folds,
        images_per_s=scored / score_s,
        clear=scores.found(clear=True),
        faint=scores.found(clear=False),
    )


def _score(predictor: Predictor, image_HWC: Image, rng: np.random.Generator, scores: _FoldScores) -> None:
    """Score one held-out normal without and with a defect of every kind."""
    manifest = predictor.manifest
    defects = [make_synthetic_defect(image_HWC, kind, rng) for kind in KINDS]
    unchanged_HW, *maps = predictor.maps([image_HWC, *(defect.image_HWC for defect in defects)])
    scores.good.append((float(unchanged_HW.max()) - manifest.image_threshold) / manifest.spread)
    for defect, map_HW in zip(defects, maps, strict=True):
        scaled_HW = (map_HW - manifest.image_threshold) / manifest.spread
        scores.defective[defect.kind].append(float(scaled_HW.max()))
        scores.is_clear[defect.kind].append(defect.is_clear)
        scores.maps[defect.kind].append(shrink_map(scaled_HW))
        scores.masks[defect.kind].append(shrink_map(defect.mask_HW.astype(np.float32)) >= 127.5)


def shrink_map(map_HW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shrink a map or mask to ``MAP_PX`` a side, by area."""
    return np.asarray(cv2.resize(map_HW, (MAP_PX, MAP_PX), interpolation=cv2.INTER_AREA), np.float32)


def mean_pixel_ap(
    maps: Mapping[str, Sequence[NDArray[np.float32]]], masks: Mapping[str, Sequence[NDArray[np.bool_]]]
) -> float:
    """Mean over kinds of the pixels' average precision, 0..1."""
    return float(np.mean([_pixel_ap(maps[kind], masks[kind]) for kind in KINDS]))


def _pixel_ap(maps: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.bool_]]) -> float:
    """Average precision over all pixels.

    0 where every defect is too small to leave a pixel at this size.
    """
    truth = np.concatenate([mask_HW.ravel() for mask_HW in masks])
    if not truth.any():
        return 0.0
    return average_precision(truth, np.concatenate([map_HW.ravel() for map_HW in maps]))


def _share_over(scores: Sequence[float]) -> float:
    return float(np.mean(np.asarray(scores) >= 0))
