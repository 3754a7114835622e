"""What a way of fitting is worth on a line nobody has labelled: probed on normals that the fit has not seen.

The normals are dealt into folds. Each fold in turn is held out; a teacher is fitted on the rest, judges the held-out
normals as they are, and judges them again with defects made on them (``siad.vision.synthetic_defects``). How well it
tells the two apart, and how well its map finds the places, ranks ways of fitting against each other.
It is no forecast of what the line will show: defects that people made are easier, or harder, than those that the
process makes.

Sources: cross-validation as in Stone 1974; the area under the ROC curve and average precision by scikit-learn.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from siad.models.predictor import Predictor
from siad.vision.images import Image
from siad.vision.scores import image_auroc
from siad.vision.synthetic_defects import KINDS, make_probe

FOLDS: Final = 3
MAP_PX: Final = 128  # side of the square that maps and masks are compared at: which of two is better shows there too

Fit = Callable[[Sequence[Image], Sequence[str]], Predictor]  # images and their names -> a teacher


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeEstimate:
    """What probes say of one way of fitting."""

    image_auroc: float  # 0..1, probed against as they are
    pixel_ap: float  # 0..1, mean over kinds: of the probes' pixels among all of the probed images
    recall: float  # 0..1, probes that score over the teacher's own threshold
    false_rejects: float  # 0..1, held-out normals that do
    recall_by_kind: tuple[tuple[str, float], ...]
    fit_s: float  # of one fold
    images_per_s: float

    @property
    def merit(self) -> float:
        """One number to rank by: finding the image and finding the place count alike."""
        return (self.image_auroc + self.pixel_ap) / 2


@dataclass(slots=True)
class _FoldScores:
    """What the teachers of all folds said, each score in units of its own teacher: thresholds differ by fold."""

    good: list[float]
    probed: dict[str, list[float]]
    maps: dict[str, list[NDArray[np.float32]]]
    masks: dict[str, list[NDArray[np.bool_]]]


def estimate(images: Sequence[Image], fit: Fit, *, folds: int = FOLDS, seed: int = 0) -> ProbeEstimate:
    """Probe one way of fitting.

    The same seed makes the same probes for every way of fitting, so two estimates differ by the ways alone.

    Args:
        images: normals, decoded, at least 3 so that two are left to fit on.
        fit: fits a teacher on some of them.
        folds: how many times to fit; at most one a normal.
        seed: of the deal and the probes.

    Raises:
        ValueError: under 3 normals, or what ``fit`` raises.
    """
    count = len(images)
    if count < 3:
        msg = f"probing needs 3 normals, 2 to fit on and 1 to probe; there are {count}"
        raise ValueError(msg)
    folds = min(folds, count)
    deal = np.random.default_rng(seed).permutation(count)
    answers = _FoldScores([], {kind: [] for kind in KINDS}, {kind: [] for kind in KINDS}, {kind: [] for kind in KINDS})
    fit_s, score_s, scored = 0.0, 0.0, 0
    for fold in range(folds):
        held_out = set(deal[fold::folds].tolist())
        rest = [index for index in range(count) if index not in held_out]
        began_s = time.perf_counter()
        predictor = fit([images[index] for index in rest], [f"{index:06d}" for index in rest])
        fit_s += time.perf_counter() - began_s
        for index in sorted(held_out):
            began_s = time.perf_counter()
            _probe(predictor, images[index], np.random.default_rng((seed, index)), answers)
            score_s += time.perf_counter() - began_s
            scored += 1 + len(KINDS)
    every = [score for scores in answers.probed.values() for score in scores]
    return ProbeEstimate(
        image_auroc=image_auroc([*answers.good, *every], [False] * len(answers.good) + [True] * len(every)),
        pixel_ap=float(np.mean([_pixel_ap(answers.maps[kind], answers.masks[kind]) for kind in KINDS])),
        recall=_share_over(every),
        false_rejects=_share_over(answers.good),
        recall_by_kind=tuple((kind, _share_over(answers.probed[kind])) for kind in KINDS),
        fit_s=fit_s / folds,
        images_per_s=scored / score_s,
    )


def _probe(predictor: Predictor, image_HWC: Image, rng: np.random.Generator, answers: _FoldScores) -> None:
    manifest = predictor.manifest
    probes = [make_probe(image_HWC, kind, rng) for kind in KINDS]
    as_it_is, *probed = predictor.maps([image_HWC, *(probe.image_HWC for probe in probes)])
    answers.good.append((float(as_it_is.max()) - manifest.image_threshold) / manifest.spread)
    for probe, map_HW in zip(probes, probed, strict=True):
        even_HW = (map_HW - manifest.image_threshold) / manifest.spread
        answers.probed[probe.kind].append(float(even_HW.max()))
        answers.maps[probe.kind].append(_small(even_HW))
        answers.masks[probe.kind].append(_small(probe.mask_HW.astype(np.float32)) >= 127.5)


def _small(map_HW: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(map_HW, (MAP_PX, MAP_PX), interpolation=cv2.INTER_AREA), np.float32)


def _pixel_ap(maps: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.bool_]]) -> float:
    """Average precision over all pixels; 0 where every probe was too small to be seen at this size."""
    truth = np.concatenate([mask_HW.ravel() for mask_HW in masks])
    if not truth.any():
        return 0.0
    return float(average_precision_score(truth, np.concatenate([map_HW.ravel() for map_HW in maps])))


def _share_over(scores: Sequence[float]) -> float:
    return float(np.mean(np.asarray(scores) >= 0))
