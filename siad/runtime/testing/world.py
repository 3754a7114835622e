"""A tiny world for the loop: one broker in memory, and a stage that answers every record with its text in capitals.

Processes of that stage come and go, die at any moment of their diary, and meet what trouble a test plants.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.topics import Topic, dead_letter
from siad.runtime.backoff import Backoff
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Message, Record, TopicPartition
from siad.runtime.consumer import Batch, BatchRoute, Handler, Limits, OnPoison, consume, with_retry
from siad.runtime.health import Health
from siad.runtime.testing.clock import FakeClock
from siad.runtime.testing.diary import Diary, DiaryBus

STAGE: Final = "inference"
IN: Final = Topic("siad.in.v1", "work", "ingest", (STAGE,))
OUT: Final = Topic("siad.out.v1", "work", STAGE, ())
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
    troubles: dict[str, list[BaseException]] = field(default_factory=dict)  # text -> raised by its handler, one a try
    yields: dict[str, int] = field(default_factory=dict)  # text -> how often its handler lets others run
    on_poison: OnPoison | None = None
    health: Health = field(init=False)
    diary: Diary = field(default_factory=Diary)  # of the last process

    def __post_init__(self) -> None:
        """Give the stage a health to report to."""
        self.health = Health(STAGE, clock=self.clock)

    async def send(self, *texts: str, key: str = "k") -> None:
        """Put records into the topic that the stage reads."""
        async with self.bus.producer() as producer:
            await producer.publish([Message(topic=IN.name, key=key, value=text.encode()) for text in texts])

    async def handle(self, record: Record) -> Sequence[Message]:
        """Answer one record."""
        text = text_of(record)
        self.diary.write(f"handle {text}")
        for _ in range(self.yields.get(text, 0)):
            await asyncio.sleep(0)
        self._meet_trouble(text)
        self.diary.moment()
        return [Message(topic=OUT.name, key=record.key.decode(), value=text.upper().encode())]

    async def on_batch(self, batch: Batch[str]) -> Sequence[Message]:
        """Answer a batch."""
        self.diary.write(f"handle {batch.first}-{batch.last} {' '.join(batch.items)}")
        for text in batch.items:
            self._meet_trouble(text)
        self.diary.moment()
        return [Message(topic=OUT.name, key="k", value=text.upper().encode()) for text in batch.items]

    def batches(self, *, records_max: int, wait_s: float = 0.0) -> BatchRoute[str]:
        """The stage's batch route; text that begins with "bad" is poison."""
        return BatchRoute(sift=sift, on_batch=self.on_batch, records_max=records_max, wait_s=wait_s)

    async def run(
        self,
        route: Handler | BatchRoute[Any] | None = None,
        *,
        die_at: int | None = None,
        until: Callable[[], bool] | None = None,
        stop: asyncio.Event | None = None,
    ) -> list[str]:
        """One process: from its start until all is committed (or ``until``, or ``stop``), or to its death."""
        diary = self.diary = Diary(die_at=die_at)
        stop = stop or asyncio.Event()
        until = until or self.is_done

        def look() -> None:
            if until():
                stop.set()

        look()
        async with asyncio.timeout(2):
            await consume(
                DiaryBus(self.bus, diary, on_commit=look),
                with_retry({IN.name: route or self.handle}, stage=STAGE),
                stage=STAGE,
                stop=stop,
                health=self.health,
                limits=self.limits,
                on_poison=self.on_poison,
                clock=self.clock,
            )
        return diary.lines

    def is_done(self) -> bool:
        """Everything is committed."""
        commits = self.bus.group(f"siad.{STAGE}").commits
        ends = {
            topic_partition: len(self.bus.log(topic_partition))
            for topic_partition in self.bus.topic_partitions([IN.name])
        }
        return all(
            (commits[topic_partition].offset if topic_partition in commits else 0) == end
            for topic_partition, end in ends.items()
        )

    def answers(self) -> list[str]:
        """What the stage has published, partition by partition."""
        return [text_of(record) for record in self.bus.records(OUT.name)]

    def dead_letters(self) -> list[Record]:
        """What the stage has buried."""
        return self.bus.records(dead_letter(STAGE).name)

    def committed(self, partition: int = 0) -> tuple[int, str]:
        """The group's offset and note."""
        return self.bus.group(f"siad.{STAGE}").commits.get(TopicPartition(IN.name, partition), (0, ""))

    def limit(self, **changes: Any) -> None:
        """Change the limits of the processes to come."""
        self.limits = replace(self.limits, **changes)

    def _meet_trouble(self, text: str) -> None:
        if self.troubles.get(text):
            raise self.troubles[text].pop(0)


async def make_world(partitions: int = 1) -> World:
    """A broker with the stage's topics."""
    bus = MemoryBus(partitions=partitions)
    await bus.create_topics([IN, OUT, dead_letter(STAGE)])
    return World(bus)


def sift(record: Record) -> str:
    """Read one record of a batch."""
    text = text_of(record)
    if text.startswith("bad"):
        msg = f"{text!r} is no good"
        raise PoisonError(msg)
    return text


def text_of(record: Record) -> str:
    """The text of a record."""
    return (record.value or b"").decode()


def away(times: int) -> list[BaseException]:
    """Trouble that passes."""
    return [TransientError("store away") for _ in range(times)]
