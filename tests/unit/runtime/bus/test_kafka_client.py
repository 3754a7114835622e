"""What the adapter of Kafka makes of aiokafka's ways; no broker needed."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors

from siad.contracts.errors import BusFailedError, DeniedError, TransientError
from siad.contracts.topics import LINE, VERDICT, dead_letter
from siad.runtime.bus.kafka.bus import KafkaBus, describe
from siad.runtime.bus.kafka.consumer import KafkaConsumer, RebalanceListener
from siad.runtime.bus.kafka.errors import answered, passes
from siad.runtime.bus.port import Commit, Message, TopicPartition
from siad.runtime.bus.settings import BusSettings
from siad.runtime.testing.clock import FakeClock

MESSAGE = Message(topic="t", key="k", value=b"x")


@pytest.fixture
def settings() -> Iterator[BusSettings]:
    """Of a broker that is away: its port is held, and no server listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield BusSettings(
            bootstrap=f"127.0.0.1:{held.getsockname()[1]}",
            publish_timeout_s=1,
            request_timeout_s=1,
            min_insync_replicas=2,
            replication=3,
        )


@pytest.mark.parametrize(
    "error",
    [
        errors.NodeNotReadyError(),
        errors.KafkaConnectionError(),
        errors.NotEnoughReplicasError(),
        errors.CommitFailedError("moved"),
        errors.OutOfOrderSequenceNumber(),
        errors.UnknownTopicOrPartitionError(),
        errors.KafkaError("Unexpected error during batch delivery"),
    ],
)
def test_what_passes_by_itself_is_tried_again(error: errors.KafkaError) -> None:
    assert passes(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.TopicAuthorizationFailedError("siad.image.v1"),
        errors.SaslAuthenticationFailed(),
        errors.PolicyViolationError(),
        errors.IncompatibleBrokerVersion(),
        errors.OffsetMetadataTooLargeError(),
    ],
)
async def test_what_no_repeat_can_mend_ends_the_process(error: errors.KafkaError, settings: BusSettings) -> None:
    async def refuse() -> None:
        raise error

    with pytest.raises(DeniedError, match=r"could not commit: .*check the access rights of this client"):
        await answered(refuse(), "commit", settings)


async def test_everybody_who_waits_for_a_connection_is_told_within_one_timeout(settings: BusSettings) -> None:
    began_s = time.monotonic()
    async with KafkaBus(settings).producer() as producer:
        many = [producer.publish([MESSAGE, Message(topic="t", key=str(n), value=b"x")]) for n in range(30)]
        told = await asyncio.gather(*many, return_exceptions=True)
    assert {type(one) for one in told} == {TransientError}
    assert time.monotonic() - began_s < 5.0


async def test_nothing_to_publish_sends_no_request(settings: BusSettings) -> None:
    async with KafkaBus(settings).producer() as producer:
        await producer.publish([])


def test_topics_are_described_by_their_kind(settings: BusSettings) -> None:
    state, work, dead = (describe(topic, settings) for topic in (LINE, VERDICT, dead_letter("inference")))
    assert (state.num_partitions, work.num_partitions) == (1, 6)
    assert state.topic_configs["cleanup.policy"] == "compact"
    assert "retention.ms" not in state.topic_configs
    assert work.topic_configs["retention.ms"] == "604800000"
    assert int(dead.topic_configs["retention.ms"]) > int(work.topic_configs["retention.ms"])
    assert {topic.topic_configs["min.insync.replicas"] for topic in (state, work, dead)} == {"2"}
    assert {topic.replication_factor for topic in (state, work, dead)} == {3}


class Client:
    """As much of aiokafka's consumer as ``poll`` touches."""

    def __init__(self, *, is_member: bool = True, broker: Exception | None = None) -> None:
        self._coordinator: Any = SimpleNamespace(need_rejoin=lambda _: not is_member, check_errors=lambda: None)
        self._subscription: Any = SimpleNamespace(
            subscription=None, reassignment_in_progress=not is_member, fetch_context=nullcontext
        )
        self._fetcher: Any = SimpleNamespace(error_future=asyncio.get_running_loop().create_future())
        self._broker = broker

    async def getmany(self, **_: Any) -> dict[Any, Any]:
        return {}

    async def topics(self) -> set[str]:
        if self._broker is not None:
            raise self._broker
        return set()


def member(
    client: Client, settings: BusSettings, clock: FakeClock, listener: RebalanceListener | None = None
) -> KafkaConsumer:
    return KafkaConsumer(client, settings, listener or RebalanceListener(None, None), monotonic=clock.monotonic)


async def test_a_member_that_stays_outside_its_group_ends_the_process(settings: BusSettings) -> None:
    clock = FakeClock()
    consumer = member(Client(is_member=False), settings, clock)
    for _ in range(10):
        assert await consumer.poll(max_records=1, timeout_s=0) == []
        clock.advance(settings.rejoin_timeout_s / 10 + 0.01)
    with pytest.raises(BusFailedError, match=r"answers, but this member has been outside its group for 1\d\d s"):
        await consumer.poll(max_records=1, timeout_s=0)


async def test_a_member_waits_outside_as_long_as_the_broker_is_away(settings: BusSettings) -> None:
    clock = FakeClock()
    consumer = member(Client(is_member=False, broker=errors.KafkaConnectionError()), settings, clock)
    for _ in range(50):
        assert await consumer.poll(max_records=1, timeout_s=0) == []
        clock.advance(settings.rejoin_timeout_s)


async def test_a_member_that_is_inside_may_have_nothing_to_read_for_days(settings: BusSettings) -> None:
    clock = FakeClock()
    consumer = member(Client(), settings, clock)
    clock.advance(200_000)
    assert await consumer.poll(max_records=1, timeout_s=0) == []


async def test_a_client_whose_tasks_ended_ends_the_process(settings: BusSettings) -> None:
    client = Client()
    consumer = member(client, settings, FakeClock())
    client._fetcher.error_future.set_exception(errors.KafkaError("Unexpected error during data retrieval"))
    with pytest.raises(BusFailedError, match="a background task of aiokafka ended"):
        await consumer.poll(max_records=1, timeout_s=0)
    client._fetcher.error_future.exception()


async def test_a_getmany_that_does_not_come_back_is_left(settings: BusSettings) -> None:
    class Hanging(Client):
        async def getmany(self, **_: Any) -> dict[Any, Any]:
            await asyncio.Event().wait()
            raise AssertionError

    consumer = member(Hanging(), settings, FakeClock())
    assert await consumer.poll(max_records=1, timeout_s=-0.99) == []


async def test_what_a_hook_raised_comes_out_of_the_next_poll(settings: BusSettings) -> None:
    async def on_revoke(topic_partitions: frozenset[TopicPartition]) -> None:
        raise ZeroDivisionError

    listener = RebalanceListener(None, on_revoke)
    consumer = member(Client(), settings, FakeClock(), listener)
    with pytest.raises(ZeroDivisionError):
        await listener.on_partitions_revoked(frozenset({TopicPartition("t", 0)}))  # aiokafka logs this, and goes on
    with pytest.raises(ZeroDivisionError):
        await consumer.poll(max_records=1, timeout_s=0)


async def test_between_two_assignments_nothing_is_committed_but_by_the_hook(settings: BusSettings) -> None:
    """aiokafka shows the old assignment until it has the new one; a broker takes a commit of the new generation."""
    topic_partition = TopicPartition("t", 0)
    mine = frozenset({KafkaPartition(*topic_partition)})

    class Assigned(Client):
        committed = 0

        def assignment(self) -> frozenset[KafkaPartition]:
            return mine

        async def commit(self, offsets: Any) -> None:
            self.committed += 1

    async def on_revoke(topic_partitions: frozenset[TopicPartition]) -> None:
        await consumer.commit(dict.fromkeys(topic_partitions, Commit(1)))

    client, listener = Assigned(), RebalanceListener(None, on_revoke)
    consumer = member(client, settings, FakeClock(), listener)
    await listener.on_partitions_revoked(mine)
    assert client.committed == 1
    with pytest.raises(TransientError, match="moved to another member"):
        await consumer.commit({topic_partition: Commit(2)})
    await listener.on_partitions_assigned(mine)
    await consumer.commit({topic_partition: Commit(2)})
    assert client.committed == 2


async def test_a_cluster_without_a_controller_is_tried_again(
    settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def describe_cluster() -> dict[str, int]:
        return {"controller_id": -1}

    @asynccontextmanager
    async def admin(_: KafkaBus) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(describe_cluster=describe_cluster)

    monkeypatch.setattr(KafkaBus, "_admin", admin)
    with pytest.raises(TransientError, match="has no controller yet"):
        await KafkaBus(settings).create_topics([LINE])
