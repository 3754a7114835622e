"""The message bus in memory, for tests and one-process loops.

It keeps the promises of the port: order per partition, groups whose members share the partitions, committed offsets
that outlive their members, state topics read completely. ``down`` plays an outage; ``abandon`` plays a member that
died. It belongs to one event loop and uses no threads.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from aiokafka.partitioner import murmur2

from siad.contracts.errors import TransientError
from siad.contracts.topics import Topic
from siad.runtime.bus.memory_readers import MemoryLogReader, MemoryStateReader
from siad.runtime.bus.outgoing import prepare
from siad.runtime.bus.port import NOT_READ, Commit, Message, OnAssign, OnRevoke, Record, TopicPartition

Partitions = frozenset[TopicPartition]
NO_PARTITIONS: Partitions = frozenset()


@dataclass(slots=True)
class _Group:
    """Members and commits of one group."""

    commits: dict[TopicPartition, Commit] = field(default_factory=dict)
    members: list["MemoryConsumer"] = field(default_factory=list)
    owners: dict[TopicPartition, "MemoryTransactions"] = field(default_factory=dict)
    rebalancing: asyncio.Lock = field(default_factory=asyncio.Lock)


class MemoryBus:
    """One broker; its records live in this process."""

    def __init__(self, *, partitions: int = 4) -> None:
        self.down = False
        self._partitions = partitions
        self._logs: dict[TopicPartition, list[Record]] = {}
        self._groups: dict[str, _Group] = {}
        self._published = asyncio.Condition()

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """Create the topics that are missing; existing ones are left unchanged."""
        self._require_up()
        for topic in topics:
            for partition in range(1 if topic.kind == "state" else self._partitions):
                self._logs.setdefault(TopicPartition(topic.name, partition), [])
        for group in self._groups.values():  # members may have subscribed to these before
            if any(topic.name in member.topics for topic in topics for member in group.members):
                await self._rebalance(group)

    async def probe(self) -> None:
        """Raise TransientError while ``down``."""
        self._require_up()

    @asynccontextmanager
    async def producer(self) -> AsyncIterator["MemoryProducer"]:
        """Open a producer."""
        yield MemoryProducer(self)

    @asynccontextmanager
    async def transactions(self, group: str) -> AsyncIterator["MemoryTransactions"]:
        """Open transactions of a group."""
        yield MemoryTransactions(self, group)

    @asynccontextmanager
    async def consumer(
        self,
        topics: Sequence[str],
        *,
        group: str,
        start: Literal["earliest", "latest"],
        on_assign: OnAssign | None = None,
        on_revoke: OnRevoke | None = None,
    ) -> AsyncIterator["MemoryConsumer"]:
        """Join ``group``; closing reassigns its partitions."""
        consumer = MemoryConsumer(self, frozenset(topics), group, start, on_assign, on_revoke)
        await self._join(consumer)
        try:
            yield consumer
        finally:
            await self._leave(consumer)

    @asynccontextmanager
    async def state(self, topic: str) -> AsyncIterator[MemoryStateReader]:
        """Open a reader of one state topic."""
        yield MemoryStateReader(self, TopicPartition(topic, 0))

    @asynccontextmanager
    async def tail(
        self, topic: str, *, last: int, resume_at: Mapping[int, int] = NOT_READ
    ) -> AsyncIterator[MemoryLogReader]:
        """Open a reader of the end of one work topic."""
        yield MemoryLogReader(self, topic, last, resume_at)

    async def abandon(self, consumer: "MemoryConsumer") -> None:
        """Play a member that died: its partitions move without ``on_revoke``."""
        consumer.is_gone = True
        await self._rebalance(self.group(consumer.group), leaving=consumer)

    def records(self, topic: str) -> list[Record]:
        """All records of a topic, partition by partition; for tests."""
        return [record for topic_partition in self.topic_partitions([topic]) for record in self._logs[topic_partition]]

    # used by producers, consumers and readers

    def topic_partitions(self, topics: Sequence[str] | frozenset[str]) -> list[TopicPartition]:
        """The partitions of some topics, in order."""
        return sorted(topic_partition for topic_partition in self._logs if topic_partition.topic in topics)

    def group(self, name: str) -> _Group:
        """A consumer group, created on first use."""
        return self._groups.setdefault(name, _Group())

    def log(self, topic_partition: TopicPartition) -> list[Record]:
        """Records of one partition.

        Raises:
            TransientError: the broker is down, or the topic does not exist yet.
        """
        self._require_up()
        if topic_partition not in self._logs:
            msg = f"topic {topic_partition.topic} partition {topic_partition.partition} does not exist; create it first"
            raise TransientError(msg)
        return self._logs[topic_partition]

    async def append(self, message: Message) -> None:
        """Append one message to the partition of its key."""
        count = len(self.topic_partitions([message.topic]))
        topic_partition = TopicPartition(
            message.topic, (murmur2(message.key.encode()) & 0x7FFFFFFF) % max(count, 1)
        )  # the partition that Kafka would choose
        log = self.log(topic_partition)
        record = Record(
            topic_partition=topic_partition,
            offset=len(log),
            key=message.key.encode(),
            value=message.value,
            headers=message.headers,
            timestamp_ms=time.time_ns() // 1_000_000,
        )
        log.append(record)
        async with self._published:
            self._published.notify_all()

    async def wait_for_publish(self, timeout_s: float) -> None:
        """Return after the next publish, or after ``timeout_s``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._published:
                await self._published.wait()

    def _require_up(self) -> None:
        if self.down:
            msg = "in-memory broker is down"
            raise TransientError(msg)

    async def _join(self, consumer: "MemoryConsumer") -> None:
        self._require_up()
        group = self.group(consumer.group)
        group.members.append(consumer)
        await self._rebalance(group)

    async def _leave(self, consumer: "MemoryConsumer") -> None:
        if consumer.is_gone:
            return
        consumer.is_gone = True
        await self._rebalance(self.group(consumer.group), leaving=consumer)

    async def _rebalance(self, group: _Group, *, leaving: "MemoryConsumer | None" = None) -> None:
        """Assign every partition to one member, round robin.

        As with Kafka, every member first gives up all its partitions, also those that return to it: reading then begins
        at the group's commit, and no partition is paused.
        """
        async with group.rebalancing:
            if leaving is not None:
                group.members.remove(leaving)
                leaving.topic_partitions = NO_PARTITIONS
            for member in list(group.members):
                if member.topic_partitions and member.on_revoke is not None:
                    await member.on_revoke(member.topic_partitions)
                member.clear()
            wanted: dict[int, set[TopicPartition]] = {id(member): set() for member in group.members}
            topics = frozenset(topic for member in group.members for topic in member.topics)
            for number, topic_partition in enumerate(self.topic_partitions(topics)):
                candidates = [member for member in group.members if topic_partition.topic in member.topics]
                wanted[id(candidates[number % len(candidates)])].add(topic_partition)
            for member in list(group.members):
                if gained := frozenset(wanted[id(member)]):
                    if member.on_assign is not None:
                        await member.on_assign(gained)
                    member.topic_partitions = gained


class MemoryProducer:
    """Publishes to a ``MemoryBus``."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send in order; one oversize message refuses the whole call."""
        for message in prepare(messages):
            await self._bus.append(message)


class MemoryTransactions:
    """Transactions of one group of a ``MemoryBus``."""

    def __init__(self, bus: MemoryBus, group: str) -> None:
        self._bus, self._group = bus, bus.group(group)

    async def open(self, source: TopicPartition) -> Commit | None:
        """Fence earlier owners, and read the group's commit."""
        await self._bus.probe()
        self._group.owners[source] = self
        return self._group.commits.get(source)

    async def publish(self, source: TopicPartition, messages: Sequence[Message], commit: Commit) -> None:
        """Publish and commit, both or neither."""
        prepared = prepare(messages)
        for message in prepared:
            self._bus.log(TopicPartition(message.topic, 0))
        await self._bus.probe()
        if self._group.owners.get(source) is not self:
            msg = f"a later owner of {source} fenced this one; nothing was published"
            raise TransientError(msg)
        self._group.commits[source] = commit
        for message in prepared:
            await self._bus.append(message)


class MemoryConsumer:
    """One member of one group of a ``MemoryBus``."""

    def __init__(
        self,
        bus: MemoryBus,
        topics: frozenset[str],
        group: str,
        start: Literal["earliest", "latest"],
        on_assign: OnAssign | None,
        on_revoke: OnRevoke | None,
    ) -> None:
        self.topics, self.group = topics, group
        self.on_assign, self.on_revoke = on_assign, on_revoke
        self.topic_partitions: Partitions = NO_PARTITIONS
        self.is_gone = False
        self._bus, self._start = bus, start
        self._paused: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int] = {}

    async def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """Fetch up to ``max_records``; [] after ``timeout_s``."""
        end_s = time.monotonic() + timeout_s
        while True:
            records: list[Record] = []
            for topic_partition in sorted(self.topic_partitions - self._paused):
                log, position = self._bus.log(topic_partition), self._position(topic_partition)
                batch = log[position : position + max_records - len(records)]
                self._positions[topic_partition] = position + len(batch)
                records += batch
            left_s = end_s - time.monotonic()
            if records or left_s <= 0:
                await asyncio.sleep(0)  # yields to other tasks, as a real consumer does
                return records
            await self._bus.wait_for_publish(left_s)

    def assigned(self) -> Partitions:
        """The partitions assigned to this member now."""
        return self.topic_partitions

    def pause(self, topic_partitions: Partitions) -> None:
        """Fetch nothing from these partitions until they are resumed."""
        self._paused |= topic_partitions & self.topic_partitions

    def resume(self, topic_partitions: Partitions) -> None:
        """Fetch from these partitions again."""
        self._paused -= topic_partitions

    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Move the group's offsets; partitions of other members are refused."""
        await self._bus.probe()
        if lost := commits.keys() - self.topic_partitions:
            msg = f"commit refused: {', '.join(map(str, sorted(lost)))} moved to another member"
            raise TransientError(msg)
        self._bus.group(self.group).commits.update(commits)

    async def committed(self, topic_partition: TopicPartition) -> Commit | None:
        """The group's last commit of one partition."""
        await self._bus.probe()
        return self._bus.group(self.group).commits.get(topic_partition)

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Uncommitted records up to the end, for each assigned partition."""
        commits = self._bus.group(self.group).commits
        return {
            topic_partition: len(self._bus.log(topic_partition))
            - (commits[topic_partition].offset if topic_partition in commits else 0)
            for topic_partition in self.topic_partitions
        }

    def clear(self) -> None:
        """Give up all partitions; reading then begins at the commits."""
        self.topic_partitions = NO_PARTITIONS
        self._paused.clear()
        self._positions.clear()

    def _position(self, topic_partition: TopicPartition) -> int:
        if topic_partition not in self._positions:
            commit = self._bus.group(self.group).commits.get(topic_partition)
            beginning = 0 if self._start == "earliest" else len(self._bus.log(topic_partition))
            self._positions[topic_partition] = beginning if commit is None else commit.offset
        return self._positions[topic_partition]
