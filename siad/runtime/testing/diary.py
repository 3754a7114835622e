"""A bus that keeps a diary and fails on demand.

A process on it can be killed at any step.

``DiaryBus`` wraps a ``MemoryBus``. Every publish and commit is a line of the diary, in the order in which it happened,
and a test's handler writes lines of its own. Each line has two moments, before and after its effect. ``die_at`` picks
the moment at which the process is killed: from there on nothing it tries has an effect, and its partitions move to
other members. ``faults`` has the errors that each port raises, one a call.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from siad.runtime.bus.memory import MemoryBus, MemoryConsumer, MemoryProducer, MemoryTransactions
from siad.runtime.bus.port import Commit, Message, OnAssign, OnRevoke, Record, TopicPartition


class ProcessKilled(BaseException):
    """The process was killed.

    No code of the product may catch this and go on.
    """


Faults = dict[str, list[BaseException]]  # port ("publish", "commit", "poll", "committed", ...) -> raised one a call


def raise_fault(faults: Faults, port: str) -> None:
    """Raise the next planted error of a port, where one is left."""
    if errors := faults.get(port):
        raise errors.pop(0)


@dataclass(slots=True, eq=False)
class Diary:
    """What one process did, in order."""

    lines: list[str] = field(default_factory=list)
    die_at: int | None = None  # moment, counted from 0
    faults: Faults = field(default_factory=dict)
    on_poll: Callable[[], None] | None = None
    moments: int = 0
    polls: int = 0
    is_dead: bool = False
    has_ended: bool = False  # the process of this diary

    def moment(self) -> None:
        """Pass a moment at which the process may be killed."""
        if self.is_dead or self.moments == self.die_at:
            self.is_dead = True
            raise ProcessKilled
        self.moments += 1

    def write(self, line: str) -> None:
        """Add the line of an effect that is about to happen."""
        self.moment()
        self.lines.append(line)


class DiaryBus:
    """One process's connection to a bus."""

    def __init__(self, bus: MemoryBus, diary: Diary, *, on_commit: Callable[[], None] | None = None) -> None:
        self._bus, self._diary, self._on_commit = bus, diary, on_commit
        self.create_topics, self.probe, self.state, self.tail = bus.create_topics, bus.probe, bus.state, bus.tail

    @asynccontextmanager
    async def producer(self) -> AsyncIterator["DiaryProducer"]:
        """Open a producer."""
        async with self._bus.producer() as producer:
            yield DiaryProducer(producer, self._diary)

    @asynccontextmanager
    async def transactions(self, group: str) -> AsyncIterator["DiaryTransactions"]:
        """Open transactions."""
        async with self._bus.transactions(group) as transactions:
            yield DiaryTransactions(transactions, self._diary, self._on_commit)

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
        """Join a group; a killed process leaves it without a final commit."""
        joined = self._bus.consumer(topics, group=group, start=start, on_assign=on_assign, on_revoke=on_revoke)
        async with joined as consumer:
            try:
                yield DiaryConsumer(consumer, self._diary, self._on_commit)
            finally:
                if self._diary.is_dead:
                    await self._bus.abandon(consumer)


class DiaryProducer:
    """Writes a line for every publish."""

    def __init__(self, producer: MemoryProducer, diary: Diary) -> None:
        self._producer, self._diary = producer, diary

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send; one line for all messages."""
        raise_fault(self._diary.faults, "publish")
        self._diary.write(f"publish {' '.join(_name(message) for message in messages)}")
        await self._producer.publish(messages)
        self._diary.moment()


class DiaryTransactions:
    """Writes a line for every transaction."""

    def __init__(self, transactions: MemoryTransactions, diary: Diary, on_commit: Callable[[], None] | None) -> None:
        self._transactions, self._diary, self._on_commit = transactions, diary, on_commit

    async def open(self, source: TopicPartition) -> Commit | None:
        """Fence earlier owners, and read the commit."""
        raise_fault(self._diary.faults, "open")
        return await self._transactions.open(source)

    async def publish(self, source: TopicPartition, messages: Sequence[Message], commit: Commit) -> None:
        """Publish and commit; one line for both.

        A planted fault of ``transact`` is raised before the effect, one of ``transacted`` after it.
        """
        raise_fault(self._diary.faults, "transact")
        names = " ".join(_name(message) for message in messages)
        self._diary.write(f"publish {names} commit {source.partition}:{commit.offset}")
        await self._transactions.publish(source, messages, commit)
        self._diary.moment()
        if self._on_commit is not None:
            self._on_commit()
        raise_fault(self._diary.faults, "transacted")


class DiaryConsumer:
    """Writes a line for every commit."""

    def __init__(self, consumer: MemoryConsumer, diary: Diary, on_commit: Callable[[], None] | None) -> None:
        self._consumer, self._diary, self._on_commit = consumer, diary, on_commit
        self.assigned, self.pause, self.resume = consumer.assigned, consumer.pause, consumer.resume

    async def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """Fetch; counted, but too frequent for a line."""
        raise_fault(self._diary.faults, "poll")
        self._diary.polls += 1
        if self._diary.on_poll is not None:
            self._diary.on_poll()
        return await self._consumer.poll(max_records=max_records, timeout_s=timeout_s)

    async def committed(self, topic_partition: TopicPartition) -> Commit | None:
        """Read the group's last commit."""
        raise_fault(self._diary.faults, "committed")
        return await self._consumer.committed(topic_partition)

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Read the lag."""
        raise_fault(self._diary.faults, "lag")
        return await self._consumer.lag()

    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Commit; one line with the offsets."""
        raise_fault(self._diary.faults, "commit")
        offsets = " ".join(f"{place.partition}:{commit.offset}" for place, commit in sorted(commits.items()))
        self._diary.write(f"commit {offsets}")
        await self._consumer.commit(commits)
        self._diary.moment()
        if self._on_commit is not None:
            self._on_commit()


def _name(message: Message) -> str:
    if ".dead-letter." in message.topic:
        return f"dead-letter({message.key})"
    return "tombstone" if message.value is None else message.value.decode("utf-8", "replace")
