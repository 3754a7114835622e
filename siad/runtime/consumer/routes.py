"""Routes of a stage: the handler of each topic.

It gets records one by one, or in batches.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import structlog

from siad.contracts.codec import Event, decode, encode
from siad.contracts.errors import PoisonError
from siad.contracts.topics import Topic
from siad.runtime.bus.port import Message, Record, TopicPartition

T = TypeVar("T")
E = TypeVar("E")

Handler = Callable[[Record], Awaitable[Sequence[Message]]]
OnPoison = Callable[[Record, PoisonError], Awaitable[Sequence[Message]]]  # what to publish beside the dead letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[T]):
    """Records of one partition, handled by one call.

    Poison among them was taken out.
    """

    topic_partition: TopicPartition
    first: int  # offset of the first record, a dead-lettered one included
    last: int  # offset of the last
    records: tuple[Record, ...]  # those that could be decoded, by offset
    decoded: tuple[T, ...]  # the value of each of them


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRoute(Generic[T]):
    """Route of a topic whose records are handled in batches.

    A repeat may cut the batches elsewhere.
    """

    decode: Callable[[Record], T]  # decodes one record; PoisonError dead-letters it alone
    on_batch: Callable[[Batch[T]], Awaitable[Sequence[Message]]]
    records_max: int = 500  # a batch is handled once it has so many records
    wait_s: float = 2.0  # or once its first record has waited so long


class Route(Protocol):
    """Route of one topic as the loop reads it.

    A batch has one record or more.
    """

    @property
    def records_max(self) -> int:
        """A batch is handled once it has so many records."""
        ...

    @property
    def wait_s(self) -> float:
        """Or once its first record has waited so long."""
        ...

    @property
    def decode(self) -> Callable[[Record], Any]:
        """Decodes one record; PoisonError dead-letters it alone."""
        ...

    @property
    def on_batch(self) -> Callable[[Batch[Any]], Awaitable[Sequence[Message]]]:
        """Handles the decoded records."""
        ...


@dataclass(frozen=True, slots=True)
class SingleRoute:
    """Route of a handler of single records."""

    handler: Handler
    records_max: int = 1
    wait_s: float = 0.0

    def decode(self, record: Record) -> Record:
        """Return the record: its handler decodes it."""
        return record

    def on_batch(self, batch: Batch[Record]) -> Awaitable[Sequence[Message]]:
        """Handle the one record."""
        return self.handler(batch.decoded[0])


def event_route(kind: type[E], handler: Callable[[E], Awaitable[Sequence[Event]]], *, to: Topic | None) -> Handler:
    """Make a handler of records from a handler of events.

    It decodes the record, and encodes the answers under the record's own key.

    The log lines of the handler carry the event's line and capture.

    Args:
        kind: event type of the topic; other bytes are poison.
        handler: returns the events to publish.
        to: topic of those events; None where the handler returns none.
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
    """Return a record's key as text.

    Raises:
        PoisonError: the key is not UTF-8, so there is no key for the answer.
    """
    try:
        return record.key.decode()
    except UnicodeDecodeError as error:
        msg = f"key {record.key[:100]!r} of {record.topic_partition.topic} is not UTF-8: {error.reason}"
        raise PoisonError(msg) from error


def bind_event(event: Any) -> None:
    """Add the event's line and capture to this task's log lines."""
    named = {name: getattr(event, name) for name in ("line", "capture_id") if hasattr(event, name)}
    structlog.contextvars.bind_contextvars(**named)


def as_routes(routes: Mapping[str, "Handler | BatchRoute[Any]"]) -> dict[str, Route]:
    """Return all routes in the form that the loop reads."""
    return {topic: route if isinstance(route, BatchRoute) else SingleRoute(route) for topic, route in routes.items()}
