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
        uploads_max: concurrent uploads.
        bytes_max: of concurrent uploads together.
        queue_max: uploads that wait for admission.
        wait_s: longest wait for admission.
    """

    def __init__(self, *, uploads_max: int, bytes_max: int, queue_max: int, wait_s: float) -> None:
        self._uploads_max, self._bytes_max = uploads_max, bytes_max
        self._queue_max, self._wait_s = queue_max, wait_s
        self._uploads = self._bytes = self._waiting = 0
        self._turn = asyncio.Lock()  # FIFO, so that many small uploads can't starve a large one
        self._left = asyncio.Event()  # an upload finished; only the first in the queue waits for it

    @asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        """Admit one upload of ``size_bytes``, and hold its room until it ends.

        Raises:
            TransientError: the queue is full, or no room was free in time; the body was not read.
        """
        size_bytes = min(size_bytes, self._bytes_max)  # an upload larger than the bound is admitted alone
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
            msg = f"{self._waiting} uploads wait for admission, and at most {self._queue_max} may wait"
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
            msg = f"no room for {size_bytes} bytes within {self._wait_s:g} s: {self._uploads} uploads are in progress"
            raise TransientError(msg) from error
        finally:
            self._waiting -= 1
            metrics.WAITING.set(self._waiting)

    def _has_room(self, size_bytes: int) -> bool:
        return self._uploads < self._uploads_max and self._bytes + size_bytes <= self._bytes_max
