"""Poison breaker: acts on the failure counters.

It reports by log, metric and readiness.
"""

from collections.abc import Collection, Mapping, Sequence

import structlog

from siad.contracts.errors import PoisonError
from siad.contracts.topics import retry
from siad.runtime import metrics
from siad.runtime.bus.port import Record
from siad.runtime.consumer.failure_counters import FailureCounters, line_of
from siad.runtime.consumer.limits import Limits
from siad.runtime.context import StageContext
from siad.runtime.outcomes import BreakerOpenError

log = structlog.get_logger()


class PoisonBreaker:
    """Quarantines lines, and holds the poison of a failing stage.

    Records of the retry topic were sent by an operator: they are always tried, and counted nowhere.
    """

    def __init__(self, context: StageContext, limits: Limits) -> None:
        self._stage, self._health, self._clock = context.stage, context.health, context.clock
        self._counters = FailureCounters(limits.poison_max, limits.probe_every_s)
        self._retry_topic = retry(context.stage).name
        self._reasons: dict[str, str] = {}  # of the quarantine, by line
        metrics.STAGE_STOPPED.labels(self._stage).set(0)

    @property
    def is_open(self) -> bool:
        """Whether poison is held instead of dead-lettered."""
        return self._counters.is_open

    def take_trial(self) -> bool:
        """Whether one record may be tried while the breaker is open.

        This takes the trial.
        """
        return self._counters.take_trial(now_s=self._clock.monotonic())

    def quarantine_error(self, record: Record) -> PoisonError | None:
        """Return why a record is dead-lettered unhandled.

        None where it is to be handled.
        """
        line = line_of(record.key)
        if self.is_open or record.topic_partition.topic == self._retry_topic:
            return None
        if self._counters.may_handle(line, now_s=self._clock.monotonic()):
            return None
        msg = (
            f"line {line} is quarantined in {self._stage}, this record was not tried. {self._reasons.get(line, '')} "
            "Repair the sender of the line; the quarantine ends with its first record that is handled. Then send this "
            f"record again: siad dead-letters replay --stage {self._stage} --line {line} --kind quarantine"
        )
        return PoisonError(msg)

    def uncount(self, records: Collection[Record]) -> None:
        """Return the trials of records that gave no result.

        They will be tried again.
        """
        self._counters.uncount({line_of(record.key) for record in records}, now_s=self._clock.monotonic())

    def count(self, tried: Sequence[Record], poison: Mapping[int, PoisonError], *, is_batch: bool) -> None:
        """Count the results of one work item.

        Return where its poison may be dead-lettered.

        Args:
            tried: the records that were decoded, and handled where that succeeded.
            poison: the errors of those that were poison, by offset.
            is_batch: the work item holds more than one record.

        Raises:
            BreakerOpenError: it may not. After a single record the breaker is open from here on; after a batch
                nothing has changed, and its records are to be counted one at a time.
        """
        bad = [record for record in tried if record.offset in poison]
        handled = {line_of(record.key) for record in tried if record.offset not in poison}
        counted = [line_of(record.key) for record in bad if record.topic_partition.topic != self._retry_topic]
        if bad and not handled and (self.is_open or self._counters.would_open(counted)):
            if not is_batch:
                self._open(bad[0], poison[bad[0].offset])
            raise BreakerOpenError
        change = self._counters.count(poison=counted, handled=handled, now_s=self._clock.monotonic())
        for line in change.quarantined:
            last = next(record for record in reversed(bad) if line_of(record.key) == line)
            self._quarantine(line, poison[last.offset])
        for line in change.lifted:
            self._lift(line)
        if change.has_closed:
            self._close()

    def reset_lines(self) -> None:
        """Start anew with every line when partitions move.

        Other processes count them from now on.
        """
        for line in self._counters.quarantined:
            metrics.LINE_QUARANTINED.remove(self._stage, line)
            log.warning("quarantine_forgotten", line=line, reason="partitions moved")
        self._counters.reset_lines()
        self._reasons.clear()

    def shut_down(self) -> None:
        """Withdraw all reports: this process handles no more records."""
        self.reset_lines()
        metrics.STAGE_STOPPED.labels(self._stage).set(0)
        self._health.resume("poison")

    def _open(self, record: Record, error: PoisonError) -> None:
        if not self.is_open:
            self._counters.open(now_s=self._clock.monotonic())
            metrics.STAGE_STOPPED.labels(self._stage).set(1)
            report = (
                f"{self._counters.poison_max} records in a row, of several lines, could not be handled, the last one: "
                f"{error}. The stage dead-letters and fetches no more; it tries one record every "
                f"{self._counters.trial_every_s:g} s and resumes with the first success. Check the latest deployment: "
                "roll back, or fix and restart"
            )
            self._health.pause("poison", "poison", report=report)
        log.critical(
            "poison_breaker_open",
            records=self._counters.poison_max,
            reason=str(error),
            topic=record.topic_partition.topic,
            partition=record.topic_partition.partition,
            offset=record.offset,
            retry_s=self._counters.trial_every_s,
        )

    def _close(self) -> None:
        metrics.STAGE_STOPPED.labels(self._stage).set(0)
        self._health.resume("poison")
        log.warning("poison_breaker_closed", reason="a record was handled")

    def _quarantine(self, line: str, error: PoisonError) -> None:
        count = self._counters.poison_max
        self._reasons[line] = f"{count} of its records in a row could not be handled, the last one: {error}."
        metrics.LINE_QUARANTINED.labels(self._stage, line).set(1)
        log.error("line_quarantined", line=line, records=count, reason=str(error), retry_s=self._counters.trial_every_s)

    def _lift(self, line: str) -> None:
        self._reasons.pop(line, None)
        metrics.LINE_QUARANTINED.remove(self._stage, line)
        log.warning("quarantine_lifted", line=line, reason="one of its records was handled")
