"""Bundles of fitted detectors, made alike for every method.

A method's module has two functions: ``fit(normals, *, false_reject_budget, recipe, input_px) -> Bundle`` and
``load(manifest, parts) -> Detector``. ``fit`` ends with ``make_bundle``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import siad
from siad.contracts.events import WeightsKind
from siad.contracts.manifest import Manifest
from siad.models.backbone import Backbone, Variant, load_backbone
from siad.models.bundle import GOLDEN, Bundle, describe_parts, golden_crops, golden_part
from siad.models.detector import Detector
from siad.models.runner.torch import TorchRunner
from siad.models.teachers.normals import Normals
from siad.models.tensors import unpack
from siad.vision.images import DECODER_VERSION
from siad.vision.preprocess import PREPROCESS_VERSION
from siad.vision.scores import choose_threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedDetector:
    """A detector as a method fitted it, with what its manifest needs."""

    method: str
    detector: Detector  # as it will serve
    parts: Mapping[str, bytes]  # the files that its ``load`` needs, by name
    input_px: int
    held_out: tuple[float, ...]  # image scores of at least two normals that it was not fitted on
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
    threshold, promised = choose_threshold(fitted.held_out, budget=false_reject_budget)
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
        image_threshold=threshold,
        pixel_threshold=threshold,  # a lower one marks twice the defect's area: a smoothed peak has a wide foot
        promised_false_reject=promised,
        held_out_scores=fitted.held_out,
        metrics=tuple(sorted((*fitted.metrics, ("normals", float(len(normals)))))),
        normals=normals.capture_ids,
        training_set=None,
        parent=None,
        left_out=fitted.left_out,
        doubted=fitted.doubted,
    )
    return Bundle(manifest, parts)


@lru_cache(maxsize=4)
def shared_backbone(variant: Variant, data: bytes) -> Backbone:
    """Build a backbone once for all lines.

    They share its 9 MB, which never change.
    """
    return load_backbone(variant, unpack(data))
