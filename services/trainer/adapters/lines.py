"""What ingest keeps of a line in the store: its normals and its settings."""

import structlog

from services.trainer.domain.training_set import NormalCapture
from siad.contracts.documents import read_line, read_receipt
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import LineChanged
from siad.contracts.keys import line_pointer_key, normals_prefix
from siad.runtime.blobs.aio import AsyncBlobs

log = structlog.get_logger()


class StoredLines:
    """Reads normals once each, since they are write-once, and settings whenever asked."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs
        self._normals: dict[str, NormalCapture | None] = {}

    async def normals(self, line: str, product: str) -> list[NormalCapture]:
        """Captures known to be good, by capture id; a word that can't be read counts for nothing."""
        keys = [info.key for info in await self._blobs.list_all(normals_prefix(line, product))]
        for key in keys:
            if key not in self._normals:
                self._normals[key] = await self._blobs.run(self._read, key)
        return [normal for key in keys if (normal := self._normals[key]) is not None]

    async def settings(self, line: str) -> LineChanged | None:
        """What the line asks for; None where it is gone."""
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
