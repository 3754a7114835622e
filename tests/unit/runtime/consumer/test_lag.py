"""Lag of a consumer's partitions, in records and in seconds."""

from collections.abc import Mapping

from prometheus_client import REGISTRY

from siad.runtime import metrics
from siad.runtime.bus.memory import MemoryConsumer
from siad.runtime.bus.port import Record, TopicPartition
from siad.runtime.consumer.committer import Committer
from siad.runtime.consumer.limits import Limits
from siad.runtime.consumer.partition import PartitionState
from siad.runtime.consumer.pauses import Pauses
from siad.runtime.consumer.routes import SingleRoute
from siad.runtime.context import StageContext
from siad.runtime.health import Health
from siad.runtime.testing.clock import FakeClock
from siad.runtime.testing.world import IN, STAGE
from tests.unit.runtime.consumer.test_partition import PLACE, start, unused


class BehindConsumer(MemoryConsumer):
    """A consumer with three records that are not committed."""

    def __init__(self) -> None:
        """Create it without a bus."""

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Three records of one partition."""
        return {PLACE: 3}


async def unasked() -> None:
    raise AssertionError("the broker answers, so it is not probed")


def age_s() -> float | None:
    labels = {"stage": STAGE, "topic": IN.name, "partition": "0"}
    return REGISTRY.get_sample_value("siad_lag_seconds", labels)


async def test_the_age_is_that_of_the_oldest_record_not_yet_published() -> None:
    clock = FakeClock()
    context = StageContext(stage=STAGE, health=Health(STAGE, clock=clock), clock=clock)
    committer = Committer(BehindConsumer(), context, Limits(), Pauses(context, Limits()))
    state = PartitionState(PLACE, SingleRoute(unused), capacity=8)

    async def measured() -> float | None:
        await committer.measure_lag({PLACE: state}, unasked)
        return age_s()

    assert await measured() == 0.0  # nothing is held
    sent_ms = int(clock.now().timestamp() * 1000)
    for offset, later_s in enumerate((0, 30)):
        stamp_ms = sent_ms + 1000 * later_s
        state.accept(Record(topic_partition=PLACE, offset=offset, key=b"k", value=b"v", timestamp_ms=stamp_ms), now_s=0)
    state.open(None)
    clock.advance(100)
    assert await measured() == 100.0  # fetched
    item = start(state)
    assert await measured() == 100.0  # in a handler
    state.complete(item, ())
    state.mark_published(state.publishable())
    assert await measured() == 70.0  # the next one
    clock.advance(-200)
    assert await measured() == 0.0  # the sender's clock is ahead
    metrics.forget_lag(STAGE, PLACE)
    assert age_s() is None
