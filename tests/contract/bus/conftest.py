"""Every bus that there is, for one suite."""

import uuid
from pathlib import Path

import pytest

from siad.contracts.topics import Topic
from siad.runtime.bus.embedded.bus import EmbeddedBus
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Bus
from tests.fixtures.kafka import quick_settings


@pytest.fixture(params=["memory", "embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Bus:
    """One bus with nothing on it that a test could trip over: topics and groups have fresh names."""
    if request.param == "memory":
        return MemoryBus(partitions=4)
    if request.param == "embedded":
        return EmbeddedBus(quick_settings(f"embedded://{tmp_path}/bus.sqlite"))
    kafka_bus: Bus = request.getfixturevalue("kafka_bus")
    return kafka_bus


@pytest.fixture
async def topic(bus: Bus) -> str:
    """A work topic of four partitions."""
    name = f"work-{uuid.uuid4().hex}"
    await bus.create_topics([Topic(name, "work", "ingest", ())])
    return name


@pytest.fixture
async def state_topic(bus: Bus) -> str:
    """A state topic."""
    name = f"state-{uuid.uuid4().hex}"
    await bus.create_topics([Topic(name, "state", "ingest", ())])
    return name


@pytest.fixture
def group() -> str:
    """A group without earlier members."""
    return f"group-{uuid.uuid4().hex}"


@pytest.fixture
def _groups_grow(bus: Bus) -> None:
    """For tests of groups with several members."""
    if isinstance(bus, EmbeddedBus):
        pytest.skip("the embedded bus has one member a group, by design (docs/adr/0008)")
