"""Test world of the consumer: one stage on a broker in memory.

The stage answers each record with its text in capitals.

Processes of that stage start and stop, are killed at any moment of their diary, and meet the errors that a test plants.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from siad.contracts.codec import decode
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import DeadLetter
from siad.contracts.topics import Topic, dead_letter
from siad.runtime.backoff import Backoff
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Message, Record, TopicPartition
from siad.runtime.consumer import Batch, BatchRoute, Handler, Limits, OnPoison, consume, with_retry
from siad.runtime.context import StageContext
from siad.runtime.health import Health
from siad.runtime.testing.clock import FakeClock
from siad.runtime.testing.diary import Diary, DiaryBus, Faults
from siad.runtime.testing.waiting import until

STAGE: Final = "inference"
IN: Final = Topic("siad.in.v1", "work", "ingest", (STAGE,))
OUT: Final = Topic("siad.out.v1", "work", STAGE, ())
_HANG_S: Final = 60.0  # of real time: the process hangs; a busy machine has stood still for five seconds
QUICK: Final = Limits(
    max_in_flight=1,
    commit_every_s=0,
    lag_every_s=0,
    poll_s=0.002,
    drain_s=0.05,
    backoff=Backoff(spread=0),
)


@dataclass(slots=True, eq=False)
class World:
    """One broker, its topics, and what the next process will be like."""

    bus: MemoryBus
    clock: FakeClock = field(default_factory=FakeClock)
    limits: Limits = QUICK
    troubles: Faults = field(default_factory=dict)  # text -> raised by its handler, one an attempt
    faults: Faults = field(default_factory=dict)  # port of the bus -> raised by it, one a call
    yields: dict[str, int] = field(default_factory=dict)  # text -> how often its handler lets other tasks run
    on_poison: OnPoison | None = None
    round_s: float = 0.0  # fake seconds that one round of the loop takes
    health: Health = field(init=False)
    diary: Diary = field(default_factory=Diary)  # of the last process

    def __post_init__(self) -> None:
        """Create the health that the stage reports to."""
        self.health = Health(STAGE, clock=self.clock)

    async def send(self, *texts: str, key: str = "k") -> None:
        """Publish records to the topic that the stage reads."""
        async with self.bus.producer() as producer:
            await producer.publish([Message(topic=IN.name, key=key, value=text.encode()) for text in texts])

    async def handle(self, record: Record) -> Sequence[Message]:
        """Answer one record."""
        text = text_of(record)
        self.diary.write(f"handle {text}")
        for _ in range(self.yields.get(text, 0)):
            await asyncio.sleep(0)
        self._raise_trouble(text)
        self.diary.moment()
        return [Message(topic=OUT.name, key=record.key.decode(), value=text.upper().encode())]

    async def on_batch(self, batch: Batch[str]) -> Sequence[Message]:
        """Answer a batch."""
        self.diary.write(f"handle {batch.first}-{batch.last} {' '.join(batch.decoded)}")
        for text in batch.decoded:
            self._raise_trouble(text)
        self.diary.moment()
        return [Message(topic=OUT.name, key="k", value=text.upper().encode()) for text in batch.decoded]

    def batches(self, *, records_max: int, wait_s: float = 0.0) -> BatchRoute[str]:
        """Return the stage's batch route.

        A text that begins with "bad" is poison.
        """
        return BatchRoute(decode=decode_text, on_batch=self.on_batch, records_max=records_max, wait_s=wait_s)

    async def run(
        self,
        route: Handler | BatchRoute[Any] | None = None,
        *,
        die_at: int | None = None,
        done: Callable[[], bool] | None = None,
        stop: asyncio.Event | None = None,
    ) -> list[str]:
        """Run one process until everything is committed.

        It ends earlier with ``done``, ``stop`` or ``die_at``.
        """
        diary = self.diary = Diary(die_at=die_at, faults=self.faults, on_poll=self._pass_round)
        stop = stop or asyncio.Event()
        done = done or self.is_done

        def stop_when_done() -> None:
            if done():
                stop.set()

        stop_when_done()
        async with asyncio.timeout(_HANG_S):
            await consume(
                DiaryBus(self.bus, diary, on_commit=stop_when_done),
                with_retry({IN.name: route or self.handle}, stage=STAGE),
                StageContext(stage=STAGE, stop=stop, health=self.health, clock=self.clock),
                limits=self.limits,
                on_poison=self.on_poison,
            )
        return diary.lines

    @asynccontextmanager
    async def running(self, route: Handler | BatchRoute[Any] | None = None) -> AsyncIterator[None]:
        """Run one process for as long as the context is open."""
        stop, last = asyncio.Event(), self.diary
        process = asyncio.create_task(self.run(route, stop=stop, done=lambda: False))
        process.add_done_callback(lambda _: self._end_process())
        await until(lambda: self.diary is not last)
        try:
            yield
        finally:
            stop.set()
            await process

    async def rounds(self, count: int = 5) -> None:
        """Wait until the running loop has gone round so many times.

        What it would do at once, it has done by then.
        """
        least = self.diary.polls + count
        await until(lambda: self.diary.polls >= least or self.diary.has_ended)

    def _end_process(self) -> None:
        self.diary.has_ended = True

    def is_done(self) -> bool:
        """Whether everything is committed."""
        commits = self.bus.group(f"siad.{STAGE}").commits
        places = self.bus.topic_partitions([IN.name])
        return all((commits[place].offset if place in commits else 0) == len(self.bus.log(place)) for place in places)

    def answers(self) -> list[str]:
        """Return what the stage has published, partition by partition."""
        return [text_of(record) for record in self.bus.records(OUT.name)]

    def dead_letters(self) -> list[Record]:
        """Return the stage's dead letters as records."""
        return self.bus.records(dead_letter(STAGE).name)

    def letters(self) -> list[tuple[str, str]]:
        """Return kind and text of the stage's dead letters."""
        found = [decode(DeadLetter, record.value) for record in self.dead_letters()]
        return [(letter.kind, letter.payload.decode()) for letter in found]

    def committed(self, partition: int = 0) -> tuple[int, str]:
        """Return the group's offset and crash marker."""
        return self.bus.group(f"siad.{STAGE}").commits.get(TopicPartition(IN.name, partition), (0, ""))

    def limit(self, **changes: Any) -> None:
        """Change the limits of the processes to come."""
        self.limits = replace(self.limits, **changes)

    def _pass_round(self) -> None:
        if self.round_s:
            self.clock.advance(self.round_s)

    def _raise_trouble(self, text: str) -> None:
        if self.troubles.get(text):
            raise self.troubles[text].pop(0)


async def make_world(partitions: int = 1) -> World:
    """Return a world whose broker has the stage's topics."""
    bus = MemoryBus(partitions=partitions)
    await bus.create_topics([IN, OUT, dead_letter(STAGE)])
    return World(bus)


def decode_text(record: Record) -> str:
    """Decode one record of a batch."""
    text = text_of(record)
    if text.startswith("bad"):
        msg = f"{text!r} is no good"
        raise PoisonError(msg)
    return text


def text_of(record: Record) -> str:
    """Return the text of a record."""
    return (record.value or b"").decode()


def away(times: int) -> list[BaseException]:
    """Return errors of a store that becomes available after so many attempts."""
    return [TransientError("store away") for _ in range(times)]
