"""Bundles of fitted detectors, made alike for every method.

A method's module has two functions: ``fit(normals, *, false_reject_budget, recipe, input_px) -> Bundle`` and
``load(manifest, parts) -> Detector``. ``fit`` ends with ``make_bundle``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import siad
from siad.contracts.events import WeightsKind
from siad.contracts.manifest import Manifest
from siad.models.backbone import Backbone, Variant, load_backbone
from siad.models.bundle import GOLDEN, Bundle, describe_parts, golden_crops, golden_part
from siad.models.detector import Detector
from siad.models.runner.torch import TorchRunner
from siad.models.teachers.normals import Normals
from siad.models.tensors import unpack
from siad.vision.calibration import calibrate
from siad.vision.images import DECODER_VERSION
from siad.vision.preprocess import PREPROCESS_VERSION

_TOWARDS_PIXELS: Final = 0.25  # 0 marks tiles too small, 0.5 dirty spindles too wide
_PIXEL_RATIO_MAX: Final = 0.8  # of the image threshold: at 0.85 wide defects of tiles are marked too small
_PIXEL_RATIO_MIN: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Marking:
    """Scores of normals' pixels, and a detector's response to a point."""

    normal_pixel: float  # raw score that a thousandth of the pixels of held-out normals exceed
    footprint_px: float  # as in the manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedDetector:
    """A detector as a method fitted it, with what its manifest needs."""

    method: str
    detector: Detector  # as it will serve
    parts: Mapping[str, bytes]  # the files that its ``load`` needs, by name
    input_px: int
    held_out: tuple[float, ...]  # image scores of at least two normals that it was not fitted on
    is_left_one_out: bool = False  # whether these normals were left out one at a time, and it serves with all of them
    marking: Marking | None = None  # None: a mark has the pixels that reach the image threshold
    metrics: tuple[tuple[str, float], ...] = ()  # figures of the fit, besides the number of normals
    left_out: tuple[str, ...] = ()  # capture ids of outliers, which it was not fitted on
    doubted: tuple[str, ...] = ()  # capture ids of suspects, which it was fitted on in part


def make_bundle(normals: Normals, fitted: FittedDetector, *, false_reject_budget: float) -> Bundle:
    """Set the threshold, store golden scores and write the manifest.

    Args:
        normals: all of them, those that were left out too.
        fitted: the detector.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).
    """
    chosen = calibrate(fitted.held_out, budget=false_reject_budget, is_left_one_out=fitted.is_left_one_out)
    first = next(index for index, name in enumerate(normals.capture_ids) if name not in fitted.left_out)
    crops = golden_crops(normals.images[first])
    parts = {**fitted.parts, GOLDEN: golden_part(TorchRunner(fitted.detector), crops)}
    manifest = Manifest(
        kind=WeightsKind.TEACHER,
        method=fitted.method,
        line=normals.place.line,
        product=normals.place.product,
        code_version=siad.__version__,
        parts=describe_parts(parts),
        decoder_version=DECODER_VERSION,
        preprocess_version=PREPROCESS_VERSION,
        input_px=fitted.input_px,
        image_threshold=chosen.threshold,
        pixel_threshold=_pixel_threshold(fitted.marking, chosen.threshold),
        promised_false_reject=chosen.promised,
        held_out_scores=fitted.held_out,
        metrics=tuple(sorted((*fitted.metrics, ("normals", float(len(normals) - len(normals.unconfirmed)))))),
        normals=tuple(name for name in normals.capture_ids if name not in normals.unconfirmed),
        training_set=None,
        parent=None,
        left_out=fitted.left_out,
        doubted=fitted.doubted,
        false_rejects=chosen.rate,
        footprint_px=0.0 if fitted.marking is None else fitted.marking.footprint_px,
        stream_normals=tuple(
            name for name in normals.capture_ids if name in normals.unconfirmed and name not in fitted.left_out
        ),
    )
    return Bundle(manifest, parts)


def _pixel_threshold(marking: Marking | None, image_threshold: float) -> float:
    """Choose the score that a marked pixel reaches at least.

    In log a quarter of the way from the image threshold down to what normals' pixels reach, and between half of that
    threshold and .8 of it: dirt about a defect scores over normals' pixels, and a wide defect under the image
    threshold at its border.
    """
    if marking is None or image_threshold <= 0:
        return image_threshold
    highest = min(marking.normal_pixel, image_threshold)
    ratio = math.pow(max(highest, 0.0) / image_threshold, _TOWARDS_PIXELS)
    return image_threshold * min(max(ratio, _PIXEL_RATIO_MIN), _PIXEL_RATIO_MAX)


@lru_cache(maxsize=4)
def shared_backbone(variant: Variant, data: bytes) -> Backbone:
    """Build a backbone once for all lines.

    They share its 9 MB, which never change.
    """
    return load_backbone(variant, unpack(data)).requires_grad_(requires_grad=False)
