"""What a stage tells the loop: a handler for each topic, and when to wait, pause and give up."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import structlog

from siad.contracts.codec import Event, decode, encode
from siad.contracts.errors import PoisonError
from siad.contracts.topics import Topic
from siad.runtime.backoff import Backoff
from siad.runtime.bus.port import Message, Record, TopicPartition

T = TypeVar("T")
E = TypeVar("E")

Handler = Callable[[Record], Awaitable[Sequence[Message]]]
OnPoison = Callable[[Record, PoisonError], Awaitable[Sequence[Message]]]  # what to publish beside the dead letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to wait, pause and give up."""

    max_in_flight: int = 32  # handlers at once; a partition with as many records in hand is paused
    handler_timeout_s: float = 60.0  # then the record counts as transient and is tried again
    commit_every_s: float = 0.2  # commits are gathered for so long
    lag_every_s: float = 5.0  # how often the broker is asked how far we are behind
    poll_s: float = 0.1  # one poll waits so long at most
    drain_s: float = 10.0  # on leaving and on losing a partition: for what is in flight
    crashes_max: int = 3  # a record that ends the process so many times running is buried
    poison_max: int = 20  # in a row: from one line, it is quarantined; from several, the stage stands still
    probe_every_s: float = 60.0  # how often one record of what is quarantined, or stands still, is tried
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[T]):
    """Records of one partition, handled by one call. Poison among them was taken out."""

    topic_partition: TopicPartition
    first: int  # offset of the first record, a buried one included
    last: int  # offset of the last
    records: tuple[Record, ...]  # those that could be read, by offset
    items: tuple[T, ...]  # what ``sift`` made of each of them


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRoute(Generic[T]):
    """How one topic is taken in batches. Their borders are not promised: a repeat may cut them elsewhere."""

    sift: Callable[[Record], T]  # reads one record; PoisonError buries it alone
    on_batch: Callable[[Batch[T]], Awaitable[Sequence[Message]]]
    records_max: int = 500  # a batch is handled when it has so many records
    wait_s: float = 2.0  # or when its first has waited so long


class Route(Protocol):
    """One topic as the loop sees it: batches, be they of one."""

    @property
    def records_max(self) -> int:
        """A batch is handled when it has so many records."""
        ...

    @property
    def wait_s(self) -> float:
        """Or when its first has waited so long."""
        ...

    @property
    def sift(self) -> Callable[[Record], Any]:
        """Reads one record; PoisonError buries it alone."""
        ...

    @property
    def on_batch(self) -> Callable[[Batch[Any]], Awaitable[Sequence[Message]]]:
        """Handles what was read."""
        ...


@dataclass(frozen=True, slots=True)
class SingleRoute:
    """A handler of single records as a route."""

    handler: Handler
    records_max: int = 1
    wait_s: float = 0.0

    def sift(self, record: Record) -> Record:
        """Leave the reading to the handler."""
        return record

    def on_batch(self, batch: Batch[Record]) -> Awaitable[Sequence[Message]]:
        """Handle the one record."""
        return self.handler(batch.items[0])


def event_route(kind: type[E], handler: Callable[[E], Awaitable[Sequence[Event]]], *, to: Topic | None) -> Handler:
    """A handler of records from a handler of events: decode, handle, encode under the record's own key.

    The log lines of the handler carry the event's line and capture.

    Args:
        kind: what the topic holds; other bytes are poison.
        handler: returns what to emit.
        to: the topic that the answers go to; None where the handler never answers.
    """

    async def handle(record: Record) -> Sequence[Message]:
        key, event = key_of(record), decode(kind, record.value)
        bind_event(event)
        answers = await handler(event)
        if to is None and answers:
            msg = f"the handler of {kind.__name__} returned events, but its route names no topic for them"
            raise TypeError(msg)
        return [Message(topic=to.name, key=key, value=encode(answer)) for answer in answers] if to else []

    return handle


def key_of(record: Record) -> str:
    """A record's key as text.

    Raises:
        PoisonError: it is none, so nobody knows under which key to answer.
    """
    try:
        return record.key.decode()
    except UnicodeDecodeError as error:
        msg = f"key {record.key[:100]!r} of {record.topic_partition.topic} is no text: {error.reason}"
        raise PoisonError(msg) from error


def bind_event(event: Any) -> None:
    """Have the log lines of this task say which line and capture they are about."""
    named = {name: getattr(event, name) for name in ("line", "capture_id") if hasattr(event, name)}
    structlog.contextvars.bind_contextvars(**named)


def as_routes(routes: Mapping[str, "Handler | BatchRoute[Any]"]) -> dict[str, Route]:
    """Handlers of single records and of batches, as the loop sees them."""
    return {topic: one if isinstance(one, BatchRoute) else SingleRoute(one) for topic, one in routes.items()}
