"""Commits of one consumer: move the group's offsets to what is published.

A refused commit is harmless: what is not committed is repeated, by this member or by another.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

import structlog

from siad.contracts.errors import BusFailedError, TransientError
from siad.runtime import metrics
from siad.runtime.bus.port import Consumer, TopicPartition
from siad.runtime.consumer.limits import Limits
from siad.runtime.consumer.partition import PartitionState
from siad.runtime.consumer.pauses import Pauses
from siad.runtime.context import StageContext
from siad.runtime.outcomes import WAITING, outcome_of

log = structlog.get_logger()

Probe = Callable[[], Awaitable[None]]  # checks the broker over another connection than the consumer's


class Committer:
    """Gathers commits over time, and sends one at a time."""

    def __init__(self, consumer: Consumer, context: StageContext, limits: Limits, pauses: Pauses) -> None:
        self.is_open = True  # False after a bug: nothing more may be committed
        self._consumer, self._context, self._limits, self._pauses = consumer, context, limits, pauses
        self.lock = asyncio.Lock()  # two commits at once could arrive in the wrong order
        self._failures = 0
        self._due_s = context.clock.monotonic()

    def is_due(self, partitions: Iterable[PartitionState]) -> bool:
        """Whether it is time, and there is something to commit."""
        return self._context.clock.monotonic() >= self._due_s and any(partition.is_dirty for partition in partitions)

    async def commit_dirty(self, partitions: Iterable[PartitionState]) -> None:
        """Commit every dirty partition, and set the time of the next commit."""
        if await self.commit([partition for partition in partitions if partition.is_dirty]):
            self._failures = 0
            wait_s = self._limits.commit_every_s
        else:
            wait_s = self._limits.backoff.delay_s(self._failures)
            self._failures += 1
        self._due_s = self._context.clock.monotonic() + wait_s

    async def commit(self, partitions: Collection[PartitionState], *, is_final: bool = False) -> bool:
        """Commit the watermarks; return False where the broker refused.

        Until it accepts, these partitions start no new work.
        """
        async with self.lock:
            commits = {
                partition.topic_partition: commit
                for partition in partitions
                if self.is_open and (commit := partition.next_commit(is_final=is_final)) is not None
            }
            if not commits:
                return True
            try:
                await self._consumer.commit(commits)
            except Exception as error:
                if outcome_of(error) not in WAITING:
                    raise
                log.warning("commit_refused", reason=str(error), topic_partitions=len(commits))
                for partition in partitions:
                    partition.blocked_by.add("commit")
                    self._pauses.pause("commit", partition.topic_partition, error)
                return False
            for partition in partitions:
                if partition.topic_partition in commits:
                    partition.committed = commits[partition.topic_partition].offset
                partition.blocked_by.discard("commit")
                self._pauses.resume("commit", partition.topic_partition)
            return True

    async def final_commit(self, partitions: Collection[PartitionState]) -> None:
        """Commit on shutdown or when partitions move (time-boxed); clears the crash marker."""
        try:
            async with asyncio.timeout(self._limits.drain_s):
                await self.commit(partitions, is_final=True)
        except TimeoutError:
            reason = f"no answer in {self._limits.drain_s:g} s"
            log.warning("commit_refused", reason=reason, topic_partitions=len(partitions))

    async def withdraw_markers(self, partitions: Collection[PartitionState]) -> None:
        """Withdraw the crash markers before the process ends (time-boxed).

        The reason of the end is no record's fault.

        No offset moves. Where the broker refuses, the markers stay, and count one crash.
        """
        commits = {
            partition.topic_partition: commit
            for partition in partitions
            if (commit := partition.without_crash()) is not None
        }
        try:
            async with asyncio.timeout(self._limits.drain_s):
                await self._consumer.commit(commits)
        except (TransientError, BusFailedError, TimeoutError) as error:
            log.warning("commit_refused", reason=str(error), topic_partitions=len(commits))

    async def measure_lag(self, partitions: Mapping[TopicPartition, PartitionState], probe: Probe) -> None:
        """Report how many records wait, and for how long.

        Where the consumer cannot tell, the broker is probed over another connection: if it answers there, the
        consumer is stuck, and the time without progress counts.
        """
        try:
            lag = await self._consumer.lag()
        except Exception as error:
            if outcome_of(error) not in WAITING:
                raise
            log.warning("lag_unknown", reason=str(error))
            await self._probe(probe)
            return
        self._pauses.resume("lag", None)
        now_s = self._context.clock.now().timestamp()
        for topic_partition in lag.keys() & partitions.keys():
            labels = self._context.stage, topic_partition.topic, str(topic_partition.partition)
            metrics.LAG.labels(*labels).set(lag[topic_partition])
            oldest = partitions[topic_partition].oldest
            age_s = 0.0 if oldest is None else max(now_s - oldest.timestamp_ms / 1000, 0.0)
            metrics.LAG_SECONDS.labels(*labels).set(age_s)
        self._context.health.lag(sum(lag.values()))

    async def _probe(self, probe: Probe) -> None:
        try:
            await probe()
        except Exception as error:
            if outcome_of(error) not in WAITING:
                raise
            self._pauses.pause("lag", None, error)
        else:
            self._pauses.resume("lag", None)
            self._context.health.lag(1)  # at least: a consumer that cannot tell must not count as idle
