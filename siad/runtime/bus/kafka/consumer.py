"""Kafka consumers: group members, state-topic readers and log readers.

aiokafka hides some failures: ``getmany`` waits for a whole rebalance whatever its timeout, exceptions of a listener are
logged and dropped, and background tasks can end, or stay outside the group, while ``getmany`` returns nothing for ever.
So ``poll`` checks those tasks, and ends the process when only a restart helps.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from siad.contracts.errors import BusFailedError, TransientError
from siad.runtime.bus.kafka.errors import answered, explain
from siad.runtime.bus.port import Commit, OnAssign, OnRevoke, Record, TopicPartition, first_offset
from siad.runtime.bus.settings import BusSettings


class RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Forwards rebalances, and keeps exceptions that aiokafka would only log."""

    def __init__(self, on_assign: OnAssign | None, on_revoke: OnRevoke | None) -> None:
        self._on_assign, self._on_revoke = on_assign, on_revoke
        self.failure: Exception | None = None
        self.is_between = False  # revoked and not yet assigned again: partitions may belong to another member

    async def on_partitions_assigned(self, assigned: frozenset[KafkaPartition]) -> None:
        """Forward newly assigned partitions."""
        self.is_between = False
        await self._tell(self._on_assign, assigned)

    async def on_partitions_revoked(self, revoked: frozenset[KafkaPartition]) -> None:
        """Forward partitions before they move; the hook commits for them."""
        try:
            await self._tell(self._on_revoke, revoked)
        finally:
            self.is_between = True

    async def _tell(self, hook: OnAssign | OnRevoke | None, tps: frozenset[KafkaPartition]) -> None:
        if hook is None or not tps:
            return
        try:
            await hook(frozenset(TopicPartition(tp.topic, tp.partition) for tp in tps))
        except Exception as error:
            self.failure = error
            raise


class KafkaConsumer:
    """One member of one group."""

    def __init__(
        self,
        client: AIOKafkaConsumer,
        settings: BusSettings,
        listener: RebalanceListener,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._settings, self._listener, self._monotonic = client, settings, listener, monotonic
        self._member_at_s = monotonic()  # when membership was last confirmed

    async def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """Fetch up to ``max_records``; [] after ``timeout_s``.

        Also [] while the broker is unavailable and during a rebalance.

        Raises:
            BusFailedError: a client task ended, or the member stays outside its group although the broker answers.
        """
        if self._listener.failure is not None:
            raise self._listener.failure
        await self._check_membership()
        return await _fetch(self._client, max_records, timeout_s, self._settings)

    def assigned(self) -> frozenset[TopicPartition]:
        """The partitions assigned to this member now."""
        return frozenset(TopicPartition(tp.topic, tp.partition) for tp in self._client.assignment())

    def pause(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Fetch nothing from these partitions until they are resumed."""
        self._client.pause(
            *(KafkaPartition(*topic_partition) for topic_partition in topic_partitions & self.assigned())
        )

    def resume(self, topic_partitions: frozenset[TopicPartition]) -> None:
        """Fetch from these partitions again."""
        self._client.resume(
            *(KafkaPartition(*topic_partition) for topic_partition in topic_partitions & self.assigned())
        )

    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Move the group's offsets; partitions of other members are refused."""
        if not commits:
            return
        # During a rebalance aiokafka still shows the old assignment while it already has the group's new generation:
        # the broker would accept a commit for a partition that another member reads by then.
        mine = frozenset[TopicPartition]() if self._listener.is_between else self.assigned()
        if lost := commits.keys() - mine:
            msg = f"commit refused: {', '.join(map(str, sorted(lost)))} moved to another member"
            raise TransientError(msg)
        offsets = {
            KafkaPartition(*topic_partition): OffsetAndMetadata(*commit) for topic_partition, commit in commits.items()
        }
        await answered(self._client.commit(offsets), "commit", self._settings)

    async def committed(self, topic_partition: TopicPartition) -> Commit | None:
        """The group's last commit of one partition."""
        return (await self._committed([topic_partition])).get(topic_partition)

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Uncommitted records up to the end, for each assigned partition."""
        if not (topic_partitions := sorted(self.assigned())):
            return {}
        tps = [KafkaPartition(*topic_partition) for topic_partition in topic_partitions]
        ends = await answered(self._client.end_offsets(tps), "read the ends", self._settings)
        commits = await self._committed(topic_partitions)
        starts: Mapping[KafkaPartition, int] = {}
        if fresh := [
            tp for tp, topic_partition in zip(tps, topic_partitions, strict=True) if topic_partition not in commits
        ]:
            starts = await answered(self._client.beginning_offsets(fresh), "read the beginnings", self._settings)
        return {
            topic_partition: max(
                ends[tp] - (commits[topic_partition].offset if topic_partition in commits else starts[tp]), 0
            )
            for tp, topic_partition in zip(tps, topic_partitions, strict=True)
        }

    async def _committed(self, topic_partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Commit]:
        """Commits with their metadata, which the client's own ``committed`` omits."""
        asked = self._client._coordinator.fetch_committed_offsets(  # noqa: SLF001
            [KafkaPartition(*topic_partition) for topic_partition in topic_partitions]
        )
        found = await answered(asked, "read the committed offsets", self._settings)
        return {
            TopicPartition(tp.topic, tp.partition): Commit(at.offset, at.metadata or "") for tp, at in found.items()
        }

    async def _check_membership(self) -> None:
        """End the process if this member stays outside its group (aiokafka#1154)."""
        now_s = self._monotonic()
        if not self._client._coordinator.need_rejoin(self._client._subscription.subscription):  # noqa: SLF001
            self._member_at_s = now_s
        elif (outside_s := now_s - self._member_at_s) > self._settings.rejoin_timeout_s:
            self._member_at_s = now_s  # checked again after the same time: the broker may be unavailable
            try:
                await answered(self._client.topics(), "list topics", self._settings)
            except TransientError:
                return
            msg = (
                f"broker at {self._settings.bootstrap} answers, but this member has been outside its group for "
                f"{outside_s:.0f} s and does not rejoin; this process ends, and a restart rejoins"
            )
            raise BusFailedError(msg)


class KafkaStateReader:
    """Reads one state topic completely, without a group."""

    def __init__(self, client: AIOKafkaConsumer, topic: str, settings: BusSettings) -> None:
        self._client, self._topic, self._settings = client, topic, settings
        self._table: dict[str, Record] = {}  # kept, so that an interrupted snapshot resumes

    async def snapshot(self) -> dict[str, Record]:
        """The last record of each live key, up to now."""
        tp = KafkaPartition(self._topic, 0)
        ends = await answered(self._client.end_offsets([tp]), f"read the end of {self._topic}", self._settings)
        while await answered(self._client.position(tp), f"read {self._topic}", self._settings) < ends[tp]:
            for record in await _fetch(self._client, 500, 0.2, self._settings):
                if record.value is None:
                    self._table.pop(record.key.decode(), None)
                else:
                    self._table[record.key.decode()] = record
        return self._table

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """Records published since, in order; [] after ``timeout_s``."""
        return await _fetch(self._client, 500, timeout_s, self._settings)


class KafkaLogReader:
    """Reads the end of one work topic, without a group."""

    def __init__(
        self, client: AIOKafkaConsumer, settings: BusSettings, *, last: int, resume_at: Mapping[int, int]
    ) -> None:
        self._client, self._settings, self._last, self._resume_at = client, settings, last, resume_at
        self.begun_at: Mapping[int, int] = {}
        self.is_complete = False

    async def backlog(self) -> AsyncIterator[list[Record]]:
        """Read in batches up to the present end."""
        tps = sorted(self._client.assignment())
        starts = await answered(self._client.beginning_offsets(tps), "read the beginnings", self._settings)
        ends = await answered(self._client.end_offsets(tps), "read the ends", self._settings)
        first = {
            tp: first_offset(starts[tp], ends[tp], last=self._last, resume_at=self._resume_at.get(tp.partition))
            for tp in tps
        }
        self.is_complete = first == starts
        self.begun_at = {tp.partition: offset for tp, offset in first.items()}
        for tp, offset in first.items():
            self._client.seek(tp, offset)
        while await self._is_behind(ends):
            yield await _fetch(self._client, 500, 0.2, self._settings)

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """Read records published since; [] after ``timeout_s``."""
        return await _fetch(self._client, 500, timeout_s, self._settings)

    async def _is_behind(self, ends: Mapping[KafkaPartition, int]) -> bool:
        for tp, end in ends.items():
            if await answered(self._client.position(tp), f"read {tp.topic}", self._settings) < end:
                return True
        return False


async def _fetch(client: AIOKafkaConsumer, max_records: int, timeout_s: float, settings: BusSettings) -> list[Record]:
    coordinator, state = client._coordinator, client._subscription  # noqa: SLF001
    for task in (client._fetcher.error_future, getattr(coordinator, "_coordination_task", None)):  # noqa: SLF001
        if task is not None and task.done():
            msg = f"a background task of aiokafka ended ({task!r}); this process ends, and a restart recovers"
            raise BusFailedError(msg)
    try:
        if state.reassignment_in_progress:
            coordinator.check_errors()
            with state.fetch_context():  # counts as a poll; an idle client would not rejoin
                await asyncio.sleep(timeout_s)
            return []
        batches = await asyncio.wait_for(
            client.getmany(timeout_ms=int(timeout_s * 1000), max_records=max_records), timeout_s + 1.0
        )
    except TimeoutError:
        return []  # a rebalance began during the fetch
    except KafkaError as error:
        raise explain(error, "fetch", settings) from error
    return [
        Record(
            topic_partition=TopicPartition(tp.topic, tp.partition),
            offset=record.offset,
            key=record.key or b"",
            value=record.value,
            headers=tuple(record.headers),
            timestamp_ms=record.timestamp,
        )
        for tp, batch in batches.items()
        for record in batch
    ]
