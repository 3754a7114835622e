"""Admission control: bounds concurrent uploads and their total bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.ingest import metrics
from siad.contracts.errors import TransientError


class AdmissionControl:
    """FIFO admission control: bounds concurrent uploads and their total bytes.

    An upload that would wait too long is refused with 503.

    Args:
        uploads_max: under way at a time.
        bytes_max: of those together.
        queue_max: that wait for room.
        wait_s: for how long.
    """

    def __init__(self, *, uploads_max: int, bytes_max: int, queue_max: int, wait_s: float) -> None:
        self._uploads_max, self._bytes_max = uploads_max, bytes_max
        self._queue_max, self._wait_s = queue_max, wait_s
        self._uploads = self._bytes = self._waiting = 0
        self._turn = asyncio.Lock()  # first come, first served, so that many small ones can't starve a large one
        self._left = asyncio.Event()  # an upload finished; only the first in the queue waits for it

    @asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        """Keep room for one upload of ``size_bytes``.

        Raises:
            TransientError: too many wait, or no room came in time; nothing was read.
        """
        size_bytes = min(size_bytes, self._bytes_max)  # one that is larger than all room goes alone
        await self._enter(size_bytes)
        metrics.HELD_BYTES.set(self._bytes)
        try:
            yield
        finally:
            self._uploads -= 1
            self._bytes -= size_bytes
            metrics.HELD_BYTES.set(self._bytes)
            self._left.set()

    async def _enter(self, size_bytes: int) -> None:
        if self._waiting >= self._queue_max and not self._has_room(size_bytes):
            msg = f"{self._waiting} uploads wait for room already, at most {self._queue_max} may"
            raise TransientError(msg)
        self._waiting += 1
        metrics.WAITING.set(self._waiting)
        try:
            async with asyncio.timeout(self._wait_s), self._turn:
                while not self._has_room(size_bytes):
                    self._left.clear()
                    await self._left.wait()
                self._uploads += 1
                self._bytes += size_bytes
        except TimeoutError as error:
            msg = f"no room for {size_bytes} bytes within {self._wait_s:g} s: {self._uploads} uploads are under way"
            raise TransientError(msg) from error
        finally:
            self._waiting -= 1
            metrics.WAITING.set(self._waiting)

    def _has_room(self, size_bytes: int) -> bool:
        return self._uploads < self._uploads_max and self._bytes + size_bytes <= self._bytes_max
