"""Lines, normals and captures in the store; marks of finished backfills."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from siad.contracts.documents import LineState, read_line, read_receipt
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import ImageStored
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import WeightsId
from siad.contracts.keys import backfill_key, captures_prefix, line_pointer_key, normals_prefix
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import BlobInfo

log = structlog.get_logger()

READ_AT_ONCE: Final = 64  # receipts
_NORMAL_KEY_PARTS: Final = 4  # normals/<line>/<product>/<capture>.json


class StoredLines:
    """Reads lines, normals and captures; keeps the marks of finished backfills."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def places_with_normals(self) -> list[Place]:
        """List every line and product that has a normal."""
        keys = [info.key.split("/") for info in await self._blobs.list_all("normals/")]
        return sorted({Place(parts[1], parts[2]) for parts in keys if len(parts) == _NORMAL_KEY_PARTS})

    async def count_normals(self, place: Place) -> int:
        """Count the captures known to be good."""
        return len(await self._blobs.list_all(normals_prefix(*place)))

    async def normals(self, place: Place) -> list[ImageStored]:
        """Read the captures known to be good; log and omit unreadable receipts."""
        infos = await self._blobs.list_all(normals_prefix(*place))
        batches = [await self._receipts(infos, start) for start in range(0, len(infos), READ_AT_ONCE)]
        return [receipt for batch in batches for receipt in batch]

    async def captures(self, line: str, *, wanted: Callable[[ImageStored], bool], newest: int) -> Sequence[ImageStored]:
        """Read the ``newest`` captures of a line that are ``wanted``, oldest first.

        A line may have sent millions. Receipts are written once, on arrival, so the last written are read first, and
        reading ends with the batch that completes the result.
        """
        infos = await self._blobs.list_all(captures_prefix(line))
        infos.sort(key=lambda info: info.modified_at, reverse=True)
        chosen: list[ImageStored] = []
        for start in range(0, len(infos), READ_AT_ONCE):
            if len(chosen) >= newest:
                break
            chosen += filter(wanted, await self._receipts(infos, start))
        return sorted(chosen, key=lambda capture: (capture.received_at, capture.capture_id))[-newest:] if newest else []

    async def fit_settings(self, line: str) -> FitSettings | None:
        """Read a line's request for its teacher; None for a removed line."""
        state = await self._line(line)
        return FitSettings.of_line(state.settings) if state is not None and not state.is_gone else None

    async def shards(self, line: str) -> int:
        """Return into how many record keys the line's captures are spread."""
        state = await self._line(line)
        return state.settings.shards if state is not None else 1

    async def is_backfilled(self, place: Place) -> bool:
        """Whether the captures from before the first teacher were labelled."""
        return await self._blobs.head(backfill_key(*place)) is not None

    async def set_backfilled(self, place: Place, *, weights: WeightsId, captures: int) -> None:
        """Record that they were."""
        data = json.dumps({"weights": weights, "captures": captures}).encode()
        await self._blobs.put(backfill_key(*place), data, content_type="application/json")

    async def _line(self, line: str) -> LineState | None:
        try:
            return read_line((await self._blobs.get(line_pointer_key(line))).data)
        except MissingError:
            return None

    async def _receipts(self, infos: Sequence[BlobInfo], start: int) -> list[ImageStored]:
        """Read one batch of receipts at once; omit unreadable ones."""
        keys = [info.key for info in infos[start : start + READ_AT_ONCE]]
        receipts = await asyncio.gather(*(self._blobs.run(self._read, key) for key in keys))
        return [receipt for receipt in receipts if receipt is not None]

    def _read(self, key: str) -> ImageStored | None:
        try:
            return read_receipt(self._blobs.blobs.get(key).data)
        except (CorruptError, MissingError) as error:
            log.error("receipt_left_out", key=key, reason=str(error))
            return None
