"""Lines, captures and the capture ledger in the store."""

from datetime import datetime
from typing import Final

from services.ingest.ports import StoredLine, ValidatedImage
from siad.audit.snapshot import LedgerReport, read_report
from siad.contracts import keys
from siad.contracts.documents import LineState, read_receipt, write_line, write_receipt
from siad.contracts.errors import ConflictError, MissingError, TransientError
from siad.contracts.events import ImageStored
from siad.contracts.expiry import Expiry
from siad.contracts.ids import CaptureId
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import IF_ABSENT, PutCondition
from siad.runtime.store.lines import StoredLines

JSON: Final = "application/json"
KEEP: Final = {"keep": "normal"}  # tag of images that lifecycle rules of the store must keep
UNFINISHED_MAX: Final = 64  # consecutive changes of one line interrupted between revision and pointer
_MEDIA_TYPES: Final = {"jpg": "image/jpeg", "png": "image/png", "bmp": "image/bmp", "tif": "image/tiff"}


class LineRevisions:
    """Reads and writes the revisions of lines; the port ``LineStore``."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs, self._stored = blobs, StoredLines(blobs)

    async def read(self, line: str) -> StoredLine | None:
        """Read the newest revision; None for a line that never was."""
        found = await self._stored.pointer(line)
        return None if found is None else StoredLine(*found)

    async def names(self) -> list[str]:
        """List every line that was ever registered, in order."""
        return await self._stored.names()

    async def write(self, wanted: LineState, *, over: StoredLine | None) -> LineState:
        """Write the revision once, then move the pointer to it.

        The pointer moves only if it still has the tag of ``over``.
        """
        state = await self._write_revision(wanted)
        line = state.settings.line
        try:
            await self._blobs.put(
                keys.line_pointer_key(line),
                write_line(state),
                content_type=JSON,
                condition=PutCondition(over.tag if over else None),
            )
        except ConflictError:
            held = await self.read(line)
            if held is None or held.state != state:  # otherwise this put succeeded, and its response was lost
                raise
        return state

    async def _write_revision(self, wanted: LineState) -> LineState:
        """Take the first free revision number.

        Numbers used by an interrupted or a concurrent change are skipped.
        """
        line, first = wanted.settings.line, wanted.settings.revision
        for revision in range(first, first + UNFINISHED_MAX):
            state = wanted.at(revision)
            try:
                await self._blobs.put(
                    keys.line_revision_key(line, revision), write_line(state), content_type=JSON, condition=IF_ABSENT
                )
            except ConflictError:
                continue
            return state
        msg = f"revisions {first} to {first + UNFINISHED_MAX - 1} of line {line!r} are all used by unfinished changes"
        raise TransientError(msg)


class StoredLedger:
    """The port ``LedgerSource``."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def read_report(self) -> LedgerReport | None:
        """Report the last snapshot; None before the first one."""
        return await read_report(self._blobs)


class StoredCaptures:
    """The port ``Captures``."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    def image_uri(self, line: str, received_at: datetime, image: ValidatedImage) -> str:
        """Under the line and the day."""
        return self._blobs.uri(keys.image_key(line, received_at, image.image_id, image.info.extension))

    async def receipt(self, line: str, capture_id: CaptureId) -> ImageStored | None:
        """The receipt of a capture; None before it came."""
        try:
            blob = await self._blobs.get(keys.capture_key(line, capture_id))
        except MissingError:
            return None
        return read_receipt(blob.data)

    async def is_erased(self, line: str, capture_id: CaptureId) -> bool:
        """Whether there is a deletion record, now."""
        return await self._blobs.head(keys.deletion_key(line, capture_id)) is not None

    async def is_expired(self, receipt: ImageStored) -> bool:
        """Whether the line's mark has passed the capture."""
        try:
            blob = await self._blobs.get(keys.expiry_key(receipt.line))
        except MissingError:
            return False
        return Expiry.from_json(blob.data).is_expired(receipt.received_at)

    async def put_image(self, receipt: ImageStored, data: bytes) -> None:
        """Write the bytes unless they exist: existing ones may be tagged."""
        try:
            await self._put_image(receipt, data, condition=IF_ABSENT)
        except ConflictError:
            return

    async def put_receipt(self, receipt: ImageStored) -> ImageStored:
        """Write the receipt once; give the one that is there now."""
        key = keys.capture_key(receipt.line, receipt.capture_id)
        try:
            await self._blobs.put(key, write_receipt(receipt), content_type=JSON, condition=IF_ABSENT)
        except ConflictError:
            return read_receipt((await self._blobs.get(key)).data)
        return receipt

    async def put_normal(self, receipt: ImageStored, data: bytes) -> None:
        """Tag the image, then say once that the capture is normal."""
        await self._put_image(receipt, data, tags=KEEP)
        key = keys.normal_key(receipt.line, receipt.product, receipt.capture_id)
        try:
            await self._blobs.put(key, write_receipt(receipt), content_type=JSON, condition=IF_ABSENT)
        except ConflictError:
            return

    async def _put_image(
        self,
        receipt: ImageStored,
        data: bytes,
        *,
        condition: PutCondition | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        key = self._blobs.key_of(receipt.image_uri)
        media_type = _MEDIA_TYPES.get(key.rsplit(".", 1)[-1], "image/webp")
        await self._blobs.put(key, data, content_type=media_type, condition=condition, tags=tags)
