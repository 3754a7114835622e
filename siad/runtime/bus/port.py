"""Message-bus port, implemented by Kafka, the embedded SQLite bus and a fake.

One contract suite runs on every adapter. Every call may raise ``TransientError`` while the broker is unavailable; the
caller decides how long to wait.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from siad.contracts.topics import Topic

MESSAGE_BYTES_MAX = 65_536  # value of one message; events carry references, never pixels

DEAD_LETTER_BYTES_MAX = 2 * MESSAGE_BYTES_MAX  # a dead letter holds a whole message, its origin and the reason

Headers = tuple[tuple[str, bytes], ...]
NOT_READ: Mapping[int, int] = MappingProxyType({})  # no partition of a topic was read before


def bytes_max(topic: str) -> int:
    """Longest allowed value of a message in ``topic``, in bytes."""
    return DEAD_LETTER_BYTES_MAX if ".dead-letter." in topic else MESSAGE_BYTES_MAX


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to send.

    A ``value`` of None is a tombstone: it deletes the key from a state topic.
    """

    topic: str
    key: str
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One message as the broker stores it."""

    topic_partition: TopicPartition
    offset: int
    key: bytes
    value: bytes | None
    headers: Headers = field(default=())
    timestamp_ms: int = 0  # when the broker or the sender stamped it, Unix time


def first_offset(oldest: int, end: int, *, last: int, resume_at: int | None) -> int:
    """Return where to begin in a partition.

    Args:
        oldest: offset of its oldest record.
        end: offset of the record that comes next.
        last: records before the end, where nothing was read before.
        resume_at: offset after the last record that was read; None: nothing was.
    """
    if resume_at is None or resume_at > end:
        return max(oldest, end - last)
    return max(oldest, resume_at)


class Commit(NamedTuple):
    """A committed offset: all records below it are done.

    ``note`` is the commit's metadata; the consumer keeps its crash marker there.
    """

    offset: int
    note: str = ""


class Producer(Protocol):
    """Publishes messages; the client's own retries neither repeat nor reorder."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send in order, and wait until all in-sync replicas acknowledge.

        Raises:
            ValueError: a value is longer than ``bytes_max`` of its topic; nothing was sent.
            TransientError: not acknowledged in time; some messages may have been sent, so publish all again.
        """
        ...


class Transactions(Protocol):
    """Results and offsets of one group, published and committed together.

    One transaction belongs to one partition that is read. Its last opener owns it: those before it are fenced.
    """

    async def open(self, source: TopicPartition) -> Commit | None:
        """Fence earlier owners of a partition; read the commit after that.

        A transaction in flight has then happened, or never will.
        """
        ...

    async def publish(self, source: TopicPartition, messages: Sequence[Message], commit: Commit) -> None:
        """Publish, and move the offset of ``source``: both or neither.

        Raises:
            ValueError: a value is longer than ``bytes_max`` of its topic; nothing was sent.
            TransientError: both may have happened; ``open`` again, and compare the commit.
        """
        ...


OnRevoke = Callable[[frozenset[TopicPartition]], Awaitable[None]]
OnAssign = Callable[[frozenset[TopicPartition]], Awaitable[None]]


class Consumer(Protocol):
    """One member of a consumer group.

    It must be polled often, also while every partition is paused; otherwise the broker removes it from the group.
    """

    async def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """Fetch up to ``max_records``; [] after ``timeout_s``.

        Records come from partitions that are not paused, in offset order per partition.
        """
        ...

    def assigned(self) -> frozenset[TopicPartition]:
        """The partitions assigned to this member now."""
        ...

    def pause(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Fetch nothing from these partitions until they are resumed.

        Polling goes on. Partitions of other members are ignored.
        """
        ...

    def resume(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Fetch from these partitions again; unassigned ones are ignored."""
        ...

    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Move the group's offsets.

        Raises:
            TransientError: the broker did not accept, or a partition belongs to another member now. Nothing is lost:
                uncommitted records are delivered again.
        """
        ...

    async def committed(self, topic_partition: TopicPartition) -> Commit | None:
        """The group's last commit of one partition; None before the first."""
        ...

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Uncommitted records up to the end, for each assigned partition."""
        ...


class StateReader(Protocol):
    """Reads one state topic completely, without a group."""

    async def snapshot(self) -> dict[str, Record]:
        """The last record of each live key, up to now.

        Call it once, before ``changes``.
        """
        ...

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """Records published since, in order; [] after ``timeout_s``.

        Tombstones (value None) are included.
        """
        ...


class LogReader(Protocol):
    """Reads the end of one work topic, without a consumer group."""

    def backlog(self) -> AsyncIterator[list[Record]]:
        """Read in batches up to the present end, in order per partition.

        Call it once, before ``changes``.
        """
        ...

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """Read records published since, in order per partition; [] after ``timeout_s``."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether the backlog began at the oldest record of every partition.

        Valid after the last batch of the backlog.
        """
        ...

    @property
    def begun_at(self) -> Mapping[int, int]:
        """Offset of each partition at which the backlog began.

        Valid from the first batch of the backlog, or its end.
        """
        ...


class Bus(Protocol):
    """One broker."""

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """Create the topics that are missing; existing topics are left unchanged.

        State topics have one partition and are compacted.
        """
        ...

    async def probe(self) -> None:
        """Raise TransientError unless the broker answers."""
        ...

    def producer(self) -> AbstractAsyncContextManager[Producer]:
        """Open a producer; closing it flushes messages in flight."""
        ...

    def transactions(self, group: str) -> AbstractAsyncContextManager[Transactions]:
        """Open transactions of a consumer group; closing ends none."""
        ...

    def consumer(
        self,
        topics: Sequence[str],
        *,
        group: str,
        start: Literal["earliest", "latest"],
        on_assign: OnAssign | None = None,
        on_revoke: OnRevoke | None = None,
    ) -> AbstractAsyncContextManager[Consumer]:
        """Join a consumer group.

        A rebalance revokes all partitions of every member and assigns them anew, also those that return to the same
        member: uncommitted records are delivered again, and no partition is paused any more. Closing leaves the group
        at once, without ``on_revoke``: commit before.

        Args:
            topics: to read.
            group: its name.
            start: where to begin in a partition that the group never committed.
            on_assign: runs before records of newly assigned partitions are fetched.
            on_revoke: runs before partitions move to another member; the last chance to commit for them.
        """
        ...

    def state(self, topic: str) -> AbstractAsyncContextManager[StateReader]:
        """Open a reader of one state topic."""
        ...

    def tail(
        self, topic: str, *, last: int, resume_at: Mapping[int, int] = NOT_READ
    ) -> AbstractAsyncContextManager[LogReader]:
        """Open a reader of the end of one work topic.

        Args:
            topic: to read.
            last: how many records before the end of each partition to begin at.
            resume_at: by partition, the offset to begin at instead, or at the oldest record where that is gone. One
                beyond the end belongs to a topic that was deleted since, and is ignored.

        Raises:
            TransientError: the topic does not exist yet, or the broker is unavailable.
        """
        ...
