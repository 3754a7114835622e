"""Newest scores of each stream, in the store."""

import asyncio
from collections import defaultdict
from typing import Final

import structlog

from siad.contracts.errors import ConflictError, CorruptError, MissingError, TransientError
from siad.contracts.events import PseudoMaskCreated
from siad.contracts.keys import stream_scores_key
from siad.contracts.place import Place
from siad.contracts.stream_scores import WEIGHTS_CHARS, StreamScore, StreamScores
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import PutCondition

log = structlog.get_logger()

STORE_S: Final = 5.0  # between two stores of what was noted; a crash loses as much
NOTED_MAX: Final = 2000  # scores of one place that wait while the store is unavailable
CONFLICTS_MAX: Final = 8  # other processes that label the same line were first


class StoredStreamScores:
    """Notes scores, and merges them into one document of each place.

    Scores serve statistics: where a process ends without storing them, some are missing, and no capture is lost.
    """

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs
        self._noted: dict[Place, list[StreamScore]] = defaultdict(list)
        self._read: dict[Place, tuple[str, StreamScores]] = {}  # as last read, by etag

    def note(self, mask: PseudoMaskCreated) -> None:
        """Remember the score of one capture."""
        noted = self._noted[Place(mask.line, mask.product)]
        noted.append(
            StreamScore(
                capture_id=mask.capture_id,
                received_at=mask.received_at,
                weights=mask.weights[:WEIGHTS_CHARS],
                score=mask.score,
                threshold=mask.threshold,
                defect_ratio=mask.defect_ratio,
                regions=len(mask.regions),
                serial=mask.serial,
                image_hash=mask.image_hash,
            )
        )
        del noted[:-NOTED_MAX]

    async def read(self, place: Place) -> StreamScores:
        """Read the scores of a line and product; none before the first."""
        info = await self._blobs.head(stream_scores_key(*place))
        known = self._read.get(place)
        if info is not None and known is not None and known[0] == info.etag:
            return known[1]
        scores, etag = await self._stored(place)
        if etag is not None:
            self._read[place] = (etag, scores)
        return scores

    async def follow(self, stop: asyncio.Event) -> None:
        """Store what was noted every few seconds, and at the end."""
        while not stop.is_set():
            try:
                async with asyncio.timeout(STORE_S):
                    await stop.wait()
            except TimeoutError:
                pass
            await self.store()

    async def store(self) -> None:
        """Store what was noted; in an outage it waits."""
        for place in list(self._noted):
            new = tuple(self._noted.pop(place))
            try:
                await self._merge(place, new)
            except TransientError as error:
                log.warning("stream_scores_put_off", line=place.line, product=place.product, reason=str(error))
                self._noted[place] = [*new, *self._noted[place]][-NOTED_MAX:]

    async def _merge(self, place: Place, new: tuple[StreamScore, ...]) -> None:
        for _ in range(CONFLICTS_MAX):
            stored, etag = await self._stored(place)
            try:
                await self._blobs.put(
                    stream_scores_key(*place),
                    stored.merged(new).to_json(),
                    content_type="application/json",
                    condition=PutCondition(etag),
                )
            except ConflictError:
                continue
            return
        msg = f"other processes kept writing the stream scores of {place}"
        raise TransientError(msg)

    async def _stored(self, place: Place) -> tuple[StreamScores, str | None]:
        try:
            blob = await self._blobs.get(stream_scores_key(*place))
        except MissingError:
            return StreamScores(), None
        try:
            return StreamScores.from_json(blob.data), blob.etag
        except CorruptError as error:  # they begin anew: refits wait for the next captures
            log.error("stream_scores_damaged", line=place.line, product=place.product, reason=str(error))
            return StreamScores(), blob.etag
