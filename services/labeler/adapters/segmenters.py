"""Segmenters in service, and the spread of their scores."""

import structlog

from services.labeler import metrics
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import SegmenterReleased, SegmenterStatus
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.state_table import StateTable
from siad.runtime.store.registry import Registry

log = structlog.get_logger()


class KnownSegmenters:
    """The port ``SegmenterLookup``, from the state topic and the store."""

    def __init__(self, table: StateTable[SegmenterReleased], blobs: AsyncBlobs) -> None:
        self._table = table
        self._blobs = blobs
        self._spreads: dict[str, float] = {}  # by weights; a manifest never changes

    def serves(self, place: Place) -> bool:
        """Whether a segmenter is known to judge a line and product."""
        release = self._table.lookup(str(place))
        return release is not None and release.status is SegmenterStatus.SERVING

    async def spread(self, place: Place, weights: str) -> float | None:
        """Read the spread of the normals' scores; None where unreadable."""
        if weights not in self._spreads:
            try:
                manifest = await self._blobs.run(Registry(self._blobs.blobs).manifest, place, weights)
            except (CorruptError, MissingError) as error:
                log.warning("spread_unread", line=place.line, weights=weights[:12], reason=str(error))
                return None
            self._spreads[weights] = manifest.spread
        return self._spreads[weights]

    def count_not_labelled(self, line: str) -> None:
        """Count a capture that is not labelled by choice."""
        metrics.NOT_LABELLED.labels(line).inc()
