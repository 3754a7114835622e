"""What ingest keeps of lines in the store, and the mark of a backfill that is through."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from siad.contracts.documents import LineState, read_line, read_receipt
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import ImageStored
from siad.contracts.fit_settings import FitSettings
from siad.contracts.keys import backfill_key, captures_prefix, line_pointer_key, normals_prefix
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import BlobInfo

log = structlog.get_logger()

READ_AT_ONCE: Final = 64  # receipts


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
        infos = await self._blobs.list_all(normals_prefix(line, product))
        return [one for start in range(0, len(infos), READ_AT_ONCE) for one in await self._receipts(infos, start)]

    async def captures(self, line: str, *, wanted: Callable[[ImageStored], bool], newest: int) -> Sequence[ImageStored]:
        """The newest captures of a line that are wanted, oldest first.

        Receipts are written once, when a capture comes, so they are read from the last written back, and no more of
        them than it takes: a line may have sent millions.
        """
        infos = await self._blobs.list_all(captures_prefix(line))
        infos.sort(key=lambda info: info.modified_at, reverse=True)
        found: list[ImageStored] = []
        for start in range(0, len(infos), READ_AT_ONCE):
            if len(found) >= newest:
                break
            found += filter(wanted, await self._receipts(infos, start))
        return sorted(found, key=lambda capture: (capture.received_at, capture.capture_id))[-newest:] if newest else []

    async def fit_settings(self, line: str) -> FitSettings | None:
        """How the line wants its teacher fitted; None where the line is gone."""
        state = await self._line(line)
        return FitSettings.of_line(state.settings) if state is not None and not state.is_gone else None

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

    async def _receipts(self, infos: Sequence[BlobInfo], start: int) -> list[ImageStored]:
        """Some of them at once; what can't be read is left out."""
        keys = [info.key for info in infos[start : start + READ_AT_ONCE]]
        read = await asyncio.gather(*(self._blobs.run(self._read, key) for key in keys))
        return [one for one in read if one is not None]

    def _read(self, key: str) -> ImageStored | None:
        try:
            return read_receipt(self._blobs.blobs.get(key).data)
        except (CorruptError, MissingError) as error:
            log.error("receipt_left_out", key=key, reason=str(error))
            return None
