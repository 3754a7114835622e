"""Partitions that are assigned to this member of the group.

The bus calls these hooks at every rebalance.

The hooks may run before the loop does, while the member joins: then no record is in flight, and there is no owner yet.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from siad.runtime.bus.port import TopicPartition
from siad.runtime.consumer.limits import Limits
from siad.runtime.consumer.partition import PartitionState
from siad.runtime.consumer.routes import Route


class PartitionOwner(Protocol):
    """Finishes and drops the work of partitions that move away."""

    async def release(self, partitions: Sequence[PartitionState]) -> None:
        """Finish work in flight within a bound, and commit what is published."""
        ...

    def drop(self, partition: PartitionState) -> None:
        """Cancel what is left of a partition's work."""
        ...


class Assignment:
    """Partitions of one member, in the order of their turns."""

    def __init__(self, routes: Mapping[str, Route], limits: Limits) -> None:
        self.partitions: dict[TopicPartition, PartitionState] = {}
        self.owner: PartitionOwner | None = None
        self._routes, self._limits = routes, limits
        self._paused: frozenset[TopicPartition] = frozenset()  # nothing is fetched from these

    async def on_assign(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Begin with fresh state: another member may have owned these partitions meanwhile."""
        for topic_partition in topic_partitions:
            if (old := self.partitions.get(topic_partition)) is not None:
                self.remove(old)
            self.add(topic_partition)

    async def on_revoke(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Finish work in flight within a bound and commit it.

        The next owner repeats the rest.
        """
        found = (self.partitions.get(topic_partition) for topic_partition in topic_partitions)
        partitions = [partition for partition in found if partition is not None]
        if self.owner is not None:
            await self.owner.release(partitions)
        for partition in partitions:
            self.remove(partition)

    def add(self, topic_partition: TopicPartition) -> PartitionState:
        """Add a partition with fresh state."""
        route = self._routes[topic_partition.topic]
        capacity = max(self._limits.max_in_flight, 2 * route.records_max)
        partition = PartitionState(topic_partition, route, capacity, works_ahead=self._limits.works_ahead)
        self.partitions[topic_partition] = partition
        return partition

    def remove(self, partition: PartitionState) -> None:
        """Drop a partition, unless it was replaced meanwhile."""
        if self.partitions.get(partition.topic_partition) is partition:
            del self.partitions[partition.topic_partition]
            self._paused -= {partition.topic_partition}
        if self.owner is not None:
            self.owner.drop(partition)

    def update_pauses(self, *, is_breaker_open: bool) -> tuple[frozenset[TopicPartition], frozenset[TopicPartition]]:
        """Return the partitions whose fetching pauses now, and those whose fetching resumes.

        Partitions that are full or failing pause; they resume with half of their capacity free. While the breaker is
        open only a partition without a record in flight fetches, since there must be a record to try.
        """
        wanted = frozenset(
            topic_partition
            for topic_partition, partition in self.partitions.items()
            if partition.is_failing
            or (is_breaker_open and partition.in_hand)
            or partition.in_hand >= self._pause_level(partition)
        )
        pausing, resuming = wanted - self._paused, self._paused - wanted
        self._paused = wanted
        return pausing, resuming

    def _pause_level(self, partition: PartitionState) -> int:
        is_paused = partition.topic_partition in self._paused
        return partition.capacity // 2 + 1 if is_paused else partition.capacity
