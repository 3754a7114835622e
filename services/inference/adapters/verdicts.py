"""Counts the verdicts that the broker has acknowledged: what a line was really told, and how long it waited."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

from services.inference import metrics
from siad.contracts.codec import decode
from siad.contracts.events import Decision, VerdictGiven
from siad.contracts.topics import VERDICT, Topic
from siad.runtime.bus.port import Bus, Consumer, LogReader, Message, OnAssign, OnRevoke, Producer, StateReader
from siad.runtime.clock import Clock


def said(decision: Decision, reason: str) -> str:
    """A verdict as a label: pass, reject, or why it is unknown."""
    return reason if decision is Decision.UNKNOWN else decision.value


class CountingProducer:
    """A producer that looks at what went through it."""

    def __init__(self, producer: Producer, clock: Clock) -> None:
        self._producer = producer
        self._clock = clock

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send; count what was acknowledged."""
        await self._producer.publish(messages)
        now = self._clock.now()
        for message in messages:
            if message.topic == VERDICT.name:
                verdict = decode(VerdictGiven, message.value)
                metrics.VERDICTS.labels(verdict.line, said(verdict.decision, verdict.reason)).inc()
                seconds = (now - verdict.received_at).total_seconds()
                metrics.VERDICT_SECONDS.labels(verdict.line).observe(max(seconds, 0.0))


class CountingBus:
    """A bus whose producers count verdicts; all else is the bus's own."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """As the bus does."""
        await self._bus.create_topics(topics)

    async def probe(self) -> None:
        """As the bus does."""
        await self._bus.probe()

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        """Open a producer that counts."""
        async with self._bus.producer() as producer:
            yield CountingProducer(producer, self._clock)

    def consumer(
        self,
        topics: Sequence[str],
        *,
        group: str,
        start: Literal["earliest", "latest"],
        on_assign: OnAssign | None = None,
        on_revoke: OnRevoke | None = None,
    ) -> AbstractAsyncContextManager[Consumer]:
        """As the bus does."""
        return self._bus.consumer(topics, group=group, start=start, on_assign=on_assign, on_revoke=on_revoke)

    def state(self, topic: str) -> AbstractAsyncContextManager[StateReader]:
        """As the bus does."""
        return self._bus.state(topic)

    def tail(self, topic: str, *, last: int) -> AbstractAsyncContextManager[LogReader]:
        """As the bus does."""
        return self._bus.tail(topic, last=last)
