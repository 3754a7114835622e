"""A stage that meets poison, until its cell is mended."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import REGISTRY

from siad.contracts.codec import decode
from siad.contracts.errors import PoisonError
from siad.contracts.events import DeadLetter
from siad.runtime.bus.port import Message, Record
from siad.runtime.consumer import BatchRoute, Handler
from siad.runtime.testing.world import OUT, STAGE, World, text_of

MINUTE_S = 60.0


class Cell:
    """A handler that can't read what begins with "bad", until it is mended."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tried: list[str] = []
        self.is_mended = False

    async def handle(self, record: Record) -> Sequence[Message]:
        self.tried.append(text_of(record))
        if text_of(record).startswith("bad") and not self.is_mended:
            msg = f"{text_of(record)!r} is no good"
            raise PoisonError(msg)
        return [Message(topic=OUT.name, key=record.key.decode(), value=text_of(record).upper().encode())]


@asynccontextmanager
async def running(world: World, route: Handler | BatchRoute[Any]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    process = asyncio.create_task(world.run(route, stop=stop, until=lambda: False))
    try:
        yield
    finally:
        stop.set()
        await process


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(1):
        while not holds():
            await asyncio.sleep(0.001)


async def settle() -> None:
    """Many turns of the loop, and some looks of the stage at the broker, however busy the machine is."""
    for _ in range(10):
        await asyncio.sleep(0.001)


def told(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"stage": STAGE, **labels})


def letters(world: World) -> list[tuple[str, str]]:
    """Kind and text of what was buried."""
    found = [decode(DeadLetter, record.value) for record in world.dead_letters()]
    return [(letter.kind, letter.payload.decode()) for letter in found]
