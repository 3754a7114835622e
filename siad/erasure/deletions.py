"""Reads deletion records: which captures were erased on request.

Handlers of captures call ``recent``, which costs one listing for each line every few seconds, and ``read`` before they
treat missing bytes of a capture as a fault. ``Deletions`` is synchronous like the store port.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar

import structlog

from siad.contracts.deletion import DeletionIndex, LineDeletion
from siad.contracts.errors import CorruptError, MissingError, PoisonError, TransientError
from siad.contracts.events import ImageStored
from siad.contracts.keys import deletions_prefix, line_deletion_key
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger()

T = TypeVar("T")

RECENT_S: Final = 5.0  # age of ``recent`` at most; an erasure checks again after it for data written meanwhile


class Deletions:
    """Deletion records of one store; thread-safe."""

    def __init__(self, blobs: Blobs, *, clock: Clock = SYSTEM_CLOCK, recent_s: float = RECENT_S) -> None:
        self._blobs, self._clock, self._recent_s = blobs, clock, recent_s
        self._cache: dict[str, tuple[float, DeletionIndex]] = {}

    def recent(self, line: str) -> DeletionIndex:
        """Return the deletions of a line, at most a few seconds old."""
        cached = self._cache.get(line)
        if cached is not None and self._clock.monotonic() - cached[0] < self._recent_s:
            return cached[1]
        return self.read(line)

    def read(self, line: str) -> DeletionIndex:
        """Read the deletions of a line.

        Raises:
            CorruptError: the line's record can't be read; the caller must not treat it as missing.
        """
        at_s, prefix = self._clock.monotonic(), deletions_prefix(line)
        names = [info.key.removeprefix(prefix).removesuffix(".json") for info in self._blobs.list(prefix)]
        captures = frozenset(name for name in names if not name.startswith("_"))
        index = DeletionIndex(captures, self._before(line, names))
        self._cache[line] = at_s, index
        return index

    def _before(self, line: str, names: list[str]) -> datetime | None:
        if "_line" not in names:
            return None
        try:
            return LineDeletion.from_json(self._blobs.get(line_deletion_key(line)).data).before_at
        except MissingError:
            return None  # removed by hand since it was listed


class AsyncDeletions:
    """Deletion records for asyncio."""

    def __init__(self, blobs: AsyncBlobs, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._blobs, self._deletions = blobs, Deletions(blobs.blobs, clock=clock)

    async def recent(self, line: str) -> DeletionIndex:
        """Return the deletions of a line, at most a few seconds old."""
        return await self._run(self._deletions.recent, line)

    async def read(self, line: str) -> DeletionIndex:
        """Read the deletions of a line."""
        return await self._run(self._deletions.read, line)

    async def unless_erased(self, event: ImageStored, handle: Callable[[], Awaitable[list[T]]]) -> list[T]:
        """Handle a capture; one that was erased is done without effect.

        Raises:
            PoisonError: as ``handle`` raises it; not where the image is missing because it was erased.
            TransientError: as ``handle`` raises it, or the deletion records can't be read.
        """
        if (await self.recent(event.line)).covers(event.capture_id, event.received_at):
            return self._done(event)
        try:
            return await handle()
        except PoisonError:
            if (await self.read(event.line)).covers(event.capture_id, event.received_at):
                return self._done(event)
            raise

    def _done(self, event: ImageStored) -> list[T]:
        log.info("forgotten", capture_id=event.capture_id, line=event.line)
        return []

    async def _run(self, read: Callable[[str], DeletionIndex], line: str) -> DeletionIndex:
        try:
            return await self._blobs.run(read, line)
        except CorruptError as error:
            msg = (
                f"the deletion record of line {line!r} can't be read, so its captures wait: {error}. Restore the "
                "record, or delete it and run siad forget again"
            )
            raise TransientError(msg) from error
