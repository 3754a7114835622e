"""The segmenter in service, which a candidate is compared with."""

import structlog

from services.trainer.domain.records import RunSpec
from siad.contracts.errors import CorruptError, MissingError, UnusableWeightsError
from siad.contracts.place import Place
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.registry import Registry

log = structlog.get_logger()


def open_serving(blobs: Blobs, spec: RunSpec) -> Predictor | None:
    """Open the serving segmenter; None if missing or not usable.

    Weights of another version, or damaged ones, serve no line, so the candidate is judged like the first of its line.
    Otherwise no candidate could ever replace them.

    Raises:
        TransientError: the store is unavailable or denies access, or memory ran out.
    """
    if not spec.serving:
        return None
    registry = Registry(blobs)
    try:
        manifest = registry.manifest(Place(spec.line, spec.product), spec.serving)
        return open_bundle(manifest, registry.parts(manifest))
    except (UnusableWeightsError, MissingError, CorruptError) as error:
        log.error("serving_segmenter_unusable", run=spec.run, weights=spec.serving, reason=str(error))
        return None
