"""Reader of what ingest stores about lines: settings, normals and receipts."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from siad.contracts import keys
from siad.contracts.documents import LineState, read_line, read_receipt
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import ImageStored, LineChanged
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import BlobInfo

log = structlog.get_logger()

READ_AT_ONCE: Final = 64  # receipts


class StoredLines:
    """Reads lines, and keeps the normals that it has read."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs
        self._normals: dict[Place, dict[tuple[str, str], ImageStored | None]] = {}  # by key and etag

    async def names(self) -> list[str]:
        """List every line that was ever registered, in order."""
        return [keys.name_of(info.key) for info in await self._blobs.list_all(keys.line_pointers_prefix())]

    async def pointer(self, line: str) -> tuple[LineState, str] | None:
        """Read a line's state and its pointer's etag; None if unknown.

        Raises:
            CorruptError: the pointer can't be read.
        """
        try:
            blob = await self._blobs.get(keys.line_pointer_key(line))
        except MissingError:
            return None
        return read_line(blob.data), blob.etag

    async def settings(self, line: str) -> LineChanged | None:
        """Read the settings of a line; None if ended or unknown.

        Raises:
            CorruptError: the pointer can't be read.
        """
        found = await self.pointer(line)
        return None if found is None or found[0].is_gone else found[0].settings

    async def revision(self, line: str, revision: int) -> LineChanged:
        """Read the settings of a line at one revision.

        Raises:
            MissingError: there is no such revision.
            CorruptError: it can't be read.
        """
        return read_line((await self._blobs.get(keys.line_revision_key(line, revision))).data).settings

    async def places_with_normals(self) -> list[Place]:
        """List every line and product that has a normal."""
        infos = await self._blobs.list_all(keys.normals_prefix())
        return sorted({place for info in infos if (place := keys.place_of_normal(info.key)) is not None})

    async def normal_names(self, place: Place) -> list[str]:
        """List the ids of the captures labelled normal."""
        return [keys.name_of(info.key) for info in await self._blobs.list_all(keys.normals_prefix(*place))]

    async def normals(self, place: Place) -> list[ImageStored]:
        """Read the normals, by capture id; log and omit unreadable ones."""
        infos = await self._blobs.list_all(keys.normals_prefix(*place))
        known = self._normals.get(place, {})
        new = [info for info in infos if (info.key, info.etag) not in known]
        read = {(info.key, info.etag): receipt for info, receipt in zip(new, await self._receipts(new), strict=True)}
        found = {(info.key, info.etag): (known | read)[info.key, info.etag] for info in infos}
        self._normals[place] = found  # without those that were deleted
        return [receipt for receipt in found.values() if receipt is not None]

    async def captures(self, line: str, *, wanted: Callable[[ImageStored], bool], newest: int) -> Sequence[ImageStored]:
        """Read the ``newest`` captures of a line that are ``wanted``, oldest first.

        A line may have sent millions. Receipts are written once, on arrival, so the last written are read first, and
        reading ends with the batch that completes the result.
        """
        infos = await self._blobs.list_all(keys.captures_prefix(line))
        infos.sort(key=lambda info: info.modified_at, reverse=True)
        chosen: list[ImageStored] = []
        for start in range(0, len(infos), READ_AT_ONCE):
            if len(chosen) >= newest:
                break
            batch = await self._receipts(infos[start : start + READ_AT_ONCE])
            chosen += [receipt for receipt in batch if receipt is not None and wanted(receipt)]
        return sorted(chosen, key=lambda capture: (capture.received_at, capture.capture_id))[-newest:] if newest else []

    async def receipts_of(self, names: Sequence[str]) -> list[ImageStored]:
        """Read receipts by their keys; log and omit unreadable ones."""
        return [receipt for receipt in await self._read_all(names) if receipt is not None]

    async def _receipts(self, infos: Sequence[BlobInfo]) -> list[ImageStored | None]:
        """Read receipts; None for a deleted or unreadable one."""
        return await self._read_all([info.key for info in infos])

    async def _read_all(self, names: Sequence[str]) -> list[ImageStored | None]:
        """Read receipts in batches."""
        found: list[ImageStored | None] = []
        for start in range(0, len(names), READ_AT_ONCE):
            batch = names[start : start + READ_AT_ONCE]
            found += await asyncio.gather(*(self._blobs.run(self._read, key) for key in batch))
        return found

    def _read(self, key: str) -> ImageStored | None:
        try:
            return read_receipt(self._blobs.blobs.get(key).data)
        except (CorruptError, MissingError) as error:
            log.error("receipt_left_out", key=key, reason=str(error))
            return None
