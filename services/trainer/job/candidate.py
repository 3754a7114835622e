"""From a frozen training set to a candidate: what its members show, what the network says of those held out.

Runs inside the job. Images are decoded one at a time: those to train on are kept small, those held out are only scored.

Shape suffixes: C = channels, H, W = size of the network's input, h, w = size of an image; P = pixels of all maps.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

import siad
from services.trainer.domain.records import RunSpec, SegmenterFigures
from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from siad.contracts.events import WeightsKind
from siad.contracts.manifest import Manifest
from siad.models.bundle import GOLDEN, Bundle, describe_parts, golden_crops, golden_part
from siad.models.predictor import score_maps
from siad.models.runner.torch import TorchRunner
from siad.models.segmenter import METHOD, Segmenter, parts_of
from siad.models.training.augment import TrainingExample
from siad.models.training.segmenter import bytes_of
from siad.vision.images import DECODER_VERSION, Image
from siad.vision.masks import DEFECT, IGNORE
from siad.vision.preprocess import PREPROCESS_VERSION, input_size, preprocess
from siad.vision.region import EVERYTHING, RegionOfInterest
from siad.vision.scores import choose_threshold, image_auroc

Seen = tuple[Image, NDArray[np.uint8] | None]  # decoded, and the teacher's mask at image size; None for a normal
Look = Callable[
    [Sequence[TrainingMember]], Iterator[tuple[TrainingMember, Seen]]
]  # in order; leaves out what can't be read
Scorer = Callable[[Sequence[Image]], list[NDArray[np.float32]]]  # maps at image size, as ``Examiner.maps`` gives them

_MAP_PX_MIN = 64  # side to which maps are shrunk to be compared with masks: pixel figures need no more
_MAP_SHARE = 1 / 4  # of the input's side, where that is more: what a larger view is for must still be there
_MARK_QUANTILE = 0.995  # of the good captures' pixels; marks where no mask tells better


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCapture:
    """What one detector said of one held-out capture."""

    member: TrainingMember
    score: float
    map_P: NDArray[np.float32]
    mask_P: NDArray[np.bool_]


def scorer_of(segmenter: Segmenter, *, input_px: int, interest: RegionOfInterest = EVERYTHING) -> Scorer:
    """A network that has no manifest yet, as a scorer of whole images."""
    return partial(score_maps, TorchRunner(segmenter), input_px=input_px, interest=interest)


def cut_to(interest: RegionOfInterest, look: Look) -> Look:
    """Show members as the network shall see them: images and masks cut to the region of interest."""

    def look_closer(members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, Seen]]:
        for member, (image_HWC, mask_hw) in look(members):
            yield member, (interest.cut(image_HWC), None if mask_hw is None else interest.cut_mask(mask_hw))

    return look_closer


def examples_of(chosen: TrainingSet, look: Look, *, input_px: int) -> list[TrainingExample]:
    """What there is to train on, preprocessed and kept as bytes; one shape, which is that of most images."""
    members = [member for member in chosen.members if member.use is MemberUse.TRAIN]
    examples = [_example(member, *seen, input_px=input_px) for member, seen in look(members)]
    shape = Counter(example.mask_HW.shape for example in examples).most_common(1)[0][0]
    return [example if example.mask_HW.shape == shape else _reshaped(example, shape) for example in examples]


def _example(
    member: TrainingMember, image_HWC: Image, mask_hw: NDArray[np.uint8] | None, *, input_px: int
) -> TrainingExample:
    height, width = input_size(*image_HWC.shape[:2], input_px=input_px)
    mask_HW = np.zeros((height, width), np.uint8)
    if mask_hw is not None:
        mask_HW[_share(mask_hw == IGNORE, (width, height)) > 0] = IGNORE
        if member.role is MemberRole.DEFECT:
            mask_HW[_covered(mask_hw == DEFECT, (width, height))] = DEFECT
    small = bytes_of(preprocess(image_HWC, input_px=input_px))
    return TrainingExample(image_CHW=small, mask_HW=mask_HW, weight=member.weight)


def _share(marked_hw: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    """How much of each pixel of a smaller mask, width and height, is marked: float32, 0..1."""
    return np.asarray(cv2.resize(marked_hw.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def _covered(marked_hw: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A smaller mask, width and height: by area, so that no scratch or speck falls between two pixels."""
    share_HW = _share(marked_hw, size)
    return (share_HW > 0) & (share_HW >= min(0.5, float(share_HW.max())))


def _reshaped(example: TrainingExample, shape: tuple[int, ...]) -> TrainingExample:
    size = (shape[1], shape[0])
    planes = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in example.image_CHW]
    mask_HW = np.asarray(cv2.resize(example.mask_HW, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return TrainingExample(image_CHW=np.stack(planes).astype(np.uint8), mask_HW=mask_HW, weight=example.weight)


def score_held_out(
    chosen: TrainingSet, look: Look, scorers: Mapping[str, Scorer], *, input_px: int
) -> dict[str, list[ScoredCapture]]:
    """Have every detector score every held-out capture; each image is fetched once.

    Args:
        chosen: what was held out, and what not.
        look: shows members.
        scorers: by name.
        input_px: side of the square with the area that the candidate is shown images at; the larger, the finer maps are
            compared.
    """
    side = max(_MAP_PX_MIN, round(input_px * _MAP_SHARE))
    scored: dict[str, list[ScoredCapture]] = {name: [] for name in scorers}
    members = [member for member in chosen.members if member.use is not MemberUse.TRAIN]
    for member, (image_HWC, mask_hw) in look(members):
        for name, scorer in scorers.items():
            [map_hw] = scorer([image_HWC])
            known_P, mask_P = _known(mask_hw, side), _marked(mask_hw, member, side)
            map_P = _shrunk(map_hw, side)[known_P]
            scored[name].append(
                ScoredCapture(member=member, score=float(map_hw.max()), map_P=map_P, mask_P=mask_P[known_P])
            )
    return scored


def _shrunk(map_hw: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(map_hw, (side, side), interpolation=cv2.INTER_AREA), np.float32).ravel()


def _marked(mask_hw: NDArray[np.uint8] | None, member: TrainingMember, side: int) -> NDArray[np.bool_]:
    if mask_hw is None or member.role is not MemberRole.DEFECT:
        return np.zeros(side * side, np.bool_)
    return _covered(mask_hw == DEFECT, (side, side)).ravel()


def _known(mask_hw: NDArray[np.uint8] | None, side: int) -> NDArray[np.bool_]:
    """Where the teacher's views agreed; all of it, if that left nothing."""
    everywhere = np.ones(side * side, np.bool_)
    known_P = everywhere if mask_hw is None else _shrunk((mask_hw == IGNORE).astype(np.float32), side) < 0.5
    return known_P if known_P.any() else everywhere


def thresholds_of(
    scored: Iterable[ScoredCapture], *, budget: float
) -> tuple[float, float, float | None, tuple[float, ...]]:
    """Cut by the captures held out to calibrate on.

    Returns:
        Image threshold, pixel threshold, promised false-reject rate or None, and the scores they rest on.
    """
    known = [one for one in scored if one.member.use is MemberUse.CALIBRATE]
    goods = [one for one in known if one.member.role is not MemberRole.DEFECT]
    held_out = tuple(one.score for one in goods)
    threshold, promised = choose_threshold(held_out, budget=budget)
    usual = float(np.quantile(np.concatenate([one.map_P for one in goods]), _MARK_QUANTILE))
    mark = _best_mark([one for one in known if one.member.role is MemberRole.DEFECT], otherwise=usual)
    return threshold, min(threshold, mark), promised, held_out


def _best_mark(defects: Sequence[ScoredCapture], *, otherwise: float) -> float:
    """Where the marks agree best (F1) with the teacher's, over the defects held out to calibrate on."""
    if not any(one.mask_P.any() for one in defects):
        return otherwise
    masks_P = np.concatenate([one.mask_P for one in defects])
    precision, recall, cuts = precision_recall_curve(masks_P, np.concatenate([one.map_P for one in defects]))
    agreement = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return float(cuts[int(np.argmax(agreement[:-1]))])


def figures_of(scored: Sequence[ScoredCapture], *, image_threshold: float) -> SegmenterFigures:
    """What a detector did on captures that it never saw.

    The good captures to calibrate on made the threshold, so they say nothing of false rejects; of all else, that no
    threshold or only the good ones had a part in, every held-out capture may speak: defects are few.
    """
    is_defect = [one.member.role is MemberRole.DEFECT for one in scored]
    defects = [one for one in scored if one.member.role is MemberRole.DEFECT]
    checked = [one for one in scored if one.member.role is not MemberRole.DEFECT and one.member.use is MemberUse.CHECK]
    masks_P = np.concatenate([one.mask_P for one in scored])
    maps_P = np.concatenate([one.map_P for one in scored])
    return SegmenterFigures(
        normals=len(checked),
        defects=len(defects),
        false_rejects=sum(one.score >= image_threshold for one in checked),
        detected=sum(one.score >= image_threshold for one in defects),
        image_auroc=image_auroc([one.score for one in scored], is_defect),
        pixel_ap=float(average_precision_score(masks_P, maps_P)) if masks_P.any() else 0.0,
    )


def make_candidate(
    segmenter: Segmenter, spec: RunSpec, scored: Sequence[ScoredCapture], *, normal: Image
) -> tuple[Bundle, SegmenterFigures]:
    """Bundle a trained network with thresholds from what it was not trained on, and say what it does on the rest."""
    threshold, mark, promised, held_out = thresholds_of(scored, budget=spec.false_reject_budget)
    figures = figures_of(scored, image_threshold=threshold)
    parts = {**parts_of(segmenter), GOLDEN: golden_part(TorchRunner(segmenter), golden_crops(normal))}
    manifest = Manifest(
        kind=WeightsKind.SEGMENTER,
        method=METHOD,
        line=spec.line,
        product=spec.product,
        code_version=siad.__version__,
        parts=describe_parts(parts),
        decoder_version=DECODER_VERSION,
        preprocess_version=PREPROCESS_VERSION,
        input_px=spec.input_px,
        image_threshold=threshold,
        pixel_threshold=mark,
        promised_false_reject=promised,
        held_out_scores=held_out,
        metrics=(
            ("checked_defects", float(figures.defects)),
            ("checked_normals", float(figures.normals)),
            ("detection_rate", figures.detection_rate),
            ("false_reject_rate", figures.false_reject_rate),
            ("image_auroc", figures.image_auroc),
            ("pixel_ap", figures.pixel_ap),
        ),
        normals=(),
        training_set=spec.training_set,
        parent=spec.teacher,
        region=spec.region,
    )
    return Bundle(manifest, parts), figures
