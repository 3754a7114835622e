"""Evaluation of segmenters on held-out captures: scores, thresholds and figures.

Shape suffixes: C = channels, H, W, h, w = size of an image; P = pixels of a shrunk map.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from services.trainer.job.examples import ReadMembers, UnreadableTrainingSetError, shrink_mask
from siad.contracts.manifest import Manifest
from siad.contracts.training_runs import SegmenterFigures
from siad.models.detector import Detector
from siad.models.runner.torch import TorchRunner
from siad.models.view_maps import score_maps
from siad.vision.depth import scale_to_full_range
from siad.vision.images import Image
from siad.vision.masks import DEFECT, IGNORE
from siad.vision.matched_threshold import match_threshold, raise_to_budget
from siad.vision.ranking import average_precision, precision_and_recall
from siad.vision.region import EVERYTHING, RegionOfInterest
from siad.vision.scores import choose_threshold, image_auroc

ScoreImages = Callable[[Sequence[Image]], list[NDArray[np.float32]]]  # maps at image size, as ``Predictor.maps``

_MAP_PX_MIN = 64  # side to which maps are shrunk for comparison with masks; pixel figures need no more
_MAP_SHARE = 1 / 4  # of the input's side, where that is larger, so that the detail of a larger input remains
_MARK_QUANTILE = 0.995  # of the good captures' pixels: the pixel threshold where no mask gives a better one


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCapture:
    """Result of one segmenter on one held-out capture."""

    member: TrainingMember
    score: float
    map_P: NDArray[np.float32]
    mask_P: NDArray[np.bool_]

    @property
    def is_defect(self) -> bool:
        """Whether the teacher marked it."""
        return self.member.role is MemberRole.DEFECT

    @property
    def is_from_stream(self) -> bool:
        """Whether the teacher alone labelled it."""
        return not self.member.is_corrected and self.member.role is not MemberRole.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Thresholds of a candidate, and the scores that they rest on."""

    image: float
    pixel: float
    promised_false_reject: float | None
    held_out_scores: tuple[float, ...]


def make_scorer(
    detector: Detector, *, input_px: int, region: RegionOfInterest = EVERYTHING, bits: int = 0
) -> ScoreImages:
    """Make a function that scores whole images with a network without manifest.

    It scales them by a depth of ``bits``, as ``Predictor`` does.
    """
    runner = TorchRunner(detector)

    def score(images: Sequence[Image]) -> list[NDArray[np.float32]]:
        scaled = [scale_to_full_range(image_HWC, bits) for image_HWC in images]
        return score_maps(runner, scaled, input_px=input_px, interest=region)

    return score


def score_held_out(
    training_set: TrainingSet, read: ReadMembers, scorers: Mapping[str, ScoreImages], *, input_px: int
) -> dict[str, list[ScoredCapture]]:
    """Score every held-out capture with every segmenter; each image is read once.

    Args:
        training_set: its members for calibration and for the check are held out.
        read: reads members.
        scorers: by name.
        input_px: input side of the candidate; with a larger one, finer maps are compared.
    """
    side = max(_MAP_PX_MIN, round(input_px * _MAP_SHARE))
    scored: dict[str, list[ScoredCapture]] = {name: [] for name in scorers}
    members = [member for member in training_set.members if member.use is not MemberUse.TRAIN]
    for member, (image_HWC, mask_hw) in read(members):
        for name, scorer in scorers.items():
            [map_hw] = scorer([image_HWC])
            known_P, mask_P = _known(mask_hw, member, side), _marked(mask_hw, member, side)
            map_P = _shrink(map_hw, side)[known_P]
            scored[name].append(
                ScoredCapture(member=member, score=float(map_hw.max()), map_P=map_P, mask_P=mask_P[known_P])
            )
    return scored


def _shrink(map_hw: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(map_hw, (side, side), interpolation=cv2.INTER_AREA), np.float32).ravel()


def _marked(mask_hw: NDArray[np.uint8] | None, member: TrainingMember, side: int) -> NDArray[np.bool_]:
    if mask_hw is None or member.role is not MemberRole.DEFECT:
        return np.zeros(side * side, np.bool_)
    return shrink_mask(mask_hw == DEFECT, (side, side)).ravel()


def _known(mask_hw: NDArray[np.uint8] | None, member: TrainingMember, side: int) -> NDArray[np.bool_]:
    """Select pixels where the teacher's views agree; all if none do.

    Of a defect without an outline no pixel is known.
    """
    if not member.has_pixels:
        return np.zeros(side * side, np.bool_)
    everywhere = np.ones(side * side, np.bool_)
    known_P = everywhere if mask_hw is None else _shrink((mask_hw == IGNORE).astype(np.float32), side) < 0.5
    return known_P if known_P.any() else everywhere


def choose_thresholds(scored: Sequence[ScoredCapture], *, budget: float) -> Thresholds:
    """Choose thresholds on the captures held out for calibration.

    Args:
        scored: held-out captures.
        budget: share of good captures that may be rejected.

    Raises:
        UnreadableTrainingSetError: none of the good ones could be read.
    """
    calibration = [capture for capture in scored if capture.member.use is MemberUse.CALIBRATE]
    goods = [capture for capture in calibration if not capture.is_defect]
    if not goods:
        msg = "no good capture for calibration can be read"
        raise UnreadableTrainingSetError(msg)
    held_out_scores = tuple(capture.score for capture in goods)
    threshold, promised = choose_threshold(held_out_scores, budget=budget)
    usual = float(np.quantile(np.concatenate([capture.map_P for capture in goods]), _MARK_QUANTILE))
    pixel = _best_pixel_threshold([capture for capture in calibration if capture.is_defect], otherwise=usual)
    return Thresholds(
        image=threshold,
        pixel=min(threshold, pixel),
        promised_false_reject=promised,
        held_out_scores=held_out_scores,
    )


def match_thresholds(
    scored: Sequence[ScoredCapture], by_teacher: Sequence[ScoredCapture], teacher: Manifest, *, budget: float
) -> Thresholds:
    """Choose thresholds of a network on its teacher's scale.

    As many of the held-out captures are rejected as by the teacher, and of those known to be good no more than the
    budget allows or than the teacher rejects. The captures that people answered about are not like the others, so they
    do not count for the share. Captures that the teacher calls good are no sample of good ones: it chose those with low
    scores, and a threshold that answers and stream move from theirs would be too low.

    Args:
        scored: held-out captures; those that are in the memory scored as unseen ones.
        by_teacher: the same captures, scored by the teacher alone.
        teacher: its manifest.
        budget: share of good captures that may be rejected.
    """
    pairs = list(zip(scored, by_teacher, strict=True))
    stream = [pair for pair in pairs if pair[0].is_from_stream]
    goods = [pair for pair in pairs if pair[0].member.role is MemberRole.NORMAL]
    threshold = teacher.image_threshold
    matched = match_threshold(
        [own.score for own, _ in stream], [other.score for _, other in stream], threshold=threshold
    )
    rejects_max = max(math.ceil(budget * len(goods)), sum(other.score >= threshold for _, other in goods))
    image = raise_to_budget(matched, [own.score for own, _ in goods], rejects_max=rejects_max)
    return Thresholds(
        image=image,
        pixel=image * teacher.pixel_threshold / threshold,
        promised_false_reject=None,
        held_out_scores=tuple(own.score for own, _ in goods),
    )


def _best_pixel_threshold(defects: Sequence[ScoredCapture], *, otherwise: float) -> float:
    """Choose the threshold whose marks agree best (F1) with the teacher's."""
    if not any(capture.mask_P.any() for capture in defects):
        return otherwise
    masks_P = np.concatenate([capture.mask_P for capture in defects])
    precision, recall, cuts = precision_and_recall(masks_P, np.concatenate([capture.map_P for capture in defects]))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return float(cuts[int(np.argmax(f1[:-1]))])


def measure(scored: Sequence[ScoredCapture], *, image_threshold: float) -> SegmenterFigures:
    """Measure a segmenter on held-out captures.

    False rejects are counted on good captures for the check, since those for calibration set the threshold, without
    corrected ones: people are shown the captures nearest the threshold, so these are no sample of the good ones. All
    other figures use every held-out capture, because defects are few and no threshold was fitted to them.

    Raises:
        UnreadableTrainingSetError: no defect, or no good capture for the check, could be read.
    """
    defects = [capture for capture in scored if capture.is_defect]
    goods = [capture for capture in scored if not capture.is_defect and not capture.member.is_corrected]
    checked = [capture for capture in goods if capture.member.use is MemberUse.CHECK]
    if not defects or not checked:
        msg = f"{len(defects)} held-out defects and {len(checked)} good captures for the check can be read"
        raise UnreadableTrainingSetError(msg)
    masks_P = np.concatenate([capture.mask_P for capture in scored])
    maps_P = np.concatenate([capture.map_P for capture in scored])
    return SegmenterFigures(
        normals=len(checked),
        defects=len(defects),
        false_rejects=sum(capture.score >= image_threshold for capture in checked),
        detected=sum(capture.score >= image_threshold for capture in defects),
        image_auroc=image_auroc([capture.score for capture in scored], [capture.is_defect for capture in scored]),
        pixel_ap=average_precision(masks_P, maps_P) if masks_P.any() else 0.0,
    )
