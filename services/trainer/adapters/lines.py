"""Normals and settings of a line, as ingest stores them."""

from contextlib import suppress

import structlog

from services.trainer.domain.training_set import NormalCapture
from siad.contracts.documents import read_line, read_receipt
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import LineChanged
from siad.contracts.keys import line_pointer_key, normals_prefix
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs

log = structlog.get_logger()


class StoredLines:
    """Reads normals, each once because they are write-once, and settings."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs
        self._normals: dict[str, NormalCapture | None] = {}

    async def normals(self, place: Place) -> list[NormalCapture]:
        """Read the captures known to be good; log and omit unreadable ones."""
        keys = [info.key for info in await self._blobs.list_all(normals_prefix(*place))]
        for key in keys:
            if key not in self._normals:
                with suppress(MissingError):  # deleted since it was listed
                    self._normals[key] = await self._blobs.run(self._read, key)
        return [normal for key in keys if (normal := self._normals.get(key)) is not None]

    async def settings(self, line: str) -> LineChanged | None:
        """Read a line's settings; None for a removed line."""
        try:
            state = read_line((await self._blobs.get(line_pointer_key(line))).data)
        except MissingError:
            return None
        return None if state.is_gone else state.settings

    def _read(self, key: str) -> NormalCapture | None:
        try:
            event = read_receipt(self._blobs.blobs.get(key).data)
        except CorruptError as error:
            log.error("normal_left_out", key=key, reason=str(error))
            return None
        return NormalCapture(capture_id=event.capture_id, image_id=event.image_id, image_uri=event.image_uri)
