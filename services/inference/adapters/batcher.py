"""Dynamic batches: waiting items are processed together, off the event loop.

The event loop must stay free, because Kafka's heartbeats run on it. While a batch runs, the next one gathers, so only a
single item on an idle machine waits for more, and only for some milliseconds.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
I = TypeVar("I")  # noqa: E741 - item
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class _PendingItem(Generic[I, R]):
    item: I
    result: "asyncio.Future[R]"
    since: float  # loop time


class Batcher(Generic[K, I, R]):
    """Gathers items by key, and processes the longest-waiting key next.

    Args:
        work: called in the executor, one batch at a time; returns one result for each item, in order.
        executor: of one thread.
        batch_max: items in a batch.
        batch_wait_s: how long an incomplete batch waits for more items.
    """

    def __init__(
        self, work: Callable[[K, Sequence[I]], Sequence[R]], *, executor: Executor, batch_max: int, batch_wait_s: float
    ) -> None:
        self._work = work
        self._executor = executor
        self._batch_max = batch_max
        self._batch_wait_s = batch_wait_s
        self._pending: dict[K, deque[_PendingItem[I, R]]] = {}
        self._arrived = asyncio.Event()
        self._busy = asyncio.Lock()  # held while a batch runs; fair, so a waiter waits for one batch at most

    async def submit(self, key: K, item: I) -> R:
        """Process one item with others of its key.

        Raises the exception of its batch.
        """
        loop = asyncio.get_running_loop()
        pending = _PendingItem[I, R](item, loop.create_future(), loop.time())
        self._pending.setdefault(key, deque()).append(pending)
        self._arrived.set()
        return await pending.result

    @asynccontextmanager
    async def between_batches(self) -> AsyncIterator[None]:
        """Hold up the batches: none runs inside the context. Keep it short."""
        async with self._busy:
            yield

    async def run(self) -> None:
        """Process batches until cancelled; then pending items are cancelled too."""
        try:
            while True:
                await self._gather()
                async with self._busy:
                    await self._process_batch()
        finally:
            for queue in self._pending.values():
                for pending in queue:
                    pending.result.cancel()

    async def _gather(self) -> None:
        """Wait for a full batch, or until its first item is due."""
        loop = asyncio.get_running_loop()
        while not self._pending:
            self._arrived.clear()
            await self._arrived.wait()
        due = min(queue[0].since for queue in self._pending.values()) + self._batch_wait_s
        while max(map(len, self._pending.values())) < self._batch_max and (left := due - loop.time()) > 0:
            self._arrived.clear()
            try:
                async with asyncio.timeout(left):
                    await self._arrived.wait()
            except TimeoutError:
                return

    async def _process_batch(self) -> None:
        key = min(self._pending, key=lambda key: self._pending[key][0].since)
        batch = self._take(key)
        if not batch:
            return
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._executor, self._work, key, [pending.item for pending in batch])
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError:
            for pending in batch:
                pending.result.cancel()
            raise
        waiting = [(n, pending.result) for n, pending in enumerate(batch) if not pending.result.done()]
        if (error := done.exception()) is not None:  # every caller of ``submit`` handles it
            for _, result in waiting:
                result.set_exception(error)
            return
        results = done.result()
        assert len(results) == len(batch), f"{len(results)} results for {len(batch)} items"
        for n, result in waiting:
            result.set_result(results[n])

    def _take(self, key: K) -> list[_PendingItem[I, R]]:
        """Take the next batch of a key, without cancelled items."""
        queue = self._pending[key]
        batch: list[_PendingItem[I, R]] = []
        while queue and len(batch) < self._batch_max:
            if not (pending := queue.popleft()).result.done():
                batch.append(pending)
        if not queue:
            del self._pending[key]
        return batch
