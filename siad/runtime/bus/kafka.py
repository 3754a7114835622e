"""The bus on Apache Kafka, by aiokafka.

Dynamic membership only: a static member that is scaled away strands its places. Offsets are committed by the caller
alone. ``poll`` does not raise while the broker is away, it has nothing; what must be answered raises TransientError.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Literal, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import OffsetAndMetadata

from siad.core.errors import TransientError
from siad.core.topics import Topic
from siad.runtime.bus.port import (
    DEAD_LETTER_BYTES_MAX,
    Commit,
    Message,
    OnAssign,
    OnRevoke,
    Place,
    Record,
    refuse_oversize,
)
from siad.runtime.bus.settings import BusSettings

T = TypeVar("T")

log = structlog.get_logger()

_TOPIC_EXISTS = 36  # Kafka's error code
_REQUEST_BYTES_MAX = 1_048_576


class KafkaBus:
    """One Kafka cluster."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """Make the topics that are missing; leave those that stand."""
        async with self._admin() as admin:
            answer = await self._within(
                admin.create_topics([self._describe(topic) for topic in topics]), "create topics"
            )
            for name, code, *words in answer.topic_errors:
                if code not in (0, _TOPIC_EXISTS):
                    msg = f"broker at {self._settings.bootstrap} refused to make topic {name}: error {code} {words}"
                    raise TransientError(msg)
            names = {topic.name for topic in topics}
            while not names <= set(await self._within(admin.list_topics(), "list topics")):
                await asyncio.sleep(0.1)

    async def probe(self) -> None:
        """Return if the broker answers."""
        async with self._admin() as admin:
            await self._within(admin.list_topics(), "list topics")

    @asynccontextmanager
    async def producer(self) -> AsyncIterator["KafkaProducer"]:
        """Open a producer; leaving flushes what is under way."""
        producer = KafkaProducer(self._settings)
        try:
            yield producer
        finally:
            await producer.close()

    @asynccontextmanager
    async def consumer(
        self,
        topics: Sequence[str],
        *,
        group: str,
        start: Literal["earliest", "latest"],
        on_assign: OnAssign | None = None,
        on_revoke: OnRevoke | None = None,
    ) -> AsyncIterator["KafkaConsumer"]:
        """Join ``group``; leaving gives the places back at once."""
        session_ms = int(self._settings.session_timeout_s * 1000)
        client = AIOKafkaConsumer(
            bootstrap_servers=self._settings.bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset=start,  # said by the caller, never a default
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 4,
            max_poll_interval_ms=300_000,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
            fetch_max_wait_ms=200,
            metadata_max_age_ms=30_000,
            retry_backoff_ms=200,
        )
        listener = _Listener(on_assign, on_revoke)
        client.subscribe(list(topics), listener=listener)
        async with _started(client, self._settings):
            yield KafkaConsumer(client, self._settings)

    @asynccontextmanager
    async def state(self, topic: str) -> AsyncIterator["KafkaStateReader"]:
        """Open a reader of one state topic."""
        client = AIOKafkaConsumer(
            bootstrap_servers=self._settings.bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
            fetch_max_wait_ms=200,
            metadata_max_age_ms=30_000,
            retry_backoff_ms=200,
        )
        async with _started(client, self._settings):
            client.assign([TopicPartition(topic, 0)])
            yield KafkaStateReader(client, topic, self._settings)

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[Any]:
        timeout_ms = int(self._settings.request_timeout_s * 1000)
        admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.bootstrap, request_timeout_ms=timeout_ms)
        try:
            await self._within(admin.start(), "connect")
            yield admin
        finally:
            await admin.close()

    async def _within(self, work: Awaitable[T], what: str) -> T:
        return await _answered(work, what, self._settings)

    def _describe(self, topic: Topic) -> NewTopic:
        settings = self._settings
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


class KafkaProducer:
    """Sends; idempotent, acknowledged by all in-sync replicas. Connects with its first message."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._client: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._under_way: dict[tuple[Message, ...], asyncio.Future[Any]] = {}

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send in order; return only when every message is acknowledged.

        While the broker is away the client holds on to what it was given and sends it later. So a repeat of the
        same messages waits for those, instead of sending them twice.
        """
        for message in messages:
            refuse_oversize(message)
        batch = tuple(messages)
        sending = self._under_way.get(batch)
        if sending is None:
            client = await self._open()
            sending = asyncio.ensure_future(self._send(client, batch))
            self._under_way[batch] = sending
            sending.add_done_callback(lambda _: self._under_way.pop(batch, None))
        try:
            await asyncio.wait_for(asyncio.shield(sending), self._settings.publish_timeout_s)
        except TimeoutError as error:
            sending.add_done_callback(_forget_result)
            msg = f"{len(batch)} messages not acknowledged by {self._settings.bootstrap} in time; publish them again"
            raise TransientError(msg) from error
        except MessageSizeTooLargeError as error:
            msg = f"broker refuses a message of {max(len(m.value or b'') for m in batch)} bytes: {error}"
            raise ValueError(msg) from error
        except KafkaError as error:
            await self._give_up()  # an idempotent client that failed once may refuse everything after
            msg = f"{len(batch)} messages not acknowledged by {self._settings.bootstrap}: {error!r}"
            raise TransientError(msg) from error

    async def close(self) -> None:
        """Flush within the time of one publish, and leave."""
        await self._give_up()

    async def _send(self, client: AIOKafkaProducer, batch: Sequence[Message]) -> None:
        acknowledged = [
            await client.send(m.topic, value=m.value, key=m.key.encode(), headers=list(m.headers)) for m in batch
        ]
        await asyncio.gather(*acknowledged)

    async def _open(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._client is None:
                client = AIOKafkaProducer(
                    bootstrap_servers=self._settings.bootstrap,
                    acks="all",
                    enable_idempotence=True,
                    compression_type="lz4",
                    linger_ms=2,
                    max_request_size=max(_REQUEST_BYTES_MAX, 2 * DEAD_LETTER_BYTES_MAX),
                    request_timeout_ms=int(self._settings.request_timeout_s * 1000),
                    metadata_max_age_ms=30_000,
                )
                try:
                    await _answered(client.start(), "connect a producer", self._settings)
                except TransientError:
                    await client.stop()
                    raise
                self._client = client
            return self._client

    async def _give_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(TimeoutError, KafkaError):
                await asyncio.wait_for(client.stop(), self._settings.publish_timeout_s)


class KafkaConsumer:
    """One member of one group."""

    def __init__(self, client: AIOKafkaConsumer, settings: BusSettings) -> None:
        self._client, self._settings = client, settings

    async def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """Fetch up to ``max_records``; [] after ``timeout_s``, or while the broker is away."""
        return await _fetch(self._client, max_records, timeout_s)

    def assigned(self) -> frozenset[Place]:
        """The places that are this member's now."""
        return frozenset(Place(tp.topic, tp.partition) for tp in self._client.assignment())

    def pause(self, places: frozenset[Place]) -> None:
        """Fetch nothing from these places until they are resumed."""
        self._client.pause(*(TopicPartition(*place) for place in places & self.assigned()))

    def resume(self, places: frozenset[Place]) -> None:
        """Fetch from these places again."""
        self._client.resume(*(TopicPartition(*place) for place in places & self.assigned()))

    async def commit(self, commits: Mapping[Place, Commit]) -> None:
        """Move the group's offsets; places that are another member's now are refused."""
        if not commits:
            return
        if lost := commits.keys() - self.assigned():
            msg = f"commit refused: {', '.join(map(str, sorted(lost)))} moved to another member"
            raise TransientError(msg)
        offsets = {TopicPartition(*place): OffsetAndMetadata(*commit) for place, commit in commits.items()}
        await _answered(self._client.commit(offsets), "commit", self._settings)

    async def committed(self, place: Place) -> Commit | None:
        """The group's last commit at ``place``."""
        return (await self._committed([place])).get(place)

    async def lag(self) -> Mapping[Place, int]:
        """Records behind the end that are not yet committed."""
        places = sorted(self.assigned())
        tps = [TopicPartition(*place) for place in places]
        ends = await _answered(self._client.end_offsets(tps), "read the ends", self._settings)
        commits = await self._committed(places)
        starts: Mapping[TopicPartition, int] = {}
        if fresh := [tp for tp, place in zip(tps, places, strict=True) if place not in commits]:
            starts = await _answered(self._client.beginning_offsets(fresh), "read the beginnings", self._settings)
        return {
            place: max(ends[tp] - (commits[place].offset if place in commits else starts[tp]), 0)
            for tp, place in zip(tps, places, strict=True)
        }

    async def _committed(self, places: Sequence[Place]) -> dict[Place, Commit]:
        """The client's own ``committed`` gives no metadata, so this asks its coordinator as it does."""
        if not places:
            return {}
        asked = self._client._coordinator.fetch_committed_offsets(  # noqa: SLF001
            [TopicPartition(*place) for place in places]
        )
        found = await _answered(asked, "read the committed offsets", self._settings)
        return {Place(tp.topic, tp.partition): Commit(at.offset, at.metadata or "") for tp, at in found.items()}


class KafkaStateReader:
    """Reads one state topic whole, without a group."""

    def __init__(self, client: AIOKafkaConsumer, topic: str, settings: BusSettings) -> None:
        self._client, self._topic, self._settings = client, topic, settings

    async def snapshot(self) -> dict[str, Record]:
        """The last record of each key that is not gone, up to the end as it is now."""
        tp = TopicPartition(self._topic, 0)
        ends = await _answered(self._client.end_offsets([tp]), f"read the end of {self._topic}", self._settings)
        table: dict[str, Record] = {}
        while await _answered(self._client.position(tp), f"read {self._topic}", self._settings) < ends[tp]:
            for record in await _fetch(self._client, 500, 0.2):
                if record.value is None:
                    table.pop(record.key.decode(), None)
                else:
                    table[record.key.decode()] = record
        return table

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """What came since, in order; [] after ``timeout_s``."""
        return await _fetch(self._client, 500, timeout_s)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Passes on what moves."""

    def __init__(self, on_assign: OnAssign | None, on_revoke: OnRevoke | None) -> None:
        self._on_assign, self._on_revoke = on_assign, on_revoke

    async def on_partitions_assigned(self, assigned: frozenset[TopicPartition]) -> None:
        if self._on_assign is not None:
            await self._on_assign(frozenset(Place(tp.topic, tp.partition) for tp in assigned))

    async def on_partitions_revoked(self, revoked: frozenset[TopicPartition]) -> None:
        if self._on_revoke is not None and revoked:
            await self._on_revoke(frozenset(Place(tp.topic, tp.partition) for tp in revoked))


@asynccontextmanager
async def _started(client: AIOKafkaConsumer, settings: BusSettings) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.stop)
        await _answered(client.start(), "connect a consumer", settings)
        yield


async def _fetch(client: AIOKafkaConsumer, max_records: int, timeout_s: float) -> list[Record]:
    try:
        batches = await client.getmany(timeout_ms=int(timeout_s * 1000), max_records=max_records)
    except KafkaError as error:
        msg = f"nothing could be fetched: {error!r}"
        raise TransientError(msg) from error
    return [
        Record(
            place=Place(tp.topic, tp.partition),
            offset=record.offset,
            key=record.key or b"",
            value=record.value,
            headers=tuple(record.headers),
            timestamp_ms=record.timestamp,
        )
        for tp, batch in batches.items()
        for record in batch
    ]


async def _answered(work: Awaitable[T], what: str, settings: BusSettings) -> T:
    try:
        return await asyncio.wait_for(work, settings.request_timeout_s)
    except TimeoutError as error:
        msg = f"broker at {settings.bootstrap} did not answer within {settings.request_timeout_s:g} s: {what}"
        raise TransientError(msg) from error
    except KafkaError as error:
        msg = f"broker at {settings.bootstrap} could not {what}: {error!r}"
        raise TransientError(msg) from error


def _forget_result(done: asyncio.Future[Any]) -> None:
    """Whoever waited has gone; without this an error that comes later is logged as never retrieved."""
    if not done.cancelled():
        done.exception()
