"""Rights on the broker follow from the table of topics."""

import json

import pytest

from docs.generator.kafka import chart_topics
from siad.contracts.topic_grants import ACCOUNTS, OPERATOR, Grant, grants_of
from siad.contracts.topics import STAGES, TOPICS


def may(account: str, operation: str, topic: str) -> bool:
    return any(
        grant.resource == "topic"
        and operation in grant.operations
        and (grant.name == topic or (grant.is_prefix and topic.startswith(grant.name)))
        for grant in grants_of(account)
    )


def test_one_stage_writes_a_topic() -> None:
    for one in TOPICS:
        writers = {stage for stage in STAGES if may(stage, "Write", one.name)}
        assert writers == (set() if ".retry." in one.name else {one.writer})


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_what_the_table_says(stage: str) -> None:
    read = {topic.name for topic in TOPICS if may(stage, "Read", topic.name)}
    assert read == {topic.name for topic in TOPICS if stage in (*topic.readers, *topic.viewers)}


def test_nothing_may_be_created_changed_or_deleted() -> None:
    operations = {name for account in ACCOUNTS for grant in grants_of(account) for name in grant.operations}
    assert operations == {"Read", "Write", "Describe"}


def test_operators_send_dead_letters_again_and_announce_a_rollback() -> None:
    written = {topic.name for topic in TOPICS if may(OPERATOR, "Write", topic.name)}
    assert written == {
        "siad.labeler.retry.v1",
        "siad.trainer.retry.v1",
        "siad.inference.retry.v1",
        "siad.teacher.v1",
        "siad.segmenter.v1",
    }
    assert all(may(OPERATOR, "Read", topic.name) for topic in TOPICS)


def test_only_a_stage_is_in_its_group() -> None:
    groups = {
        account: [grant.name for grant in grants_of(account) if grant.resource == "group"] for account in ACCOUNTS
    }
    assert groups == {stage: [f"siad.{stage}"] for stage in STAGES} | {"ingest": ["siad.books"], OPERATOR: ["siad."]}


def test_another_account_is_refused() -> None:
    with pytest.raises(ValueError, match="'scorer' is no account; they are ingest"):
        grants_of("scorer")


def test_the_chart_names_patterns_as_strimzi_does() -> None:
    accounts = json.loads(chart_topics())["accounts"]
    rule = {
        "resource": {"type": "transactionalId", "name": "siad.inference.", "patternType": "prefix"},
        "operations": ["Write", "Describe"],
    }
    assert rule in accounts["inference"]
    assert Grant("transactionalId", "siad.inference.", ("Write", "Describe"), is_prefix=True) in grants_of("inference")
