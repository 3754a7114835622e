"""Weights in service, as the pointers in the store name them."""

import structlog

from services.console.domain.serving import WeightsInService
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.store.registry import Registry

log = structlog.get_logger()


class StoredServing:
    """The port ``ServingWeights``."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs, self._registry = blobs, Registry(blobs.blobs)
        self._known: dict[str, WeightsInService] = {}  # of manifests, which never change; by weights

    async def serving(self, place: Place) -> WeightsInService | None:
        """Read the segmenter in service, else the teacher."""
        return await self._blobs.run(self._read, place)

    def _read(self, place: Place) -> WeightsInService | None:
        try:
            for kind in (WeightsKind.SEGMENTER, WeightsKind.TEACHER):
                pointer = self._registry.pointer(kind, place)
                if pointer is not None and pointer.status is SegmenterStatus.SERVING:
                    return self._described(place, pointer.weights)
        except (CorruptError, MissingError) as error:
            log.warning("pointer_refused", line=place.line, product=place.product, reason=str(error))
        return None

    def _described(self, place: Place, weights: str) -> WeightsInService:
        if weights not in self._known:
            manifest = self._registry.manifest(place, weights)
            self._known[weights] = WeightsInService(weights, manifest.image_threshold, manifest.profile)
        return self._known[weights]
