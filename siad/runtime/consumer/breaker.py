"""Says aloud what streaks of poison say: by log, metric and readiness. Decides nothing that ``streaks`` does not."""

from collections.abc import Mapping, Sequence

import structlog

from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.topics import retry
from siad.runtime import metrics
from siad.runtime.bus.port import Record
from siad.runtime.clock import Clock
from siad.runtime.consumer.failure_counters import FailureCounters, line_of
from siad.runtime.consumer.routes import Limits
from siad.runtime.health import Health

log = structlog.get_logger()


class BreakerOpenError(Exception):
    """The stage stands still: this poison is neither buried nor committed, it waits in hand."""


class PoisonBreaker:
    """One process's watch over its poison.

    What an operator sends again is on purpose: it is always tried, and counts for no streak.
    """

    def __init__(self, stage: str, limits: Limits, health: Health, clock: Clock) -> None:
        self._stage, self._health, self._clock = stage, health, clock
        self._streaks = FailureCounters(limits.poison_max, limits.probe_every_s)
        self._retry = retry(stage).name
        self._reason = ""  # why the stage stands still
        self._reasons: dict[str, str] = {}  # why a line is in quarantine
        health.checks["poison"] = self.check
        metrics.STAGE_STOPPED.labels(stage).set(0)

    @property
    def is_up(self) -> bool:
        """Whether the stage stands still."""
        return self._streaks.is_stopped

    async def check(self) -> None:
        """Readiness: raise while the stage stands still."""
        if self.is_up:
            raise TransientError(self._reason)

    def takes_turn(self) -> bool:
        """Whether a stage that stands still may try one record now; asking takes the turn."""
        return self._streaks.takes_turn(now_s=self._clock.monotonic())

    def bars(self, record: Record) -> PoisonError | None:
        """Why a record is to be buried unhandled; None where it is to be handled."""
        line = line_of(record.key)
        if self.is_up or record.topic_partition.topic == self._retry:
            return None
        if self._streaks.admits(line, now_s=self._clock.monotonic()):
            return None
        msg = (
            f"line {line} is quarantined in {self._stage}, this record was not tried. {self._reasons.get(line, '')} "
            f"Mend what sends it; with its first record that works the quarantine ends by itself. Then bring this one "
            f"back with: siad dead-letters replay --stage {self._stage} --line {line} --kind quarantine"
        )
        return PoisonError(msg)

    def give_back(self, records: Sequence[Record]) -> None:
        """Nothing was learnt of these records: they will be tried again."""
        self._streaks.give_back({line_of(record.key) for record in records}, now_s=self._clock.monotonic())

    def tell(self, tried: Sequence[Record], spoilt: Mapping[int, PoisonError], *, is_batch: bool) -> None:
        """Take in what came of one parcel; return where its poison may be buried.

        Args:
            tried: the records that were read, and handled if they could be.
            spoilt: those of them that were poison, by offset.
            is_batch: there is more in the parcel than one record.

        Raises:
            HeldError: it may not. After one record the stage stands still from here on; after a batch nothing has
                changed yet, ask again one by one.
        """
        bad = [record for record in tried if record.offset in spoilt]
        worked = {line_of(record.key) for record in tried if record.offset not in spoilt}
        counted = [line_of(record.key) for record in bad if record.topic_partition.topic != self._retry]
        if bad and not worked and (self.is_up or self._streaks.would_stop(counted)):
            if not is_batch:
                self._stop(bad[0], spoilt[bad[0].offset])
            raise BreakerOpenError
        change = self._streaks.judge(spoilt=counted, worked=worked, now_s=self._clock.monotonic())
        for line in change.quarantined:
            last = next(record for record in reversed(bad) if line_of(record.key) == line)
            self._quarantine(line, spoilt[last.offset])
        for line in change.lifted:
            self._lift(line)
        if change.goes_on:
            self._go_on()

    def forget_lines(self) -> None:
        """Partitions move: whose lines these are, and how they do, shows again by itself."""
        for line in self._streaks.quarantined:
            metrics.LINE_QUARANTINED.remove(self._stage, line)
            log.warning("quarantine_forgotten", line=line, reason="partitions moved")
        self._streaks.forget_lines()
        self._reasons.clear()

    def close(self) -> None:
        """This process handles nothing any more."""
        self.forget_lines()
        metrics.STAGE_STOPPED.labels(self._stage).set(0)
        self._health.go_on("poison")

    def _stop(self, record: Record, error: PoisonError) -> None:
        if not self.is_up:
            self._streaks.stop(now_s=self._clock.monotonic())
            self._reason = (
                f"{self._streaks.poison_max} records in a row, of several lines, could not be handled, the last one: "
                f"{error}. The stage holds what it has in hand and fetches nothing more; one record every "
                f"{self._streaks.every_s:g} s is tried. Was it deployed lately? Go back, or mend it and restart it"
            )
            metrics.STAGE_STOPPED.labels(self._stage).set(1)
            self._health.pause("poison", "poison")
        log.critical(
            "stage_stands_still",
            reason=self._reason,
            tried=str(error),
            topic=record.topic_partition.topic,
            partition=record.topic_partition.partition,
            offset=record.offset,
        )

    def _go_on(self) -> None:
        metrics.STAGE_STOPPED.labels(self._stage).set(0)
        self._health.go_on("poison")
        log.warning("stage_goes_on", reason="a record was handled")

    def _quarantine(self, line: str, error: PoisonError) -> None:
        count = self._streaks.poison_max
        self._reasons[line] = f"{count} of its records in a row could not be handled, the last one: {error}."
        metrics.LINE_QUARANTINED.labels(self._stage, line).set(1)
        log.error("line_quarantined", line=line, records=count, reason=str(error), retry_s=self._streaks.every_s)

    def _lift(self, line: str) -> None:
        self._reasons.pop(line, None)
        metrics.LINE_QUARANTINED.remove(self._stage, line)
        log.warning("quarantine_lifted", line=line, reason="one of its records was handled")
