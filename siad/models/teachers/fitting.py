"""What every fit begins and ends with, whatever its method: normals in order, thresholds, golden outputs, manifest.

A method's module has two functions: ``fit(images, *, line, product, normals, false_reject_budget) -> Bundle`` and
``load(manifest, parts) -> Detector``. Between ``gather`` and ``finish`` stands what is its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import siad
from siad.contracts.events import WeightsKind
from siad.contracts.manifest import Manifest
from siad.models.backbone import Backbone, Variant, load_backbone
from siad.models.bundle import GOLDEN, Bundle, describe_parts, golden_crops, golden_part
from siad.models.detector import Detector
from siad.models.runner.torch import TorchRunner
from siad.models.tensors import unpack
from siad.vision.images import DECODER_VERSION, Image
from siad.vision.preprocess import PREPROCESS_VERSION
from siad.vision.scores import choose_threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Normals:
    """Good images of one product on one line, in the order of their capture ids."""

    images: tuple[Image, ...]  # uint8 or uint16 [H, W, C], of any sizes
    names: tuple[str, ...]  # capture ids, ascending
    line: str
    product: str
    false_reject_budget: float  # share of good parts that may be rejected, in (0, 1)

    def __len__(self) -> int:
        """How many."""
        return len(self.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedDetector:
    """A detector as a method leaves it, not yet a bundle."""

    method: str
    detector: Detector  # as it will be served
    parts: Mapping[str, bytes]  # what its ``load`` needs, by name
    input_px: int
    held_out: tuple[float, ...]  # image scores of normals that it was not fitted on, two at least
    metrics: tuple[tuple[str, float], ...] = ()  # figures of the fit, besides the number of normals
    left_out: tuple[str, ...] = ()  # capture ids of normals that look like defects, so it was not fitted on them
    doubted: tuple[str, ...] = ()  # capture ids of normals that may be defects, so it learned them but in part


def gather(
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
    at_least: int = 2,
) -> Normals:
    """Put normals in the order of their capture ids: the same normals give the same weights, however they come.

    Args:
        images: decoded, uint8 or uint16 [H, W, C], of any sizes.
        line: slug.
        product: slug.
        normals: the capture id of each image.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).
        at_least: how many the method needs; with one there is nothing to hold out.

    Raises:
        ValueError: fewer than that, or not one id an image.
    """
    if len(images) < at_least or len(images) != len(normals):
        counts = f"{len(images)} images and {len(normals)} capture ids"
        msg = f"{counts}; as many ids as images and at least {at_least} are needed"
        raise ValueError(msg)
    order = sorted(range(len(normals)), key=lambda index: normals[index])
    return Normals(
        images=tuple(images[index] for index in order),
        names=tuple(normals[index] for index in order),
        line=line,
        product=product,
        false_reject_budget=false_reject_budget,
    )


def finish(normals: Normals, fitted: FittedDetector) -> Bundle:
    """Cut by the held-out scores, write down golden outputs, and describe it all."""
    threshold, promised = choose_threshold(fitted.held_out, budget=normals.false_reject_budget)
    first = next(index for index, name in enumerate(normals.names) if name not in fitted.left_out)
    parts = {**fitted.parts, GOLDEN: golden_part(TorchRunner(fitted.detector), golden_crops(normals.images[first]))}
    manifest = Manifest(
        kind=WeightsKind.TEACHER,
        method=fitted.method,
        line=normals.line,
        product=normals.product,
        code_version=siad.__version__,
        parts=describe_parts(parts),
        decoder_version=DECODER_VERSION,
        preprocess_version=PREPROCESS_VERSION,
        input_px=fitted.input_px,
        image_threshold=threshold,
        pixel_threshold=threshold,  # a lower one marks twice the defect's area: a smoothed peak has wide feet
        promised_false_reject=promised,
        held_out_scores=fitted.held_out,
        metrics=tuple(sorted((*fitted.metrics, ("normals", float(len(normals)))))),
        normals=normals.names,
        training_set=None,
        parent=None,
        left_out=fitted.left_out,
        doubted=fitted.doubted,
    )
    return Bundle(manifest, parts)


@lru_cache(maxsize=4)
def shared_backbone(variant: Variant, data: bytes) -> Backbone:
    """All lines have the same backbone, and nothing in it changes: 9 MB once, not 9 MB a line."""
    return load_backbone(variant, unpack(data))
