"""Scheduler of the consumer: which partition starts work now.

Pure: no I/O, no clock.

Partitions take turns under one bound on concurrent handlers. An isolated record, which may end the process, runs when
nothing else runs; otherwise a crash would be attributed to every in-flight record, and healthy ones would be
dead-lettered. While the poison breaker is open, one record at a time is tried.
"""

from dataclasses import dataclass

from siad.runtime.bus.port import TopicPartition
from siad.runtime.consumer.breaker import PoisonBreaker
from siad.runtime.consumer.limits import Limits
from siad.runtime.consumer.partition import PartitionState, WorkItem

Started = list[tuple[PartitionState, WorkItem]]


@dataclass(slots=True, eq=False)
class Scheduler:
    """Counts running handlers and picks the next work items."""

    limits: Limits
    breaker: PoisonBreaker
    partitions: dict[TopicPartition, PartitionState]  # of the assignment, in the order of their turns
    running: int = 0  # handlers
    is_exclusive: bool = False  # the one handler that runs may end the process

    def start(self, *, now_s: float) -> Started:
        """Start what may start now; empty where nothing may."""
        if self.running >= self.limits.max_in_flight or self.is_exclusive:
            return []
        ready = [partition for partition in self.partitions.values() if partition.can_start(now_s=now_s)]
        if self.breaker.is_open:
            # a record that has reached crashes_max would be dead-lettered, which an open breaker forbids
            ready = [partition for partition in ready if partition.crash_count < self.limits.crashes_max]
            may_try = bool(ready) and not self.running and self.breaker.take_trial()
            return [self._start(ready[0], now_s, is_trial=True)] if may_try else []
        isolated = [partition for partition in ready if partition.is_isolated]
        if isolated and (self.running or any(partition.is_publishing for partition in self.partitions.values())):
            return []
        chosen = isolated[:1] or ready[: self.limits.max_in_flight - self.running]
        return [self._start(partition, now_s, is_trial=False) for partition in chosen]

    def finish(self) -> None:
        """Record that a handler returned or raised."""
        self.running -= 1
        self.is_exclusive = False  # an exclusive handler was the only one

    def _start(self, partition: PartitionState, now_s: float, *, is_trial: bool) -> tuple[PartitionState, WorkItem]:
        self.partitions[partition.topic_partition] = self.partitions.pop(partition.topic_partition)  # last in turn
        item = partition.start(now_s=now_s, is_trial=is_trial)
        self.running += 1
        self.is_exclusive = partition.is_isolated
        return partition, item
