"""Reader of deletion records.

It is synchronous, like the store port; await it through ``AsyncBlobs.run``.

Handlers of captures call ``known``, which costs one listing a line every few seconds, and ``look`` before they call
a capture's missing bytes a fault.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar

import structlog

from siad.contracts.deletion import DeletionIndex, LineDeletion
from siad.contracts.errors import CorruptError, MissingError, PoisonError, TransientError
from siad.contracts.events import ImageStored
from siad.contracts.keys import deletion_key, deletions_prefix, line_deletion_key
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger()

T = TypeVar("T")

KNOWN_S: Final = 5.0  # how old ``known`` may be; who forgets looks again after it, for what was made meanwhile


class Deletions:
    """The deletion records of one store; safe to share between threads."""

    def __init__(self, blobs: Blobs, *, clock: Clock = SYSTEM_CLOCK, known_s: float = KNOWN_S) -> None:
        self._blobs, self._clock, self._known_s = blobs, clock, known_s
        self._known: dict[str, tuple[float, DeletionIndex]] = {}

    def known(self, line: str) -> DeletionIndex:
        """Erased captures of a line, at most a few seconds old."""
        kept = self._known.get(line)
        if kept is not None and self._clock.monotonic() - kept[0] < self._known_s:
            return kept[1]
        return self.look(line)

    def look(self, line: str) -> DeletionIndex:
        """What is forgotten of a line, now.

        Raises:
            CorruptError: the line's record can't be read; the caller must not treat it as missing.
        """
        at_s, prefix = self._clock.monotonic(), deletions_prefix(line)
        names = [info.key.removeprefix(prefix).removesuffix(".json") for info in self._blobs.list(prefix)]
        found = DeletionIndex(frozenset(name for name in names if not name.startswith("_")), self._before(line, names))
        self._known[line] = at_s, found
        return found

    def has(self, line: str, capture_id: str) -> bool:
        """Whether there is a record of this one capture, now."""
        return self._blobs.head(deletion_key(line, capture_id)) is not None

    def _before(self, line: str, names: list[str]) -> datetime | None:
        if "_line" not in names:
            return None
        try:
            return LineDeletion.from_json(self._blobs.get(line_deletion_key(line)).data).before_at
        except MissingError:
            return None  # taken away by hand since it was listed


class AsyncDeletions:
    """Asynchronous reader of deletion records, for handlers."""

    def __init__(self, blobs: AsyncBlobs, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._blobs, self._deletions = blobs, Deletions(blobs.blobs, clock=clock)

    async def known(self, line: str) -> DeletionIndex:
        """Erased captures of a line, at most a few seconds old."""
        return await self._ask(self._deletions.known, line)

    async def look(self, line: str) -> DeletionIndex:
        """What is forgotten of a line, now."""
        return await self._ask(self._deletions.look, line)

    async def unless_erased(self, event: ImageStored, handle: Callable[[], Awaitable[list[T]]]) -> list[T]:
        """Handle a capture unless it was erased after its event.

        An erased capture counts as done, without effect.

        Raises:
            PoisonError: as ``handle`` raises it; not if the image is missing because it was erased.
            TransientError: as ``handle`` does, or the deletion records can't be read.
        """
        if (await self.known(event.line)).covers(event.capture_id, event.received_at):
            return self._done(event)
        try:
            return await handle()
        except PoisonError:
            if (await self.look(event.line)).covers(event.capture_id, event.received_at):
                return self._done(event)
            raise

    def _done(self, event: ImageStored) -> list[T]:
        log.info("forgotten", capture_id=event.capture_id, line=event.line)
        return []

    async def _ask(self, ask: Callable[[str], DeletionIndex], line: str) -> DeletionIndex:
        try:
            return await self._blobs.run(ask, line)
        except CorruptError as error:
            msg = f"what is forgotten of line {line!r} can't be read, so nothing of it is handled: {error}"
            raise TransientError(msg) from error
