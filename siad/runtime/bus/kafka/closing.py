"""Closing of Kafka producers in the background, within a bound."""

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed


class ClosingClients:
    """Producers that are closed, and not used any more.

    Args:
        patience_s: for the messages in flight.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, client: AIOKafkaProducer) -> None:
        """Begin to close a client."""
        task = asyncio.create_task(_shut(client, self._patience_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self) -> None:
        """Return once all are closed."""
        if self._tasks:
            await asyncio.wait(self._tasks)


async def _shut(client: AIOKafkaProducer, patience_s: float) -> None:
    """Flush and close.

    Messages not acknowledged within ``patience_s`` fail, and are never sent later.
    """
    stopping = asyncio.create_task(client.stop())
    _, late = await asyncio.wait({stopping}, timeout=patience_s)
    if late:
        client._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001 - otherwise its flush waits for ever
        client._sender.sender_task.cancel()  # noqa: SLF001
        await client.client.close()
        await asyncio.wait({stopping}, timeout=patience_s)
    stopping.cancel()
