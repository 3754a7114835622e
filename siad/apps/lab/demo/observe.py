"""Observation of the demo: verdicts, pseudo-masks and dead letters."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar

from siad.apps.lab.demo.releases import Release
from siad.apps.lab.demo.report import DemoObservations
from siad.contracts.codec import decode
from siad.contracts.corrections import ThresholdSet
from siad.contracts.errors import TransientError
from siad.contracts.events import (
    Origin,
    PseudoMaskCreated,
    SegmenterReleased,
    SegmenterStatus,
    TeacherReleased,
    VerdictGiven,
    WeightsKind,
)
from siad.contracts.topics import PSEUDO_MASK, SEGMENTER, TEACHER, THRESHOLD, TOPICS, VERDICT
from siad.runtime.bus.port import Bus, Record

OBSERVED: Final = (
    VERDICT.name,
    PSEUDO_MASK.name,
    TEACHER.name,
    SEGMENTER.name,
    THRESHOLD.name,
    *(topic.name for topic in TOPICS if topic.kind == "dead-letter"),
)
ALL: Final = 1_000_000  # records of a partition: more than a demo publishes
POLL_S: Final = 0.5
RETRY_S: Final = 1.0  # while the broker is unavailable

T = TypeVar("T")


async def observe_then_measure(
    bus: Bus,
    observations: DemoObservations,
    *,
    work: Callable[[], Awaitable[None]],
    measure: Callable[[], T],
    executor: Executor | None = None,
) -> T:
    """Run ``work`` while observing the bus, then ``measure`` in a worker thread.

    Measuring imports torch and computes for many seconds. Every reader of the bus is closed by then, and the event
    loop, which supervises the stages, keeps running.

    Args:
        bus: the broker.
        observations: filled while ``work`` runs.
        work: sends the images.
        measure: blocking; runs in ``executor``.
        executor: None: the loop's default threads.
    """
    try:
        async with observing(bus, observations):
            await work()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None  # of the work or of an observer, whichever was first
    return await asyncio.get_running_loop().run_in_executor(executor, measure)


@asynccontextmanager
async def observing(bus: Bus, observations: DemoObservations) -> AsyncIterator[None]:
    """Collect observations inside the block.

    An observer that fails ends the block with its error.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_observe(bus, topic, observations)) for topic in OBSERVED]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _observe(bus: Bus, topic: str, observations: DemoObservations) -> None:
    """Read one topic from its beginning, without a consumer group.

    A group would need heartbeats and rebalances.
    """
    async with bus.tail(topic, last=ALL) as reader:
        async for records in reader.backlog():
            for record in records:
                add_record(record, observations)
        while True:
            try:
                records = await reader.changes(timeout_s=POLL_S)
            except TransientError:
                await asyncio.sleep(RETRY_S)
                continue
            for record in records:
                add_record(record, observations)


def add_record(record: Record, observations: DemoObservations) -> None:
    """Add one record to the observations."""
    topic = record.topic_partition.topic
    if topic == VERDICT.name:
        verdict = decode(VerdictGiven, record.value)
        if verdict.origin is Origin.STREAM:
            observations.verdicts.append(verdict)
    elif topic == PSEUDO_MASK.name:
        observations.pseudo_masks.append(decode(PseudoMaskCreated, record.value))
    elif topic == TEACHER.name:
        teacher = decode(TeacherReleased, record.value)
        observations.releases.append(
            Release(kind=WeightsKind.TEACHER, weights=teacher.weights, released_at=teacher.released_at)
        )
    elif topic == SEGMENTER.name:
        segmenter = decode(SegmenterReleased, record.value)
        if segmenter.status is SegmenterStatus.SERVING:
            observations.releases.append(
                Release(kind=WeightsKind.SEGMENTER, weights=segmenter.weights, released_at=segmenter.released_at)
            )
    elif topic == THRESHOLD.name:
        threshold = decode(ThresholdSet, record.value)
        observations.thresholds[threshold.weights] = threshold.image_threshold
    else:
        observations.dead_letters += 1


async def wait_complete(observations: DemoObservations, *, timeout_s: float) -> bool:
    """Wait until every sent capture has a verdict and a pseudo-mask.

    False after ``timeout_s``.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while observations.sent.keys() - observations.judged() or observations.sent.keys() - observations.masked():
                await asyncio.sleep(0.3)
            return True
    return False
