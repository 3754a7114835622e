"""Moves the group's offsets to what is done.

A refusal is harmless: what is not committed is repeated, here or elsewhere.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable

import structlog

from siad.contracts.errors import TransientError
from siad.runtime import metrics
from siad.runtime.bus.port import Consumer, TopicPartition
from siad.runtime.clock import Clock
from siad.runtime.consumer.partition import PartitionState
from siad.runtime.consumer.routes import Limits
from siad.runtime.health import Health

log = structlog.get_logger()

Probe = Callable[[], Awaitable[None]]  # asks the broker beside the consumer


class Committer:
    """One member's commits: gathered in time, never two at once, patient with the broker."""

    def __init__(self, consumer: Consumer, stage: str, health: Health, limits: Limits, clock: Clock) -> None:
        self._consumer, self._stage, self._health, self._limits, self._clock = consumer, stage, health, limits, clock
        self._alone = asyncio.Lock()  # two at once could land in the wrong order
        self._failures = 0
        self._due_s = clock.monotonic()

    def is_due(self, lanes: Iterable[PartitionState]) -> bool:
        """Whether it is time, and there is something to commit."""
        return self._clock.monotonic() >= self._due_s and any(lane.is_dirty for lane in lanes)

    async def commit_dirty(self, lanes: Iterable[PartitionState]) -> None:
        """Commit all that has something to commit, and settle when to do so next."""
        if await self.commit([lane for lane in lanes if lane.is_dirty]):
            self._failures = 0
            wait_s = self._limits.commit_every_s
        else:
            wait_s = self._limits.backoff.delay_s(self._failures)
            self._failures += 1
        self._due_s = self._clock.monotonic() + wait_s

    async def commit(self, lanes: Collection[PartitionState], *, leaving: bool = False) -> bool:
        """Commit the watermarks; False where the broker refused. Until it accepts, these lanes start nothing new."""
        async with self._alone:
            commits = {
                lane.topic_partition: commit for lane in lanes if (commit := lane.commit(leaving=leaving)) is not None
            }
            if not commits:
                return True
            try:
                await self._consumer.commit(commits)
            except TransientError as error:
                log.warning("commit_refused", reason=str(error), topic_partitions=len(commits))
                for lane in lanes:
                    lane.blocked.add("commit")
                    self._health.pause(f"commit {lane.topic_partition}", "broker")
                return False
            for lane in lanes:
                if lane.topic_partition in commits:
                    lane.committed = commits[lane.topic_partition].offset
                lane.blocked.discard("commit")
                self._health.go_on(f"commit {lane.topic_partition}")
            return True

    async def say_goodbye(self, lanes: Collection[PartitionState]) -> None:
        """Commit for the last time, within a bound, and take back the word that the process may have died."""
        try:
            async with asyncio.timeout(self._limits.drain_s):
                await self.commit(lanes, leaving=True)
        except TimeoutError:
            log.warning(
                "commit_refused", reason=f"no answer in {self._limits.drain_s:g} s", topic_partitions=len(lanes)
            )

    async def measure_lag(self, topic_partitions: Collection[TopicPartition], probe: Probe) -> None:
        """Tell how far we are behind.

        Where the consumer can't say, somebody else asks the broker: if it answers there, it is the consumer that
        sits stuck, and nothing excuses it.
        """
        try:
            lag = await self._consumer.lag()
        except TransientError as error:
            log.warning("lag_unknown", reason=str(error))
            try:
                await probe()
            except TransientError:
                self._health.pause("lag", "broker")
            else:
                self._health.go_on("lag")
                self._health.lag(1)  # at least: nobody may be idle who can't know
            return
        self._health.go_on("lag")
        for topic_partition in lag.keys() & set(topic_partitions):
            metrics.LAG.labels(self._stage, topic_partition.topic, str(topic_partition.partition)).set(
                lag[topic_partition]
            )
        self._health.lag(sum(lag.values()))
