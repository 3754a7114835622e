"""Quarantine of lines, from the store."""

from siad.contracts.quarantine import QuarantineIndex
from siad.erasure.deletions import RECENT_S
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.clock import Clock
from siad.runtime.store.quarantine import AsyncQuarantine


class StoredQuarantine:
    """The port ``QuarantinedData``."""

    def __init__(self, blobs: AsyncBlobs, *, clock: Clock) -> None:
        self._quarantine, self._clock = AsyncQuarantine(blobs), clock
        self._cache: dict[str, tuple[float, QuarantineIndex]] = {}

    async def recent(self, line: str) -> QuarantineIndex:
        """Return the quarantine of a line, a few seconds old."""
        cached = self._cache.get(line)
        if cached is not None and self._clock.monotonic() - cached[0] < RECENT_S:
            return cached[1]
        return await self.read(line)

    async def read(self, line: str) -> QuarantineIndex:
        """Read what is in quarantine of a line now."""
        at_s, index = self._clock.monotonic(), await self._quarantine.read(line)
        self._cache[line] = at_s, index
        return index
