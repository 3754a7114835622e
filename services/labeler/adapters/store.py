"""What ingest keeps of lines in the store, and the mark of a backfill that is through."""

import json

import structlog

from siad.core.documents import LineState, read_line, read_receipt
from siad.core.errors import CorruptError, MissingError
from siad.core.events import ImageStored
from siad.core.keys import backfill_key, captures_prefix, line_pointer_key, normals_prefix
from siad.runtime.blobs.aio import AsyncBlobs

log = structlog.get_logger()


class StoredLines:
    """Lines, their normals and captures."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def with_normals(self) -> list[tuple[str, str]]:
        """Every line and product that has a normal."""
        infos = await self._blobs.list_all("normals/")
        return sorted({(line, product) for _, line, product, _ in (info.key.split("/") for info in infos)})

    async def count_normals(self, line: str, product: str) -> int:
        """Captures known to be good."""
        return len(await self._blobs.list_all(normals_prefix(line, product)))

    async def normals(self, line: str, product: str) -> list[ImageStored]:
        """Captures known to be good."""
        return await self._receipts(normals_prefix(line, product))

    async def captures(self, line: str) -> list[ImageStored]:
        """Everything that a line has sent."""
        return await self._receipts(captures_prefix(line))

    async def false_reject_budget(self, line: str) -> float | None:
        """Share of good parts that the line may reject; None where the line is gone."""
        state = await self._line(line)
        return state.settings.false_reject_budget if state is not None and not state.is_gone else None

    async def shards(self, line: str) -> int:
        """Into how many keys the line's captures are spread."""
        state = await self._line(line)
        return state.settings.shards if state is not None else 1

    async def is_backfilled(self, line: str, product: str) -> bool:
        """Whether what came before the first teacher was labelled."""
        return await self._blobs.head(backfill_key(line, product)) is not None

    async def set_backfilled(self, line: str, product: str, *, weights: str, captures: int) -> None:
        """Write down that it was."""
        data = json.dumps({"weights": weights, "captures": captures}).encode()
        await self._blobs.put(backfill_key(line, product), data, content_type="application/json")

    async def _line(self, line: str) -> LineState | None:
        try:
            return read_line((await self._blobs.get(line_pointer_key(line))).data)
        except MissingError:
            return None

    async def _receipts(self, prefix: str) -> list[ImageStored]:
        infos = await self._blobs.list_all(prefix)
        return await self._blobs.run(lambda: [one for info in infos if (one := self._read(info.key)) is not None])

    def _read(self, key: str) -> ImageStored | None:
        try:
            return read_receipt(self._blobs.blobs.get(key).data)
        except (CorruptError, MissingError) as error:
            log.error("receipt_left_out", key=key, reason=str(error))
            return None
