"""Completes verdicts as they are published, and counts the acknowledged ones."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from services.inference import metrics
from services.inference.adapters.spool import VerdictSpool
from services.inference.domain.judge import label_of, with_publish_wait
from siad.contracts.codec import decode, encode
from siad.contracts.errors import TransientError
from siad.contracts.events import VerdictGiven
from siad.contracts.topics import VERDICT, Topic
from siad.runtime import spans, trace
from siad.runtime.bus.port import (
    NOT_READ,
    Bus,
    Commit,
    Consumer,
    LogReader,
    Message,
    OnAssign,
    OnRevoke,
    Producer,
    StateReader,
    TopicPartition,
    Transactions,
)
from siad.runtime.clock import Clock

REFUSED_MAX: Final = 256  # batches, at most one for each partition that is read here


class OutgoingVerdicts:
    """Completes, counts and spools verdicts on their way to the bus."""

    def __init__(self, clock: Clock, spool: VerdictSpool | None) -> None:
        self._clock, self._spool = clock, spool
        self._refused: dict[tuple[Message, ...], _Outgoing] = {}  # as they were first sent

    async def publish(self, messages: Sequence[Message], send: Callable[[Sequence[Message]], Awaitable[None]]) -> None:
        """Send the messages, then count the verdicts among them.

        Each verdict says how long it waited to be published, which is known only here. A repeat after a refusal sends
        the same bytes again, since the producer may still be sending those of the first attempt.
        """
        batch = tuple(messages)
        outgoing = self._refused.get(batch) or self._complete(batch)
        try:
            await send(outgoing.messages)
        except TransientError:
            self._refused[batch] = outgoing
            if len(self._refused) > REFUSED_MAX:  # of partitions that moved away meanwhile
                del self._refused[next(iter(self._refused))]
            if self._spool is not None:
                await self._spool.on_refused(outgoing.verdicts)
            raise
        self._refused.pop(batch, None)
        if self._spool is not None:
            await self._spool.on_published(outgoing.verdicts)
        now = self._clock.now()
        for verdict, exemplar in zip(outgoing.verdicts, outgoing.exemplars, strict=True):
            metrics.VERDICTS.labels(verdict.line, label_of(verdict.decision, verdict.reason)).inc()
            seconds = (now - verdict.received_at).total_seconds()
            metrics.VERDICT_SECONDS.labels(verdict.line).observe(max(seconds, 0.0), exemplar=exemplar)

    def _complete(self, batch: Sequence[Message]) -> "_Outgoing":
        now = self._clock.now()
        messages: list[Message] = []
        verdicts: list[VerdictGiven] = []
        exemplars: list[dict[str, str] | None] = []
        for message in batch:
            if message.topic == VERDICT.name:
                verdict = with_publish_wait(decode(VerdictGiven, message.value), now=now)
                span = trace.span_of(message.headers)
                verdicts.append(replace(verdict, trace_id=verdict.trace_id or (span.trace_id if span else "")))
                exemplars.append(spans.exemplar_of(span.traceparent) if span else None)
                messages.append(replace(message, value=encode(verdicts[-1])))
            else:
                messages.append(message)
        return _Outgoing(messages, verdicts, exemplars)


class _Outgoing(NamedTuple):
    """Messages as they are sent, and the verdicts among them."""

    messages: Sequence[Message]
    verdicts: Sequence[VerdictGiven]
    exemplars: Sequence[dict[str, str] | None]  # of the verdicts


class CountingProducer:
    """A producer that completes and counts the verdicts that it publishes."""

    def __init__(self, producer: Producer, outgoing: OutgoingVerdicts) -> None:
        self._producer, self._outgoing = producer, outgoing

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish the messages, then count the verdicts among them."""
        await self._outgoing.publish(messages, self._producer.publish)


class CountingTransactions:
    """Transactions that complete and count the verdicts that they publish."""

    def __init__(self, transactions: Transactions, outgoing: OutgoingVerdicts) -> None:
        self._transactions, self._outgoing = transactions, outgoing

    async def open(self, source: TopicPartition) -> Commit | None:
        """Pass on to the bus."""
        return await self._transactions.open(source)

    async def publish(self, source: TopicPartition, messages: Sequence[Message], commit: Commit) -> None:
        """Publish and commit, then count the verdicts among the messages."""

        async def send(completed: Sequence[Message]) -> None:
            await self._transactions.publish(source, completed, commit)

        await self._outgoing.publish(messages, send)


class CountingBus:
    """A bus whose producers count verdicts; every other call is passed on."""

    def __init__(self, bus: Bus, clock: Clock, spool: VerdictSpool | None = None) -> None:
        self._bus = bus
        self._clock = clock
        self.spool = spool  # of what the broker refuses; None: nothing is kept

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """Pass on to the bus."""
        await self._bus.create_topics(topics)

    async def probe(self) -> None:
        """Pass on to the bus."""
        await self._bus.probe()

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        """Open a producer that counts verdicts."""
        async with self._bus.producer() as producer:
            yield CountingProducer(producer, OutgoingVerdicts(self._clock, self.spool))

    @asynccontextmanager
    async def transactions(self, group: str) -> AsyncIterator[Transactions]:
        """Open transactions that count verdicts."""
        async with self._bus.transactions(group) as transactions:
            yield CountingTransactions(transactions, OutgoingVerdicts(self._clock, self.spool))

    def consumer(
        self,
        topics: Sequence[str],
        *,
        group: str,
        start: Literal["earliest", "latest"],
        on_assign: OnAssign | None = None,
        on_revoke: OnRevoke | None = None,
    ) -> AbstractAsyncContextManager[Consumer]:
        """Pass on to the bus."""
        return self._bus.consumer(topics, group=group, start=start, on_assign=on_assign, on_revoke=on_revoke)

    def state(self, topic: str) -> AbstractAsyncContextManager[StateReader]:
        """Pass on to the bus."""
        return self._bus.state(topic)

    def tail(
        self, topic: str, *, last: int, resume_at: Mapping[int, int] = NOT_READ
    ) -> AbstractAsyncContextManager[LogReader]:
        """Pass on to the bus."""
        return self._bus.tail(topic, last=last, resume_at=resume_at)
