"""Limits of one consumer: when it waits, pauses and gives up."""

from dataclasses import dataclass, field
from typing import Literal

from siad.runtime.backoff import Backoff
from siad.runtime.settings import StageSettings

Delivery = Literal["at-least-once", "exactly-once"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to wait, pause and give up."""

    max_in_flight: int = 32  # concurrent handlers; a partition with as many records in flight is paused
    handler_timeout_s: float = 60.0  # then the record counts as transient and is retried
    commit_every_s: float = 0.2  # commits are gathered for so long
    lag_every_s: float = 5.0  # how often the lag is measured
    poll_s: float = 0.1  # longest wait of one poll
    delivery: Delivery = "at-least-once"  # or exactly-once: results and commit in one transaction of the bus
    works_ahead: bool = False  # handle what was fetched while the broker refuses results; the stage keeps them itself
    drain_s: float = 10.0  # for work in flight, when the stage stops or a partition moves
    crashes_max: int = 3  # a record that ends the process so many times in a row is dead-lettered
    poison_max: int = 20  # in a row: from one line, it is quarantined; from several, the breaker opens
    probe_every_s: float = 60.0  # how often one record is tried of a quarantined line, or while the breaker is open
    backoff: Backoff = field(default_factory=Backoff)

    @classmethod
    def of(cls, settings: StageSettings, *, max_in_flight: int = 32, handler_timeout_s: float = 60.0) -> "Limits":
        """Return the limits that a stage's settings ask for."""
        return cls(
            max_in_flight=max_in_flight,
            handler_timeout_s=handler_timeout_s,
            drain_s=settings.drain_s,
            poison_max=settings.poison_max,
            probe_every_s=settings.probe_every_s,
        )
