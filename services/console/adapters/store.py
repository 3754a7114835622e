"""Captures and corrections in the store."""

import asyncio
from collections.abc import Collection
from datetime import datetime
from typing import Final

import structlog

from services.console.domain.book import CorrectionId
from services.console.domain.corrections import StoredMask
from services.console.ports import MaskImage
from siad.contracts import keys
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.deletion import DeletionIndex
from siad.contracts.documents import read_receipt
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import ImageStored, LineChanged
from siad.contracts.expiry import Expiry
from siad.erasure.deletions import AsyncDeletions
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import IF_ABSENT
from siad.runtime.state_table import StateTable

log = structlog.get_logger()

JSON: Final = "application/json"


class StoredCaptures:
    """The ports ``CaptureStore`` and ``ErasedCaptures``."""

    def __init__(self, blobs: AsyncBlobs, deletions: AsyncDeletions) -> None:
        self._blobs, self._deletions = blobs, deletions

    async def receipt(self, line: str, capture_id: str) -> ImageStored | None:
        """Read the receipt of a capture; None for an unknown one."""
        try:
            blob = await self._blobs.get(keys.capture_key(line, capture_id))
        except MissingError:
            return None
        return read_receipt(blob.data)

    async def is_erased(self, line: str, capture_id: str, received_at: datetime | None) -> bool:
        """Whether a capture was erased, by itself or with its line."""
        index = await self._deletions.read(line)
        return capture_id in index.captures if received_at is None else index.covers(capture_id, received_at)

    async def image(self, receipt: ImageStored) -> bytes | None:
        """Read an image; None where it was deleted by age."""
        try:
            return await self._blobs.get_verified(self._blobs.key_of(receipt.image_uri), sha256=receipt.image_id)
        except MissingError:
            return None

    async def has_image(self, receipt: ImageStored) -> bool:
        """Whether the image still exists."""
        return await self._blobs.head(self._blobs.key_of(receipt.image_uri)) is not None

    async def deletions(self, line: str) -> DeletionIndex:
        """Return the deletion records of a line, a few seconds old."""
        return await self._deletions.recent(line)

    async def expiry(self, line: str) -> Expiry:
        """Read the first days of which captures of a line are kept."""
        try:
            return Expiry.from_json((await self._blobs.get(keys.expiry_key(line))).data)
        except MissingError:
            return Expiry()

    async def erased(self, line: str, captures: Collection[tuple[str, datetime]]) -> set[str]:
        """Return which captures were erased, as of a few seconds ago."""
        index = await self._deletions.recent(line)
        if not index.captures and index.before_at is None:
            return set()
        return {capture_id for capture_id, received_at in captures if index.covers(capture_id, received_at)}


class RegisteredLines:
    """The port ``KnownLines``: the state topic, then the store."""

    def __init__(self, table: StateTable[LineChanged], blobs: AsyncBlobs) -> None:
        self._table, self._blobs = table, blobs

    async def is_known(self, line: str) -> bool:
        """Whether the line exists or existed."""
        return self._table.lookup(line) is not None or await self._blobs.head(keys.line_pointer_key(line)) is not None


class StoredCorrections:
    """The port ``CorrectionStore``."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def revisions(self, line: str, capture_id: str) -> list[CaptureCorrected]:
        """Read every revision of a capture's correction, oldest first."""
        names = await self._names(keys.corrections_prefix(line, capture_id))
        found = await asyncio.gather(*(self.read(name) for name in sorted(names)))
        return [one for one in found if one is not None]

    async def names(self) -> list[CorrectionId]:
        """List every record."""
        return await self._names(keys.corrections_prefix())

    async def read(self, name: CorrectionId) -> CaptureCorrected | None:
        """Read one record; None where it was erased meanwhile.

        Raises:
            CorruptError: the record can't be read.
        """
        key = keys.correction_key(name.line, name.capture_id, name.revision)
        try:
            return CaptureCorrected.from_json((await self._blobs.get(key)).data)
        except MissingError:
            return None
        except CorruptError as error:
            msg = f"correction {self._blobs.uri(key)} can't be read: {error}. Restore or delete the object"
            raise CorruptError(msg) from error

    async def put_mask(self, line: str, capture_id: str, mask: MaskImage) -> StoredMask:
        """Write a mask under its digest; a repeat writes equal bytes."""
        key = keys.correction_mask_key(line, capture_id, mask.sha256)
        await self._blobs.put(key, mask.png, content_type="image/png")
        return StoredMask(uri=self._blobs.uri(key), sha256=mask.sha256)

    async def put_record(self, correction: CaptureCorrected) -> None:
        """Write the record once."""
        key = keys.correction_key(correction.line, correction.capture_id, correction.revision)
        await self._blobs.put(key, correction.to_json(), content_type=JSON, condition=IF_ABSENT)

    async def delete(self, correction: CaptureCorrected) -> None:
        """Delete a record and its mask, of a capture that was erased."""
        await self._blobs.delete(keys.correction_key(correction.line, correction.capture_id, correction.revision))
        if correction.mask_uri:
            await self._blobs.delete(self._blobs.key_of(correction.mask_uri))

    async def _names(self, prefix: str) -> list[CorrectionId]:
        found = []
        for info in await self._blobs.list_all(prefix):
            try:
                name = keys.correction_of(info.key)
            except ValueError:
                log.warning("object_unknown", key=info.key, reason="no correction has this name; it is left alone")
                continue
            if name is not None:
                found.append(CorrectionId(*name))
        return found
