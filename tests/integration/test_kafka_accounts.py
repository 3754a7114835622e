"""Accounts of the stages on a Kafka that authorizes: each can do its work, and is refused on another's topic."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from siad.contracts.errors import DeniedError, TransientError
from siad.contracts.topic_grants import ACCOUNTS, BOOKS_GROUP, OPERATOR, Grant, grants_of
from siad.contracts.topics import IMAGE, LINE, STAGES, TOPICS, VERDICT, Topic
from siad.runtime.bus.kafka.bus import KafkaBus
from siad.runtime.bus.port import Commit, Message, TopicPartition
from tests.e2e.harness import Plant, StageProcess, wait_for
from tests.fixtures.kafka_accounts import AuthorizingKafka, authorizing_kafka

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

NOT_HERE = {"scorer", "ray"}  # of a plant; no test of accounts needs them


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthorizingKafka]:
    """A broker of its own: these tests own the names of the topics."""
    with authorizing_kafka(tmp_path_factory.mktemp("accounts")) as node:
        yield node


def allowed(account: str, operation: str) -> set[str]:
    """Topics on which an account may do something."""
    return {
        topic.name
        for topic in TOPICS
        for grant in grants_of(account)
        if grant.resource == "topic" and operation in grant.operations
        if topic.name == grant.name or (grant.is_prefix and topic.name.startswith(grant.name))
    }


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_an_account_writes_its_own_topics_and_no_other(kafka: AuthorizingKafka, account: str) -> None:
    bus = kafka.bus(account)
    async with bus.producer() as producer:
        for topic in TOPICS:
            message = Message(topic=topic.name, key="accounts", value=b"x")
            if topic.name in allowed(account, "Write"):
                await producer.publish([message])
            else:
                with pytest.raises(
                    DeniedError, match=f"TopicAuthorizationFailed.*{topic.name}.*rights of the account {account}"
                ):
                    await producer.publish([message])


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_an_account_reads_the_topics_of_its_stage_and_no_other(kafka: AuthorizingKafka, account: str) -> None:
    bus = kafka.bus(account)
    await bus.probe()
    for topic in TOPICS:
        if topic.name in allowed(account, "Read"):
            async with bus.tail(topic.name, last=1) as reader:
                [_ async for _ in reader.backlog()]
        elif topic.name not in allowed(account, "Describe"):
            with pytest.raises(TransientError, match=f"topic {topic.name} does not exist"):  # it is hidden
                async with bus.tail(topic.name, last=1):
                    pass


@pytest.mark.parametrize("stage", STAGES)
async def test_a_group_is_joined_by_its_own_stage_alone(kafka: AuthorizingKafka, stage: str) -> None:
    own = BOOKS_GROUP if stage == "ingest" else f"siad.{stage}"
    other = "siad.inference" if stage != "inference" else "siad.labeler"
    topic = min(allowed(stage, "Read"))
    bus = kafka.bus(stage)
    await _join(bus, topic, own)
    with pytest.raises(DeniedError, match="GroupAuthorizationFailed"):
        await _join(bus, topic, other)


async def test_inference_publishes_and_commits_in_one_transaction(kafka: AuthorizingKafka) -> None:
    source = TopicPartition(IMAGE.name, 0)
    async with kafka.bus("inference").transactions("siad.inference") as transactions:
        await transactions.open(source)
        await transactions.publish(source, [Message(topic=VERDICT.name, key="k", value=b"x")], Commit(0))
    async with kafka.bus("labeler").transactions("siad.inference") as transactions:
        with pytest.raises(DeniedError, match="TransactionalIdAuthorizationFailed"):
            await transactions.open(source)


async def test_a_missing_topic_is_not_created_by_an_account_that_may_not(kafka: AuthorizingKafka) -> None:
    with pytest.raises(DeniedError, match=r"create topic siad.new.v1, which is missing or hidden from the account"):
        await kafka.bus("ingest").create_topics([LINE, Topic("siad.new.v1", "work", "ingest", ())])


@pytest.mark.parametrize("stage", STAGES)
async def test_a_stage_starts_with_its_own_account(
    kafka: AuthorizingKafka, store_env: Mapping[str, str], tmp_path: Path, stage: str
) -> None:
    process = stage_of(stage, {**kafka.environment(stage), **store_env}, tmp_path)
    process.start()
    try:
        await wait_for(lambda: _misses_nothing(process), 60, "broker and topics", on_fail=process.tail)
        assert process.logged("stage_ended") == []
    finally:
        await process.stop()


async def test_readiness_and_log_say_what_another_account_may_not(
    kafka: AuthorizingKafka, store_env: Mapping[str, str], tmp_path: Path
) -> None:
    process = stage_of("inference", {**kafka.environment("console"), **store_env}, tmp_path)
    process.start()
    try:

        async def is_told() -> bool:
            missing = await _missing(process)
            return missing is not None and "TopicAuthorizationFailed" in missing.get("topics", "")

        await wait_for(is_told, 60, "the reason", on_fail=process.tail)
        told = (await _missing(process) or {})["topics"]
        assert "hidden from the account of this client" in told
        assert "rights of the account console on the broker: docs/reference.md#accounts" in told
        assert told.split(";")[0] in process.log.read_text()
    finally:
        await process.stop()


async def test_a_right_that_is_granted_later_needs_no_restart(kafka: AuthorizingKafka) -> None:
    message = Message(topic=LINE.name, key="later", value=b"x")
    async with kafka.bus(OPERATOR).producer() as producer:
        with pytest.raises(DeniedError):
            await producer.publish([message])
        await kafka.allow(OPERATOR, Grant("topic", LINE.name, ("Write",)))
        await producer.publish([message])


def stage_of(stage: str, env: Mapping[str, str], folder: Path) -> StageProcess:
    """The process of a stage; scorer and Ray, which are not here, are named all the same."""
    own = {"scorer_url": "http://127.0.0.1:9"} if stage == "labeler" else {}
    return Plant(folder, {**env, "RAY_ADDRESS": "127.0.0.1:9"}).add(stage, **own)


async def _missing(process: StageProcess) -> Mapping[str, str] | None:
    """What readiness misses; None before the first answer."""
    try:
        answer = await process.get("/readyz")
    except httpx.TransportError:
        return None
    found: Mapping[str, str] = answer.json().get("missing", {})
    return found


async def _misses_nothing(process: StageProcess) -> bool:
    process.require_alive()
    missing = await _missing(process)
    return missing is not None and set(missing) <= NOT_HERE


async def _join(bus: KafkaBus, topic: str, group: str) -> None:
    """Become a member that reads."""
    async with bus.consumer([topic], group=group, start="earliest") as consumer, asyncio.timeout(30):
        while not consumer.assigned():
            await consumer.poll(max_records=1, timeout_s=0.2)
