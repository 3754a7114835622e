"""Small dynamic batches: captures that wait at the same time are scored together, in one thread beside the loop.

The event loop must stay free: Kafka's heartbeats run on it. While one batch is scored the next one gathers by itself,
so only a lone image on an idle machine waits for company, and only a few milliseconds.
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
    answer: "asyncio.Future[R]"
    since: float  # loop time


class Batcher(Generic[K, I, R]):
    """Gathers items by key and runs them together; keys take turns by who has waited longest."""

    def __init__(
        self, work: Callable[[K, Sequence[I]], Sequence[R]], *, executor: Executor, batch_max: int, batch_wait_s: float
    ) -> None:
        self._work = work  # called in the executor, one batch at a time; gives one result for each item, in order
        self._executor = executor
        self._batch_max = batch_max
        self._batch_wait_s = batch_wait_s
        self._waiting: dict[K, deque[_PendingItem[I, R]]] = {}
        self._came = asyncio.Event()
        self._busy = asyncio.Lock()  # held while a batch runs; fair, so nobody waits for more than the present one

    async def submit(self, key: K, item: I) -> R:
        """Have one item worked on, with whatever company it finds; raises what its batch raised."""
        loop = asyncio.get_running_loop()
        waiting = _PendingItem[I, R](item, loop.create_future(), loop.time())
        self._waiting.setdefault(key, deque()).append(waiting)
        self._came.set()
        return await waiting.answer

    @asynccontextmanager
    async def between_batches(self) -> AsyncIterator[None]:
        """Hold the work up: no batch runs inside. Keep it short."""
        async with self._busy:
            yield

    async def run(self) -> None:
        """Work until cancelled; whoever waits then is cancelled too."""
        try:
            while True:
                await self._gather()
                async with self._busy:
                    await self._work_off_one_batch()
        finally:
            for queue in self._waiting.values():
                for waiting in queue:
                    waiting.answer.cancel()

    async def _gather(self) -> None:
        """Return once a batch is worth starting: it is full, or its first item has waited long enough."""
        loop = asyncio.get_running_loop()
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        due = min(queue[0].since for queue in self._waiting.values()) + self._batch_wait_s
        while max(map(len, self._waiting.values())) < self._batch_max and (left := due - loop.time()) > 0:
            self._came.clear()
            try:
                async with asyncio.timeout(left):
                    await self._came.wait()
            except TimeoutError:
                return

    async def _work_off_one_batch(self) -> None:
        key = min(self._waiting, key=lambda key: self._waiting[key][0].since)
        batch = self._take(key)
        if not batch:
            return
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._executor, self._work, key, [waiting.item for waiting in batch])
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.answer.cancel()
            raise
        asking = [(n, waiting.answer) for n, waiting in enumerate(batch) if not waiting.answer.done()]
        if (error := done.exception()) is not None:  # a bug or a fate: whoever waits for an answer meets it there
            for _, answer in asking:
                answer.set_exception(error)
            return
        results = done.result()
        assert len(results) == len(batch), f"{len(results)} answers to {len(batch)} items"
        for n, answer in asking:
            answer.set_result(results[n])

    def _take(self, key: K) -> list[_PendingItem[I, R]]:
        queue = self._waiting[key]
        batch: list[_PendingItem[I, R]] = []
        while queue and len(batch) < self._batch_max:
            if not (waiting := queue.popleft()).answer.done():  # else its asker has gone
                batch.append(waiting)
        if not queue:
            del self._waiting[key]
        return batch
