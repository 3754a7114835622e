"""Judgement of a stored capture by the weights in service now.

Nothing is published and nothing is stored.

Shape suffixes: H = image height, W = image width.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from siad.contracts import keys
from siad.contracts.documents import read_line
from siad.contracts.errors import CorruptError, MissingError, UnusableWeightsError
from siad.contracts.events import Decision, ImageStored, Region, WeightsKind
from siad.contracts.manifest import Manifest
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.models.predictor import Predictor, pixel_threshold_at
from siad.runtime.blobs.port import Blobs, get_verified
from siad.runtime.store.registry import Registry
from siad.runtime.store.thresholds import stored_threshold_set
from siad.vision.images import ImageError, decode_image
from siad.vision.plausibility import Misfit
from siad.vision.threshold_in_use import ThresholdInUse, threshold_in_use


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementToday:
    """What the weights in service now say about a capture."""

    decision: Decision
    reason: str = ""  # why UNKNOWN, in words; empty otherwise
    score: float = 0.0
    threshold: float = 0.0
    pixel_threshold: float = 0.0
    threshold_revision: int = 0
    line_revision: int = 0  # of the present settings
    regions: tuple[Region, ...] = ()
    weights: str = ""
    weights_kind: WeightsKind = WeightsKind.UNSPECIFIED
    runner: str = ""


@dataclass(frozen=True, slots=True)
class _ServingWeights:
    predictor: Predictor
    threshold: ThresholdInUse
    sizes: SizeRule
    line_revision: int


def serving_weights(blobs: Blobs, place: Place) -> tuple[Manifest, dict[str, bytes]]:
    """Read manifest and parts of the weights that serve a place.

    The segmenter's where it serves, else the teacher's, as inference chooses.

    Raises:
        LookupError: no weights are released; says what to do.
        CorruptError, MissingError: they can't be read.
        TransientError: the store is unavailable.
    """
    registry = Registry(blobs)
    for kind in (WeightsKind.SEGMENTER, WeightsKind.TEACHER):
        pointer = registry.pointer(kind, place)
        if pointer is not None and pointer.in_service:
            manifest = registry.manifest(place, pointer.in_service)
            return manifest, registry.parts(manifest)
    msg = f"no weights serve line {place.line}, product {place.product}: a teacher is fitted once it has enough normals"
    raise LookupError(msg)


class JudgeToday:
    """Judges captures by the weights in service, opened once for each place."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._serving: dict[Place, _ServingWeights | str] = {}  # or why there are none

    def judge(self, receipt: ImageStored) -> tuple[JudgementToday, NDArray[np.uint8] | None]:
        """Judge one capture.

        Also return the mask of a defect, uint8 [H, W].

        Where it can't be judged, the decision is UNKNOWN and the reason says why.

        Raises:
            TransientError: the store is unavailable, or memory ran out.
        """
        place = Place(receipt.line, receipt.product)
        if place not in self._serving:
            self._serving[place] = self._open(place)
        serving = self._serving[place]
        if isinstance(serving, str):
            return JudgementToday(decision=Decision.UNKNOWN, reason=serving), None
        try:
            data = get_verified(self._blobs, self._blobs.key_of(receipt.image_uri), sha256=receipt.image_id)
            image_HWC = decode_image(data)
        except (CorruptError, MissingError, ImageError, ValueError) as error:
            return JudgementToday(decision=Decision.UNKNOWN, reason=f"the image can't be judged: {error}"), None
        predictor, threshold = serving.predictor, serving.threshold
        (finding,) = predictor.examine([image_HWC], sizes=serving.sizes)
        judgement = JudgementToday(
            decision=Decision.UNKNOWN,
            threshold=threshold.image_threshold,
            pixel_threshold=pixel_threshold_at(predictor.manifest, predictor.image_threshold),
            threshold_revision=threshold.revision,
            line_revision=serving.line_revision,
            weights=predictor.manifest.weights,
            weights_kind=predictor.manifest.kind,
            runner=predictor.runner_name,
        )
        if isinstance(finding, Misfit):
            return replace(judgement, reason=f"{finding.reason.value}: {finding.detail}"), None
        if not finding.is_defect:
            return replace(judgement, decision=Decision.PASS, score=finding.score), None
        rejected = replace(judgement, decision=Decision.REJECT, score=finding.score, regions=finding.regions)
        return rejected, finding.mask_HW

    def _open(self, place: Place) -> _ServingWeights | str:
        """Open the weights of a place, or say why not."""
        from siad.models.bundle import open_bundle  # runners take a second to import, and `siad --help` needs none

        try:
            manifest, parts = serving_weights(self._blobs, place)
            predictor = open_bundle(manifest, parts)
            settings = read_line(self._blobs.get(keys.line_pointer_key(place.line)).data).settings
        except (LookupError, CorruptError, MissingError, UnusableWeightsError) as error:
            return str(error)
        threshold = threshold_in_use(manifest, stored_threshold_set(self._blobs, place, manifest.weights))
        return _ServingWeights(
            predictor=predictor.at_threshold(threshold.image_threshold),
            threshold=threshold,
            sizes=SizeRule.of(settings.sizes),
            line_revision=settings.revision,
        )
