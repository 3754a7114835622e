"""Batches gather by themselves, in one thread beside the loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from services.inference.adapters.batcher import Batcher


class Worker:
    """Doubles numbers; keeps what it was given; can be held up."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.go = threading.Event()
        self.go.set()
        self.threads: set[str] = set()

    def __call__(self, key: str, items: Sequence[int]) -> list[int]:
        self.threads.add(threading.current_thread().name)
        self.go.wait(5)
        self.batches.append((key, list(items)))
        if 13 in items:
            raise ZeroDivisionError
        return [2 * item for item in items]


@asynccontextmanager
async def batcher(worker: Worker, *, batch_max: int = 4, wait_s: float = 0.0) -> AsyncIterator[Batcher[str, int, int]]:
    with ThreadPoolExecutor(1, "scorer") as executor:
        one = Batcher[str, int, int](worker, executor=executor, batch_max=batch_max, batch_wait_s=wait_s)
        task = asyncio.create_task(one.run())
        try:
            yield one
        finally:
            worker.go.set()
            task.cancel()
            await asyncio.wait([task])


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_everyone_gets_the_answer_to_their_own_question() -> None:
    async with batcher(Worker(), wait_s=0.01) as one:
        assert await asyncio.gather(*(one.submit("a", n) for n in range(10))) == [2 * n for n in range(10)]


async def test_what_comes_while_a_batch_runs_is_the_next_batch() -> None:
    worker = Worker()
    worker.go.clear()
    async with batcher(worker) as one:
        first = asyncio.create_task(one.submit("a", 0))
        await settle()
        rest = [asyncio.create_task(one.submit("a", n)) for n in range(1, 7)]
        await settle()
        worker.go.set()
        await asyncio.gather(first, *rest)
    assert worker.batches == [("a", [0]), ("a", [1, 2, 3, 4]), ("a", [5, 6])]


async def test_a_full_batch_does_not_wait_for_company() -> None:
    async with batcher(Worker(), wait_s=60.0) as one, asyncio.timeout(2):
        await asyncio.gather(*(one.submit("a", n) for n in range(4)))


async def test_a_lone_item_waits_no_longer_than_told() -> None:
    worker = Worker()
    async with batcher(worker, wait_s=0.01) as one, asyncio.timeout(2):
        assert await one.submit("a", 1) == 2
    assert worker.batches == [("a", [1])]


async def test_keys_are_never_mixed_and_take_turns_by_age() -> None:
    worker = Worker()
    worker.go.clear()
    async with batcher(worker) as one:
        tasks = [asyncio.create_task(one.submit("a", 0))]
        await settle()
        for key, item in (("b", 1), ("a", 2), ("b", 3), ("c", 4)):
            tasks.append(asyncio.create_task(one.submit(key, item)))
            await settle()
        worker.go.set()
        await asyncio.gather(*tasks)
    assert worker.batches == [("a", [0]), ("b", [1, 3]), ("a", [2]), ("c", [4])]


async def test_what_goes_wrong_in_a_batch_reaches_all_its_items_and_no_others() -> None:
    async with batcher(Worker(), batch_max=2, wait_s=60.0) as one:
        answers = await asyncio.gather(*(one.submit("a", n) for n in (13, 1, 2, 3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ZeroDivisionError, ZeroDivisionError, int, int]


async def test_who_has_gone_is_not_worked_for() -> None:
    worker = Worker()
    worker.go.clear()
    async with batcher(worker) as one:
        first = asyncio.create_task(one.submit("a", 0))
        await settle()
        gone, last = (asyncio.create_task(one.submit("a", n)) for n in (1, 2))
        await settle()
        gone.cancel()
        await settle()
        worker.go.set()
        await asyncio.gather(first, last)
    assert worker.batches == [("a", [0]), ("a", [2])]


async def test_nothing_runs_between_batches() -> None:
    worker = Worker()
    worker.go.clear()
    async with batcher(worker) as one:
        first = asyncio.create_task(one.submit("a", 0))
        await settle()
        asyncio.get_running_loop().call_later(0.02, worker.go.set)
        async with one.between_batches():
            assert worker.batches == [("a", [0])]  # the running batch was let finish
            second = asyncio.create_task(one.submit("a", 1))
            await asyncio.sleep(0.02)
            assert len(worker.batches) == 1
        await asyncio.gather(first, second)


async def test_all_work_is_done_in_the_one_thread_it_was_given() -> None:
    worker = Worker()
    async with batcher(worker, batch_max=1) as one:
        await asyncio.gather(*(one.submit("a", n) for n in range(5)))
    assert worker.threads == {"scorer_0"}


async def test_waiting_items_are_cancelled_when_it_ends() -> None:
    worker = Worker()
    worker.go.clear()
    async with batcher(worker) as one:
        running, waiting = (asyncio.create_task(one.submit(key, 1)) for key in "ab")
        await settle()
    for task in (running, waiting):
        with pytest.raises(asyncio.CancelledError):
            await task
