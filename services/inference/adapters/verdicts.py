"""Completes verdicts as they are published, and counts the acknowledged ones."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Literal

from services.inference import metrics
from services.inference.domain.judge import label_of, with_publish_wait
from siad.contracts.codec import decode, encode
from siad.contracts.events import VerdictGiven
from siad.contracts.topics import VERDICT, Topic
from siad.runtime.bus.port import NOT_READ, Bus, Consumer, LogReader, Message, OnAssign, OnRevoke, Producer, StateReader
from siad.runtime.clock import Clock


class CountingProducer:
    """A producer that completes and counts the verdicts that it publishes."""

    def __init__(self, producer: Producer, clock: Clock) -> None:
        self._producer = producer
        self._clock = clock

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish the messages, then count the verdicts among them.

        Each verdict says how long it waited to be published, which is known only here.
        """
        now = self._clock.now()
        verdicts = {
            index: with_publish_wait(decode(VerdictGiven, message.value), now=now)
            for index, message in enumerate(messages)
            if message.topic == VERDICT.name
        }
        await self._producer.publish(
            [
                replace(message, value=encode(verdicts[index])) if index in verdicts else message
                for index, message in enumerate(messages)
            ]
        )
        now = self._clock.now()
        for verdict in verdicts.values():
            metrics.VERDICTS.labels(verdict.line, label_of(verdict.decision, verdict.reason)).inc()
            seconds = (now - verdict.received_at).total_seconds()
            metrics.VERDICT_SECONDS.labels(verdict.line).observe(max(seconds, 0.0))


class CountingBus:
    """A bus whose producers count verdicts; every other call is passed on."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

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
