"""A bus that keeps a diary, and a process that can die at any step of it.

``DiaryBus`` wraps a ``MemoryBus``. Every publish and commit is a line of the diary, in the order they happened; a
test's handler writes its own lines. Each line has two moments, before and after its effect; ``die_at`` picks the
moment at which the process is killed: from there on nothing it tries has an effect, and its places move to others
without a word.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from siad.runtime.bus.memory import MemoryBus, MemoryConsumer, MemoryProducer
from siad.runtime.bus.port import Commit, Message, OnAssign, OnRevoke, Record, TopicPartition


class Killed(BaseException):
    """The process is dead: nothing may catch this and go on."""


@dataclass(slots=True, eq=False)
class Diary:
    """What one process did, in order."""

    lines: list[str] = field(default_factory=list)
    die_at: int | None = None  # moment, counted from 0
    moments: int = 0
    is_dead: bool = False

    def moment(self) -> None:
        """One more moment at which the process can die."""
        if self.is_dead or self.moments == self.die_at:
            self.is_dead = True
            raise Killed
        self.moments += 1

    def write(self, line: str) -> None:
        """Something is about to happen."""
        self.moment()
        self.lines.append(line)


class DiaryBus:
    """One process's view of a bus."""

    def __init__(self, bus: MemoryBus, diary: Diary, *, on_commit: Callable[[], None] | None = None) -> None:
        self._bus, self._diary, self._on_commit = bus, diary, on_commit
        self.create_topics, self.probe, self.state, self.tail = bus.create_topics, bus.probe, bus.state, bus.tail

    @asynccontextmanager
    async def producer(self) -> AsyncIterator["DiaryProducer"]:
        """Open a producer."""
        async with self._bus.producer() as producer:
            yield DiaryProducer(producer, self._diary)

    @asynccontextmanager
    async def consumer(
        self,
        topics: Sequence[str],
        *,
        group: str,
        start: Literal["earliest", "latest"],
        on_assign: OnAssign | None = None,
        on_revoke: OnRevoke | None = None,
    ) -> AsyncIterator["DiaryConsumer"]:
        """Join a group; a dead process leaves it without a word."""
        joined = self._bus.consumer(topics, group=group, start=start, on_assign=on_assign, on_revoke=on_revoke)
        async with joined as consumer:
            try:
                yield DiaryConsumer(consumer, self._diary, self._on_commit)
            finally:
                if self._diary.is_dead:
                    await self._bus.abandon(consumer)


class DiaryProducer:
    """Writes down what is published."""

    def __init__(self, producer: MemoryProducer, diary: Diary) -> None:
        self._producer, self._diary = producer, diary

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send; one line for all."""
        self._diary.write(f"publish {' '.join(_name(message) for message in messages)}")
        await self._producer.publish(messages)
        self._diary.moment()


class DiaryConsumer:
    """Writes down what is committed."""

    def __init__(self, consumer: MemoryConsumer, diary: Diary, on_commit: Callable[[], None] | None) -> None:
        self._consumer, self._diary, self._on_commit = consumer, diary, on_commit
        self.assigned, self.pause, self.resume = consumer.assigned, consumer.pause, consumer.resume
        self.committed, self.lag = consumer.committed, consumer.lag

    async def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """Fetch; too common for the diary."""
        return await self._consumer.poll(max_records=max_records, timeout_s=timeout_s)

    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Commit; one line with the offsets."""
        said = " ".join(
            f"{topic_partition.partition}:{commit.offset}" for topic_partition, commit in sorted(commits.items())
        )
        self._diary.write(f"commit {said}")
        await self._consumer.commit(commits)
        self._diary.moment()
        if self._on_commit is not None:
            self._on_commit()


def _name(message: Message) -> str:
    if ".dead-letter." in message.topic:
        return f"dead-letter({message.key})"
    return "tombstone" if message.value is None else message.value.decode("utf-8", "replace")
