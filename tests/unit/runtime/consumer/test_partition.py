"""Bookkeeping of one partition: decisions of a pure object."""

from collections.abc import Sequence

import pytest

from siad.runtime.bus.port import Message, Record, TopicPartition
from siad.runtime.consumer.partition import PartitionState, WorkItem
from siad.runtime.consumer.routes import SingleRoute
from siad.runtime.testing.world import IN

PLACE = TopicPartition(IN.name, 0)


async def unused(_: Record) -> Sequence[Message]:
    raise NotImplementedError


def start(state: PartitionState) -> WorkItem:
    return state.start(now_s=0.0, is_trial=False)


@pytest.fixture
def partition() -> PartitionState:
    state = PartitionState(PLACE, SingleRoute(unused), capacity=8)
    for offset in range(2):
        state.accept(Record(topic_partition=PLACE, offset=offset, key=b"k", value=b"v"), now_s=0.0)
    state.open(None)
    return state


def test_published_items_leave_and_move_the_watermark(partition: PartitionState) -> None:
    """It holds without asserts, too: ``python -m pytest -p tests.optimized`` looped for ever here."""
    first, second = start(partition), start(partition)
    partition.complete(second, ())
    assert partition.publishable() == []
    partition.complete(first, ())
    partition.mark_published(partition.publishable())
    assert (partition.publishable(), partition.watermark, partition.in_hand) == ([], 2, 0)


def test_publishing_out_of_order_is_refused_before_the_watermark_moves(partition: PartitionState) -> None:
    start(partition)
    second = start(partition)
    with pytest.raises(RuntimeError, match=r"published offset 1 of .* before offset 0"):
        partition.mark_published([second])
    assert partition.watermark == 0
