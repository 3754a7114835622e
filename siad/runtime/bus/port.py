"""THE bus, as far as anybody here cares. Kafka and the memory fake both fit; one contract suite runs on both.

Every call may raise ``TransientError`` while the broker is away; whoever calls decides how long to wait.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from siad.contracts.topics import Topic

MESSAGE_BYTES_MAX = 65_536  # value of one message; events carry references, never pixels

DEAD_LETTER_BYTES_MAX = 2 * MESSAGE_BYTES_MAX  # a dead letter holds a message whole, with place and reason

Headers = tuple[tuple[str, bytes], ...]


def bytes_max(topic: str) -> int:
    """How long a value may be in ``topic``."""
    return DEAD_LETTER_BYTES_MAX if ".dead-letter." in topic else MESSAGE_BYTES_MAX


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to send. ``value`` None is a tombstone: the key is gone from a state topic."""

    topic: str
    key: str
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One message as it lies in the broker."""

    topic_partition: TopicPartition
    offset: int
    key: bytes
    value: bytes | None
    headers: Headers = field(default=())
    timestamp_ms: int = 0  # when the broker or the sender stamped it, Unix time


class Commit(NamedTuple):
    """All records below ``offset`` are done; ``note`` travels with the commit (the crash count)."""

    offset: int
    note: str = ""


class Producer(Protocol):
    """Sends. Idempotent: the client's own retries neither repeat nor reorder."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send in order; return only when every message is acknowledged by all in-sync replicas.

        Raises:
            ValueError: a value is over ``bytes_max`` of its topic; nothing was sent.
            TransientError: not acknowledged in time; some may have been sent, so publish again.
        """
        ...


OnRevoke = Callable[[frozenset[TopicPartition]], Awaitable[None]]
OnAssign = Callable[[frozenset[TopicPartition]], Awaitable[None]]


class Consumer(Protocol):
    """One member of a consumer group. Must be polled often, also while everything is paused."""

    async def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """Fetch up to ``max_records`` of the places not paused, in order per place; [] after ``timeout_s``."""
        ...

    def assigned(self) -> frozenset[TopicPartition]:
        """The places that are this member's now."""
        ...

    def pause(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Fetch nothing from these places until they are resumed; polling goes on. Unassigned ones are ignored."""
        ...

    def resume(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Fetch from these places again. Unassigned ones are ignored."""
        ...

    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Move the group's offsets. Places lost to another member are refused by TransientError, harmlessly."""
        ...

    async def committed(self, topic_partition: TopicPartition) -> Commit | None:
        """The group's last commit at ``place``; None before the first."""
        ...

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Records behind the end that are not yet committed, for each assigned place."""
        ...


class StateReader(Protocol):
    """Reads one state topic whole, without a group."""

    async def snapshot(self) -> dict[str, Record]:
        """Read to the end as it is now: the last record of each key that is not gone. Call it once, first."""
        ...

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """What came since, tombstones included (value None), in order; [] after ``timeout_s``."""
        ...


class LogReader(Protocol):
    """Reads the end of one work topic, without a consumer group and without stored offsets."""

    def backlog(self) -> AsyncIterator[list[Record]]:
        """Read in batches to the end as it is now, in order per partition. Call it once, first."""
        ...

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """Read what was published since, in order per partition; [] after ``timeout_s``."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether the backlog begins at the oldest record of every partition; known with its last batch."""
        ...


class Bus(Protocol):
    """One broker."""

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """Make the topics that are missing; leave those that stand. State topics: one partition, compacted."""
        ...

    async def probe(self) -> None:
        """Return if the broker answers; else raise TransientError."""
        ...

    def producer(self) -> AbstractAsyncContextManager[Producer]:
        """Open a producer; leaving flushes what is under way."""
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
        """Join ``group``; ``start`` is where it begins at a place it never committed.

        ``on_revoke`` runs before places move to another member: the last chance to commit for them. Whenever a
        member comes or goes, everybody's places are revoked and dealt anew, those that stay included: what was not
        committed is delivered again, and nothing is paused any more.
        Leaving gives the places back at once, without ``on_revoke``: commit before.
        """
        ...

    def state(self, topic: str) -> AbstractAsyncContextManager[StateReader]:
        """Open a reader of one state topic."""
        ...

    def tail(self, topic: str, *, last: int) -> AbstractAsyncContextManager[LogReader]:
        """Open a reader of one work topic, ``last`` records before the end of each partition.

        Raises:
            TransientError: the topic does not exist yet, or the broker is away.
        """
        ...


def refuse_oversize(message: Message) -> None:
    """Raise ValueError where a value is over the bound that every adapter keeps."""
    size, most = len(message.value or b""), bytes_max(message.topic)
    if size > most:
        msg = f"message for {message.topic} key {message.key!r} has {size} bytes, {most} are allowed; nothing was sent"
        raise ValueError(msg)
