"""The demo observes the bus only while it streams, and measures in a worker thread."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from siad.apps.lab.demo.observe import observe_then_measure, wait_complete
from siad.apps.lab.demo.report import DemoObservations
from siad.contracts.codec import encode
from siad.contracts.topics import PSEUDO_MASK, TOPICS, VERDICT
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.memory_readers import MemoryLogReader
from siad.runtime.bus.port import NOT_READ, Message
from tests.unit.apps.cli.events import capture, mask, verdict


class CountingBus(MemoryBus):
    """A bus that counts its open readers."""

    open_readers = 0

    @asynccontextmanager
    async def tail(
        self, topic: str, *, last: int, resume_at: Mapping[int, int] = NOT_READ
    ) -> AsyncIterator[MemoryLogReader]:
        self.open_readers += 1
        try:
            async with super().tail(topic, last=last, resume_at=resume_at) as reader:
                yield reader
        finally:
            self.open_readers -= 1


@pytest.fixture
async def bus() -> CountingBus:
    bus = CountingBus()
    await bus.create_topics(TOPICS)
    return bus


async def publish(bus: MemoryBus, number: int) -> None:
    async with bus.producer() as producer:
        await producer.publish([Message(topic=VERDICT.name, key="l/0", value=encode(verdict(number, 0.5)))])
        await producer.publish([Message(topic=PSEUDO_MASK.name, key="l/0", value=encode(mask(number, 0.5)))])


async def test_events_before_and_during_the_work_are_observed(bus: CountingBus) -> None:
    observations = DemoObservations(sent={capture(1): 0.0, capture(2): 0.0})
    await publish(bus, 1)

    async def work() -> None:
        assert not await wait_complete(observations, timeout_s=0.01)
        await publish(bus, 2)
        assert await wait_complete(observations, timeout_s=10)

    assert await observe_then_measure(bus, observations, work=work, measure=lambda: "measured") == "measured"
    assert observations.judged() == observations.masked() == {capture(1), capture(2)}


async def test_measuring_blocks_neither_the_loop_nor_an_open_reader(bus: CountingBus) -> None:
    """The measurement waits for the event loop: on the loop itself it would never end."""
    is_loop_free, readers_open = threading.Event(), []

    def measure() -> str:
        readers_open.append(bus.open_readers)
        loop.call_soon_threadsafe(is_loop_free.set)
        assert is_loop_free.wait(10), "the event loop is blocked"
        return threading.current_thread().name

    async def work() -> None:
        while bus.open_readers < len({VERDICT.name, PSEUDO_MASK.name}):
            await asyncio.sleep(0)

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "measure") as executor:
        name = await observe_then_measure(bus, DemoObservations(), work=work, measure=measure, executor=executor)
    assert name == "measure_0"
    assert readers_open == [0]


async def test_an_error_of_the_work_is_raised_as_it_is(bus: CountingBus) -> None:
    async def work() -> None:
        msg = "ingest refused a cell"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="refused a cell"):
        await observe_then_measure(bus, DemoObservations(), work=work, measure=lambda: None)
    assert bus.open_readers == 0


async def test_an_observer_that_fails_ends_the_work() -> None:
    bus = CountingBus()  # without topics

    async def work() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Exception, match="does not exist"):
        await observe_then_measure(bus, DemoObservations(), work=work, measure=lambda: None)
