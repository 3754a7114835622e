"""How many uploads come in at a time, and in which order."""

import asyncio

import pytest

from services.ingest.adapters.admission import AdmissionControl
from siad.contracts.errors import TransientError


class Crowd:
    """Uploads that go in by name, and out when told."""

    def __init__(self, gate: AdmissionControl) -> None:
        self.gate = gate
        self.inside: list[str] = []
        self.leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, size_bytes: int) -> None:
        self.leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._upload(name, size_bytes))
        await asyncio.sleep(0.001)

    async def go(self, name: str) -> None:
        self.leave[name].set()
        await self.tasks[name]
        await asyncio.sleep(0.001)

    async def _upload(self, name: str, size_bytes: int) -> None:
        async with self.gate.hold(size_bytes):
            self.inside.append(name)
            await self.leave[name].wait()
            self.inside.remove(name)


def gate(*, uploads_max: int = 10, bytes_max: int = 100, queue_max: int = 10, wait_s: float = 5.0) -> AdmissionControl:
    return AdmissionControl(uploads_max=uploads_max, bytes_max=bytes_max, queue_max=queue_max, wait_s=wait_s)


async def test_bytes_together_stay_under_the_bound() -> None:
    crowd = Crowd(gate(bytes_max=100))
    for name in ("a", "b", "c"):
        await crowd.come(name, 40)
    assert crowd.inside == ["a", "b"]
    await crowd.go("a")
    assert crowd.inside == ["b", "c"]


async def test_a_large_one_is_not_starved_by_small_ones() -> None:
    crowd = Crowd(gate(bytes_max=100))
    await crowd.come("small", 10)
    await crowd.come("large", 95)
    await crowd.come("late", 10)
    assert crowd.inside == ["small"]
    await crowd.go("small")
    assert crowd.inside == ["large"]
    await crowd.go("large")
    assert crowd.inside == ["late"]


async def test_one_that_is_larger_than_all_room_goes_alone() -> None:
    crowd = Crowd(gate(bytes_max=100))
    await crowd.come("huge", 1000)
    await crowd.come("tiny", 1)
    assert crowd.inside == ["huge"]


async def test_who_would_wait_too_long_or_in_too_long_a_queue_is_sent_away() -> None:
    crowd = Crowd(gate(uploads_max=1, queue_max=1, wait_s=0.02))
    await crowd.come("in", 1)
    await crowd.come("queued", 1)
    with pytest.raises(TransientError, match="1 uploads wait for admission, and at most 1 may wait"):
        async with crowd.gate.hold(1):
            pass
    with pytest.raises(TransientError, match=r"no room for 1 bytes within 0\.02 s: 1 uploads are in progress"):
        await crowd.tasks["queued"]
    await crowd.go("in")
    async with crowd.gate.hold(1):
        pass  # there is room again


async def test_without_a_queue_an_upload_that_finds_room_is_admitted() -> None:
    async with gate(queue_max=0).hold(1):
        pass


async def test_one_that_fails_or_goes_away_leaves_its_room() -> None:
    crowd = Crowd(gate(uploads_max=1))
    await crowd.come("a", 1)
    await crowd.come("b", 1)
    await crowd.come("c", 1)
    crowd.tasks["a"].cancel()
    crowd.tasks["b"].cancel()
    await asyncio.sleep(0.005)
    assert crowd.inside[-1] == "c"
