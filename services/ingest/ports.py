"""Ports of ingest. Every call may raise ``TransientError``."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from siad.audit.snapshot import LedgerReport
from siad.contracts.documents import LineState
from siad.contracts.events import ImageStored
from siad.contracts.ids import CaptureId, ImageId
from siad.erasure.expiry_plan import AdvanceExpiry, ExpireObjects, LineInventory
from siad.vision.images import ImageInfo


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A stored line, and the tag that a change must match."""

    state: LineState
    tag: str


@dataclass(frozen=True, slots=True)
class ValidatedImage:
    """Id and properties of bytes that decode as an image."""

    image_id: ImageId
    info: ImageInfo


class LineStore(Protocol):
    """Lines in the store."""

    async def read(self, line: str) -> StoredLine | None:
        """Read the newest revision, ends included; None for a new line."""
        ...

    async def names(self) -> list[str]:
        """List every line that was ever registered, in order."""
        ...

    async def write(self, wanted: LineState, *, over: StoredLine | None) -> LineState:
        """Store a revision and make it the newest.

        Args:
            wanted: its revision is raised where an unfinished change has used that number.
            over: what it replaces; None for a new line.

        Raises:
            ConflictError: another request changed the line first.
        """
        ...


class Admission(Protocol):
    """Bounds concurrent uploads and their total bytes."""

    def hold(self, size_bytes: int) -> AbstractAsyncContextManager[None]:
        """Admit one upload, and hold its room until it ends."""
        ...


class CaptureStore(Protocol):
    """Images, receipts and normal markers in the store."""

    def image_uri(self, line: str, received_at: datetime, image: ValidatedImage) -> str:
        """Return the address for a new image."""
        ...

    async def receipt(self, line: str, capture_id: CaptureId) -> ImageStored | None:
        """Read the receipt of a capture; None for a new one."""
        ...

    async def is_erased(self, line: str, capture_id: CaptureId) -> bool:
        """Whether the capture was erased on request."""
        ...

    async def is_expired(self, receipt: ImageStored) -> bool:
        """Whether the bytes may have been deleted by age."""
        ...

    async def put_image(self, receipt: ImageStored, data: bytes) -> None:
        """Write the bytes at the receipt's address, unless they exist there."""
        ...

    async def put_receipt(self, receipt: ImageStored) -> ImageStored:
        """Write the receipt unless one exists; return the stored one."""
        ...

    async def put_normal(self, receipt: ImageStored, data: bytes) -> None:
        """Write the normal marker of a capture; its image never expires."""
        ...


class ExpiryInventory(Protocol):
    """Expired objects of lines."""

    async def read(self, line: str, now: datetime) -> LineInventory:
        """List the expired objects of a line."""
        ...

    async def advance(self, line: str, action: AdvanceExpiry) -> None:
        """Advance the line's mark."""
        ...

    async def expire(self, line: str, action: ExpireObjects) -> None:
        """Delete expired objects."""
        ...


class ImageValidator(Protocol):
    """Validates image bytes."""

    async def validate(self, data: bytes) -> ValidatedImage:
        """Compute an image's id, and decode it once.

        Raises:
            ImageError: the bytes are no image.
        """
        ...


class LedgerSource(Protocol):
    """The capture ledger in the store."""

    async def read_report(self) -> LedgerReport | None:
        """Report the last snapshot; None before the first one."""
        ...


class EventPublisher(Protocol):
    """Publishes events; returns once the broker has acknowledged them."""

    async def publish_line(self, state: LineState) -> None:
        """Publish the settings of a line; a tombstone where it was ended."""
        ...

    async def publish_image(self, receipt: ImageStored, *, shards: int) -> None:
        """Publish the event of a stored capture."""
        ...
