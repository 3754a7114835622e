"""Publishing of results, before or together with the commit of their records.

At least once: results are published and acknowledged, and the commit follows. A crash in between repeats the records.
Exactly once: one transaction of the bus holds results and commit. Where its outcome is unknown (a time-out, a lost
answer), the transaction is opened anew: the broker then ends it one way or the other, and the commit that it left says
which.
"""

from collections.abc import Sequence
from typing import Protocol

from siad.contracts.errors import BusFailedError, TransientError
from siad.runtime.bus.port import Commit, Consumer, Message, Producer, Transactions
from siad.runtime.consumer.committer import Committer
from siad.runtime.consumer.partition import PartitionState, WorkItem


class Publishing(Protocol):
    """How the results of a partition reach the bus."""

    async def open(self, partition: PartitionState) -> Commit | None:
        """Take over a partition; return the group's commit."""
        ...

    async def publish(self, partition: PartitionState, items: Sequence[WorkItem]) -> None:
        """Publish the results of the first items, and mark them published."""
        ...


class AtLeastOnce:
    """Publishes; the loop commits later."""

    def __init__(self, producer: Producer, consumer: Consumer) -> None:
        self._producer, self._consumer = producer, consumer

    async def open(self, partition: PartitionState) -> Commit | None:
        """Return the group's commit."""
        return await self._consumer.committed(partition.topic_partition)

    async def publish(self, partition: PartitionState, items: Sequence[WorkItem]) -> None:
        """Publish the results of items, and mark them published."""
        if messages := _messages(items):
            # always the very same messages: the producer may still be sending those of the last attempt
            await self._producer.publish(messages)
        partition.mark_published(items)


class ExactlyOnce:
    """Publishes and commits in one transaction."""

    def __init__(self, transactions: Transactions, consumer: Consumer, committer: Committer) -> None:
        self._transactions, self._consumer, self._committer = transactions, consumer, committer

    async def open(self, partition: PartitionState) -> Commit | None:
        """Fence earlier owners, and return the group's commit after that."""
        commit = await self._transactions.open(partition.topic_partition)
        partition.is_uncertain = False
        partition.committed = None if commit is None else commit.offset
        partition.done_below = _done_below(partition, commit)
        return commit

    async def publish(self, partition: PartitionState, items: Sequence[WorkItem]) -> None:
        """Publish results and commit past them; mark the items published.

        Raises:
            TransientError: the outcome is unknown; the next call finds out before it publishes.
            BusFailedError: another process has committed for this partition; this one must read the commit anew.
        """
        place = partition.topic_partition
        async with self._committer.lock:  # a plain commit must not overtake the transaction, and set the offset back
            if place not in self._consumer.assigned() or not self._committer.is_open:
                msg = f"{place} moved to another member, or this process ends; nothing was published"
                raise TransientError(msg)
            commit = partition.commit_past(items)
            if not partition.is_uncertain or not await self._has_happened(partition, commit):
                partition.is_uncertain = True
                await self._transactions.publish(place, _messages(items), commit)
            partition.is_uncertain = False
            partition.mark_published(items)
            partition.committed = commit.offset

    async def _has_happened(self, partition: PartitionState, commit: Commit) -> bool:
        """Whether the transaction whose outcome was unknown has published and committed."""
        place, base = partition.topic_partition, partition.committed
        found = await self._transactions.open(place)
        offset = None if found is None else found.offset
        if offset == commit.offset:
            return True
        if offset == base:
            return False
        msg = (
            f"the offset of {place} is {offset}, this process left it at {base}: another process has committed since; "
            "this process ends, and a restart goes on from there"
        )
        raise BusFailedError(msg)


def _done_below(partition: PartitionState, commit: Commit | None) -> int:
    """Offset below which a transaction that ended late holds the records.

    0 where there is none. It ended after the records were fetched, and holds at most as many as one process has in
    hand. An offset further ahead is that of a topic that was made anew.
    """
    first = partition.fetched[0].record.offset
    return commit.offset if commit is not None and first < commit.offset <= first + partition.capacity else 0


def _messages(items: Sequence[WorkItem]) -> list[Message]:
    return [message for item in items for message in item.messages]
