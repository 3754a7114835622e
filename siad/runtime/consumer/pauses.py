"""Pauses of a partition: reported by log, metric and readiness.

Where the broker is the cause they are waited out here.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from siad.runtime.bus.port import TopicPartition
from siad.runtime.consumer.limits import Limits
from siad.runtime.consumer.partition import PartitionState
from siad.runtime.context import StageContext
from siad.runtime.outcomes import WAITING, Outcome, report_of, rule_of

log = structlog.get_logger()

T = TypeVar("T")

ACTIVITIES: Final = ("open", "handle", "publish", "commit")  # of one partition


class Pauses:
    """Reports what the partitions of one consumer wait for."""

    def __init__(self, context: StageContext, limits: Limits) -> None:
        self._health, self._clock, self._limits = context.health, context.clock, limits

    def pause(self, activity: str, topic_partition: TopicPartition | None, error: Exception) -> None:
        """Report that an activity waits.

        ``topic_partition`` None for what concerns all of them.
        """
        rule = rule_of(error)
        is_broker = activity != "handle" and rule.outcome is Outcome.RETRY
        self._health.pause(
            _name(activity, topic_partition), "broker" if is_broker else rule.fate, report=report_of(error)
        )

    def resume(self, activity: str, topic_partition: TopicPartition | None) -> None:
        """Report that an activity no longer waits."""
        self._health.resume(_name(activity, topic_partition))

    def drop(self, topic_partition: TopicPartition) -> None:
        """Forget a partition that moves away."""
        for activity in ACTIVITIES:
            self.resume(activity, topic_partition)

    async def until_accepted(self, activity: str, partition: PartitionState, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call to the broker until it succeeds.

        Meanwhile the partition starts no new work.
        """
        attempt, place = 0, partition.topic_partition
        while True:
            try:
                result = await call()
            except Exception as error:
                if rule_of(error).outcome not in WAITING:
                    raise
                delay_s = self._limits.backoff.delay_s(attempt)
                attempt += 1
                partition.blocked_by.add(activity)
                self.pause(activity, place, error)
                log.warning(
                    "broker_refused",
                    what=activity,
                    reason=str(error),
                    topic=place.topic,
                    partition=place.partition,
                    attempt=attempt,
                    retry_s=round(delay_s, 3),
                )
                await self._clock.sleep(delay_s)
            else:
                partition.blocked_by.discard(activity)
                self.resume(activity, place)
                return result


def _name(activity: str, topic_partition: TopicPartition | None) -> str:
    return activity if topic_partition is None else f"{activity} {topic_partition.topic}/{topic_partition.partition}"
