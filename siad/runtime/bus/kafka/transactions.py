"""Kafka transactions: results and offset of one partition, both or neither.

Each partition that is read has a transactional id of its own, ``<group>.<topic>.<partition>``. Opening it makes the
broker end the transaction of an earlier owner and refuse whatever that owner sends from then on. aiokafka commits
offsets in a transaction without the generation of the group, so an id for each member would not fence one that lost
the partition without knowing it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import OffsetAndMetadata

from siad.contracts.errors import TransientError
from siad.runtime.bus.kafka.closing import ClosingClients
from siad.runtime.bus.kafka.errors import answered, explain
from siad.runtime.bus.kafka.producer import REQUEST_BYTES_MAX
from siad.runtime.bus.kafka.security import connected, security_of
from siad.runtime.bus.outgoing import prepare
from siad.runtime.bus.port import Commit, Message, TopicPartition
from siad.runtime.bus.settings import BusSettings

OpenAdmin = Callable[[], AbstractAsyncContextManager[AIOKafkaAdminClient]]

TIMEOUT_S: Final = 30.0  # the broker ends a transaction whose process is gone, so that readers go on
SETTLE_S: Final = 0.2  # a transaction ended by the broker reaches the group's offsets a little later


class KafkaTransactions:
    """Transactions of one group.

    Args:
        settings: of the bus.
        group: whose offsets are committed.
        admin: connects to the broker.
    """

    def __init__(self, settings: BusSettings, group: str, *, admin: OpenAdmin) -> None:
        self._closing = ClosingClients(settings.publish_timeout_s)
        self._clients: dict[TopicPartition, AIOKafkaProducer] = {}
        self._settings = settings
        self._group = group
        self._admin = admin

    async def open(self, source: TopicPartition) -> Commit | None:
        """Fence earlier owners of a partition; read the commit after that."""
        self._discard(source)
        client = AIOKafkaProducer(
            bootstrap_servers=self._settings.bootstrap,
            client_id=self._settings.client_id,
            transactional_id=f"{self._group}.{source.topic}.{source.partition}",
            transaction_timeout_ms=int(TIMEOUT_S * 1000),
            acks="all",
            compression_type="lz4",
            max_request_size=REQUEST_BYTES_MAX,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
            metadata_max_age_ms=30_000,
            **security_of(self._settings),
        )
        self._clients[source] = client
        try:
            await connected(client.start(), f"fence earlier owners of {source}", self._settings)
        except BaseException:
            self._discard(source)
            raise
        found = await self._committed(source)
        while found is not None:
            await asyncio.sleep(SETTLE_S)
            before, found = found, await self._committed(source)
            if found == before:
                break
        return found

    async def publish(self, source: TopicPartition, messages: Sequence[Message], commit: Commit) -> None:
        """Publish and commit, both or neither; wait until the transaction has ended."""
        prepared = prepare(messages)
        if (client := self._clients.get(source)) is None:
            msg = f"the last transaction of {source} failed; open it again"
            raise TransientError(msg)
        is_done = False
        try:
            await asyncio.wait_for(self._run(client, source, prepared, commit), self._settings.publish_timeout_s)
            is_done = True
        except TimeoutError as error:
            timeout_s = self._settings.publish_timeout_s
            msg = f"broker at {self._settings.bootstrap} did not end a transaction in {timeout_s:g} s"
            raise TransientError(msg) from error
        except MessageSizeTooLargeError as error:
            msg = f"broker refuses a message of {max(len(m.value or b'') for m in prepared)} bytes: {error}"
            raise ValueError(msg) from error
        except KafkaError as error:
            raise explain(error, "end a transaction", self._settings) from error
        finally:
            if not is_done:
                self._discard(source)

    async def close(self) -> None:
        """Close every client; the next owner ends what is in flight."""
        for source in list(self._clients):
            self._discard(source)
        await self._closing.wait()

    async def _run(
        self, client: AIOKafkaProducer, source: TopicPartition, messages: Sequence[Message], commit: Commit
    ) -> None:
        await client.begin_transaction()
        sent = [
            await client.send(m.topic, value=m.value, key=m.key.encode(), headers=list(m.headers)) for m in messages
        ]
        await asyncio.gather(*sent)
        await client.send_offsets_to_transaction({KafkaPartition(*source): OffsetAndMetadata(*commit)}, self._group)
        await client.commit_transaction()

    async def _committed(self, source: TopicPartition) -> Commit | None:
        """The group's commit of one partition, without a membership."""
        place = KafkaPartition(*source)
        async with self._admin() as admin:
            asked = admin.list_consumer_group_offsets(self._group, partitions=[place])
            found = (await answered(asked, f"read the offset of {source}", self._settings)).get(place)
        return None if found is None or found.offset < 0 else Commit(found.offset, found.metadata or "")

    def _discard(self, source: TopicPartition) -> None:
        """Close a client in the background; it is never used again."""
        if (client := self._clients.pop(source, None)) is not None:
            self._closing.add(client)
