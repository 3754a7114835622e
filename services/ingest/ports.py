"""What the handlers need of the world. Every call may raise ``TransientError``."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from siad.audit.snapshot import LedgerReport
from siad.contracts.documents import LineState
from siad.contracts.events import ImageStored
from siad.contracts.ids import CaptureId, ImageId
from siad.vision.images import ImageInfo


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A stored line, and the tag that a change must match."""

    state: LineState
    tag: str


@dataclass(frozen=True, slots=True)
class ValidatedImage:
    """Bytes that were decoded once, and are an image."""

    image_id: ImageId
    info: ImageInfo


class LineStore(Protocol):
    """The settings of lines, as the store keeps them."""

    async def read(self, line: str) -> StoredLine | None:
        """The newest revision, its end included; None for a line never seen."""
        ...

    async def names(self) -> list[str]:
        """All lines, by name."""
        ...

    async def write(self, wanted: LineState, *, over: StoredLine | None) -> LineState:
        """Keep a revision for good, and make it the newest.

        Args:
            wanted: its revision is raised where an unfinished change has used that number.
            over: what it replaces; None where there was nothing.

        Raises:
            ConflictError: another request changed the line first.
        """
        ...


class Admission(Protocol):
    """Bounds concurrent uploads and their total bytes."""

    def hold(self, size_bytes: int) -> AbstractAsyncContextManager[None]:
        """Wait for room for one upload, and hold it meanwhile."""
        ...


class CaptureStore(Protocol):
    """Images, receipts and normals in the store."""

    def image_uri(self, line: str, received_at: datetime, seen: ValidatedImage) -> str:
        """Where an image that comes for the first time shall lie."""
        ...

    async def receipt(self, line: str, capture_id: CaptureId) -> ImageStored | None:
        """The receipt of a capture; None before it came."""
        ...

    async def is_forgotten(self, line: str, capture_id: CaptureId) -> bool:
        """Whether the capture was erased on request."""
        ...

    async def is_expired(self, receipt: ImageStored) -> bool:
        """Whether the bytes may be gone because they had had their time."""
        ...

    async def put_image(self, receipt: ImageStored, data: bytes) -> None:
        """Write the bytes at the receipt's key, unless they exist there."""
        ...

    async def put_receipt(self, receipt: ImageStored) -> ImageStored:
        """Write the receipt unless one exists; return the stored one."""
        ...

    async def put_normal(self, receipt: ImageStored, data: bytes) -> None:
        """Write the normal marker of a capture; its image never expires."""
        ...


class ImageValidator(Protocol):
    """Validates and decodes image bytes."""

    async def look(self, data: bytes) -> ValidatedImage:
        """Compute an image's id, and decode it once to validate it.

        Raises:
            ImageError: it is none.
        """
        ...


class LedgerSource(Protocol):
    """The capture ledger in the store."""

    async def read_report(self) -> LedgerReport | None:
        """Report the last snapshot; None before the first one."""
        ...


class EventPublisher(Protocol):
    """Tells the other stages. Every call returns once the broker has acknowledged."""

    async def tell_line(self, state: LineState) -> None:
        """A line as it stands; a tombstone where it is gone."""
        ...

    async def tell_image(self, receipt: ImageStored, *, shards: int) -> None:
        """The bytes of one capture lie in the store."""
        ...
