"""The message bus on Apache Kafka, by aiokafka.

Membership is dynamic only: partitions of a static member that is scaled away would stay unread. Only the caller commits
offsets. While the broker is unavailable ``poll`` returns nothing; calls that need an answer raise TransientError.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from siad.contracts.errors import BusFailedError, TransientError
from siad.contracts.topics import Topic
from siad.runtime.bus.kafka.consumer import KafkaConsumer, KafkaLogReader, KafkaStateReader, RebalanceListener
from siad.runtime.bus.kafka.errors import answered, explain
from siad.runtime.bus.kafka.producer import KafkaProducer
from siad.runtime.bus.kafka.security import connected, security_of
from siad.runtime.bus.kafka.transactions import KafkaTransactions
from siad.runtime.bus.port import NOT_READ, OnAssign, OnRevoke
from siad.runtime.bus.settings import BusSettings


class KafkaBus:
    """One Kafka cluster."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """Create the topics that are missing, and wait for their leaders.

        Existing topics are left unchanged, so that an account without the right Create suffices for them.

        Raises:
            BusFailedError: a state topic exists with several partitions.
            TransientError: the broker did not answer, or its cluster has no controller yet.
        """
        settings = self._settings
        async with self._admin() as admin:
            await self._require_controller(admin)
            listed = set(await answered(admin.list_topics(), "list topics", settings))  # without those it may not see
            if missing := [topic for topic in topics if topic.name not in listed]:
                await self._create(admin, missing)
            try:
                async with asyncio.timeout(settings.request_timeout_s):
                    while not await self._are_led(admin, topics):
                        await asyncio.sleep(0.1)
            except TimeoutError as error:
                msg = f"topics created on {settings.bootstrap} have no leader after {settings.request_timeout_s:g} s"
                raise TransientError(msg) from error

    async def probe(self) -> None:
        """Raise TransientError unless the broker answers."""
        async with self._admin() as admin:
            await answered(admin.list_topics(), "list topics", self._settings)

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[KafkaProducer]:
        """Open a producer; closing it flushes messages in flight."""
        producer = KafkaProducer(self._settings)
        try:
            yield producer
        finally:
            await producer.close()

    @asynccontextmanager
    async def transactions(self, group: str) -> AsyncIterator[KafkaTransactions]:
        """Open transactions of a group."""
        transactions = KafkaTransactions(self._settings, group, admin=self._admin)
        try:
            yield transactions
        finally:
            await transactions.close()

    @asynccontextmanager
    async def consumer(
        self,
        topics: Sequence[str],
        *,
        group: str,
        start: Literal["earliest", "latest"],
        on_assign: OnAssign | None = None,
        on_revoke: OnRevoke | None = None,
    ) -> AsyncIterator[KafkaConsumer]:
        """Join ``group``; closing leaves the group at once."""
        settings = self._settings
        client = AIOKafkaConsumer(
            **_reader_settings(settings),
            group_id=group,
            auto_offset_reset=start,  # chosen by the caller, never a default
            session_timeout_ms=_ms(settings.session_timeout_s),
            heartbeat_interval_ms=_ms(settings.session_timeout_s / 4),
            # aiokafka defaults to the session timeout: too short for on_revoke to finish records in flight
            rebalance_timeout_ms=_ms(settings.rebalance_timeout_s),
            # a join is answered when the last member has joined, so the request must wait as long
            request_timeout_ms=_ms(max(settings.request_timeout_s, settings.rebalance_timeout_s + 5)),
            max_poll_interval_ms=300_000,
        )
        listener = RebalanceListener(on_assign, on_revoke)
        client.subscribe(list(topics), listener=listener)
        async with _started(client, settings):
            yield KafkaConsumer(client, settings, listener)

    @asynccontextmanager
    async def state(self, topic: str) -> AsyncIterator[KafkaStateReader]:
        """Open a reader of one state topic."""
        settings = self._settings
        client = AIOKafkaConsumer(
            **_reader_settings(settings),
            group_id=None,
            auto_offset_reset="earliest",
            request_timeout_ms=_ms(settings.request_timeout_s),
        )
        async with _started(client, settings):
            client.assign([TopicPartition(topic, 0)])
            yield KafkaStateReader(client, topic, settings)

    @asynccontextmanager
    async def tail(
        self, topic: str, *, last: int, resume_at: Mapping[int, int] = NOT_READ
    ) -> AsyncIterator[KafkaLogReader]:
        """Open a reader of the end of one work topic."""
        settings = self._settings
        async with self._admin() as admin:
            if topic not in await answered(admin.list_topics(), "list topics", settings):
                msg = f"topic {topic} does not exist on {settings.bootstrap}; create it first"
                raise TransientError(msg)
        client = AIOKafkaConsumer(
            topic,
            **_reader_settings(settings),
            group_id=None,
            auto_offset_reset="earliest",
            request_timeout_ms=_ms(settings.request_timeout_s),
        )
        async with _started(client, settings):
            yield KafkaLogReader(client, settings, last=last, resume_at=resume_at)

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        settings = self._settings
        admin = AIOKafkaAdminClient(
            bootstrap_servers=settings.bootstrap,
            client_id=settings.client_id,
            request_timeout_ms=_ms(settings.request_timeout_s),
            **security_of(settings),
        )
        try:
            await connected(admin.start(), "connect", settings)
            yield admin
        finally:
            await admin.close()

    async def _create(self, admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
        settings = self._settings
        answer = await answered(
            admin.create_topics([describe(topic, settings) for topic in topics]), "create topics", settings
        )
        for name, code, *_ in answer.topic_errors:
            if code and not issubclass(kind := for_code(code), TopicAlreadyExistsError):
                what = f"create topic {name}, which is missing or hidden from the account of this client"
                raise explain(kind(), what, settings)

    async def _require_controller(self, admin: AIOKafkaAdminClient) -> None:
        """Raise TransientError while the cluster elects its controller.

        aiokafka would raise an AttributeError, which would end the process as a bug.
        """
        cluster = await answered(admin.describe_cluster(), "describe the cluster", self._settings)
        if cluster["controller_id"] < 0:
            msg = f"the cluster of {self._settings.bootstrap} has no controller yet; topics can't be created before"
            raise TransientError(msg)

    async def _are_led(self, admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> bool:
        """Whether every partition has a leader."""
        asked = admin.describe_topics([topic.name for topic in topics])
        found = {one["topic"]: one["partitions"] for one in await answered(asked, "describe topics", self._settings)}
        for topic in topics:
            if topic.kind == "state" and len(found.get(topic.name, ())) > 1:
                msg = (
                    f"topic {topic.name} on {self._settings.bootstrap} has {len(found[topic.name])} partitions, but a "
                    "state topic must have one; delete it, and SIAD creates it again"
                )
                raise BusFailedError(msg)
        return all(
            found.get(topic.name) and all(partition["leader"] >= 0 for partition in found[topic.name])
            for topic in topics
        )


def describe(topic: Topic, settings: BusSettings) -> NewTopic:
    """Kafka's configuration of one topic.

    State topics are compacted; work and dead-letter topics have a retention time.
    """
    configs = {"min.insync.replicas": str(settings.min_insync_replicas), "compression.type": "producer"}
    if topic.kind == "state":
        configs["cleanup.policy"] = "compact"
    else:
        dead = topic.kind == "dead-letter"
        hours = settings.dead_letter_retention_h if dead else settings.work_retention_h
        configs["cleanup.policy"] = "delete"
        configs["retention.ms"] = str(int(hours * 3_600_000))
    partitions = 1 if topic.kind == "state" else settings.partitions
    return NewTopic(topic.name, partitions, settings.replication, topic_configs=configs)


def _reader_settings(settings: BusSettings) -> Mapping[str, Any]:
    return {
        "bootstrap_servers": settings.bootstrap,
        "client_id": settings.client_id,
        "enable_auto_commit": False,
        "isolation_level": "read_committed",  # the results of a transaction that never ended are no results
        "fetch_max_wait_ms": 200,
        "metadata_max_age_ms": 30_000,
        "retry_backoff_ms": 200,
        **security_of(settings),
    }


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


@asynccontextmanager
async def _started(client: AIOKafkaConsumer, settings: BusSettings) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.stop)
        await connected(client.start(), "connect a consumer", settings)
        yield
