"""Topics flow right, each has one writing stage, and their names say which version they are."""

import ast
import re

import pytest

from siad.contracts import topics
from siad.contracts.topics import STAGES, TOPICS, Topic, dead_letter
from tests.architecture.imports import ROOT, nodes

STAND = {stage: place for place, stage in enumerate(STAGES)}


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_readers_stand_right_of_the_writer_or_are_the_writer(topic: Topic) -> None:
    for reader in topic.readers:
        assert STAND[reader] >= STAND[topic.writer] or topic.feedback, f"{reader} reads {topic.name} against the flow"


def test_only_a_persons_word_the_shadow_report_and_a_doubt_lead_back() -> None:
    allowed = {"siad.command.v1", "siad.shadow.v1", "siad.threshold.v1", "siad.segmenter.v1", "siad.verdict.v1"}
    assert {topic.name for topic in TOPICS if topic.feedback} <= allowed


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_topic_is_named_for_what_it_holds_and_its_version(topic: Topic) -> None:
    assert re.fullmatch(r"siad\.[a-z-]+(\.dead-letter|\.retry)?\.v\d+", topic.name)
    assert {topic.writer, *topic.readers, *topic.viewers} <= set(STAGES)


def test_every_topic_is_declared_once_so_it_has_one_writer() -> None:
    names = [topic.name for topic in TOPICS]
    assert len(names) == len(set(names))


def test_every_stage_that_reads_work_has_somewhere_to_bury() -> None:
    readers = {reader for topic in TOPICS if topic.kind == "work" for reader in topic.readers}
    assert {dead_letter(reader) for reader in readers} <= set(TOPICS)


def test_no_stage_acts_on_a_dead_letter() -> None:
    assert all(not topic.readers for topic in TOPICS if topic.kind == "dead-letter")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_only_topics_that_it_reads_or_writes(stage: str) -> None:
    imported = {
        alias.name
        for path in (ROOT / "services" / stage).rglob("*.py")
        for node in nodes(path.read_text(encoding="utf-8"))
        if isinstance(node, ast.ImportFrom) and node.module == "siad.contracts.topics"
        for alias in node.names
    }
    known = [topic for name in imported if isinstance(topic := getattr(topics, name), Topic)]
    foreign = [one.name for one in known if stage not in (one.writer, *one.readers, *one.viewers)]
    assert foreign == [], "add the stage to the topic's readers or viewers: its account on the broker follows from them"
