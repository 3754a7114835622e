"""Kafka producer: idempotent, acknowledged by all in-sync replicas."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)

from siad.contracts.errors import TransientError
from siad.runtime.bus.kafka.closing import ClosingClients
from siad.runtime.bus.kafka.errors import explain
from siad.runtime.bus.kafka.security import connected, security_of
from siad.runtime.bus.outgoing import prepare
from siad.runtime.bus.port import DEAD_LETTER_BYTES_MAX, Message
from siad.runtime.bus.settings import BusSettings

log = structlog.get_logger()

REQUEST_BYTES_MAX: Final = max(1_048_576, 2 * DEAD_LETTER_BYTES_MAX)
_HARMLESS = (
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)  # raised before sending


class KafkaProducer:
    """Publishes to Kafka; connects with its first message.

    A failure in flight leaves a gap in the client's sequence numbers, so the client is then replaced.
    """

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._opening: asyncio.Task[AIOKafkaProducer] | None = None
        self._under_way: dict[tuple[Message, ...], asyncio.Task[None]] = {}
        self._closing = ClosingClients(settings.publish_timeout_s)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send in order, and wait until every message is acknowledged.

        While the broker is unavailable the client keeps messages and sends them later. So publishing the same messages
        again waits for the first attempt instead of sending them twice.
        """
        if not (batch := prepare(messages)):
            return
        if (sending := self._under_way.get(batch)) is None:
            sending = self._under_way[batch] = asyncio.create_task(self._send(batch))
            sending.add_done_callback(lambda task: self._end(batch, task))
        what = f"acknowledge {len(batch)} messages"
        try:
            await asyncio.wait_for(asyncio.shield(sending), self._settings.publish_timeout_s)
        except TimeoutError as error:
            timeout_s = self._settings.publish_timeout_s
            msg = f"broker at {self._settings.bootstrap} did not {what} in {timeout_s:g} s; publish them again"
            raise TransientError(msg) from error
        except MessageSizeTooLargeError as error:
            msg = f"broker refuses a message of {max(len(m.value or b'') for m in batch)} bytes: {error}"
            raise ValueError(msg) from error
        except KafkaError as error:
            raise explain(error, what, self._settings) from error

    async def close(self) -> None:
        """Flush, for at most the publish timeout, and close."""
        opening, self._opening = self._opening, None
        if opening is not None:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                self._closing.add(opening.result())
            else:
                opening.cancel()
        await self._closing.wait()

    async def _send(self, batch: Sequence[Message]) -> None:
        client = await self._client()
        acknowledged: list[asyncio.Future[Any]] = []
        try:
            for m in batch:
                sent = await client.send(m.topic, value=m.value, key=m.key.encode(), headers=list(m.headers))
                sent.add_done_callback(_note_result)
                acknowledged.append(sent)
            await asyncio.gather(*acknowledged)
        except _HARMLESS:
            raise
        except KafkaError as error:
            log.warning("producer_replaced", reason=repr(error))
            if self._opening is not None and self._opening.done() and self._opening.result() is client:
                self._opening = None
                self._closing.add(client)
            raise

    async def _client(self) -> AIOKafkaProducer:
        """The client in use; concurrent callers share one connection attempt."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._forget_failure)
        return await asyncio.shield(self._opening)

    async def _open(self) -> AIOKafkaProducer:
        client = AIOKafkaProducer(
            bootstrap_servers=self._settings.bootstrap,
            client_id=self._settings.client_id,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            linger_ms=2,
            max_request_size=REQUEST_BYTES_MAX,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
            metadata_max_age_ms=30_000,
            **security_of(self._settings),
        )
        is_open = False
        try:
            await connected(client.start(), "connect a producer", self._settings)
            is_open = True
        finally:
            if not is_open:
                await client.stop()
        return client

    def _forget_failure(self, opening: "asyncio.Task[AIOKafkaProducer]") -> None:
        _note_result(opening)
        if (opening.cancelled() or opening.exception() is not None) and self._opening is opening:
            self._opening = None  # the next publish connects again

    def _end(self, batch: tuple[Message, ...], sending: "asyncio.Task[None]") -> None:
        del self._under_way[batch]
        _note_result(sending)


def _note_result(done: "asyncio.Future[Any]") -> None:
    """Mark a result as retrieved.

    The caller may have been cancelled; asyncio would then log the error as never retrieved.
    """
    if not done.cancelled():
        done.exception()
