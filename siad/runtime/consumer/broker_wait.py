"""Waits while the broker refuses something for one lane, and says so."""

from dataclasses import dataclass

import structlog

from siad.contracts.errors import TransientError
from siad.runtime.clock import Clock
from siad.runtime.consumer.partition import PartitionState
from siad.runtime.consumer.routes import Limits
from siad.runtime.health import Health

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BrokerWait:
    """Keeps a lane still between two tries."""

    health: Health
    limits: Limits
    clock: Clock

    async def wait_out(self, what: str, lane: PartitionState, error: TransientError, attempt: int) -> int:
        """Keep the lane still while the broker refuses ``what``; returns the number of the next attempt."""
        delay_s = self.limits.backoff.delay_s(attempt)
        lane.blocked.add(what)
        self.health.pause(f"{what} {lane.topic_partition}", "broker")
        log.warning(
            "broker_refused",
            what=what,
            reason=str(error),
            topic=lane.topic_partition.topic,
            partition=lane.topic_partition.partition,
            attempt=attempt + 1,
            retry_s=round(delay_s, 3),
        )
        await self.clock.sleep(delay_s)
        return attempt + 1

    def go_on(self, lane: PartitionState, what: str) -> None:
        """The broker took it."""
        lane.blocked.discard(what)
        self.health.go_on(f"{what} {lane.topic_partition}")
