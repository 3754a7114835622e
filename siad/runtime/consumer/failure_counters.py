"""Failure counters: consecutive poison by line and over all lines.

Pure: no I/O, no clock.

So many poison records in a row from one line quarantine that line: its records are dead-lettered unhandled while the
other lines go on. So many in a row from several lines, without a success between them, point at the stage instead of
the lines: its breaker opens before healthy records are dead-lettered. Records of a quarantined line do not count
toward the stage-wide limit; but a second line that reaches quarantine without a success in between does.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from siad.contracts.ids import SLUG

UNNAMED: Final = "?"  # line of all records whose key names none; not a slug, so no real line
LINES_MAX: Final = 1000  # lines counted: keys are the producer's choice and must not fill the memory


def line_of(key: bytes) -> str:
    """Return the line that a record's key names before its "/"."""
    line = key.decode("utf-8", "replace").partition("/")[0]
    return line if SLUG.fullmatch(line) else UNNAMED


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """What the results of one work item changed, by line."""

    quarantined: tuple[str, ...] = ()
    lifted: tuple[str, ...] = ()
    has_closed: bool = False  # the breaker, which was open


@dataclass(slots=True, eq=False)
class FailureCounters:
    """Poison of one process since the last success, over all partitions.

    Args:
        poison_max: limit of consecutive poison records.
        trial_every_s: how often one record is tried of a quarantined line, or while the breaker is open.
    """

    poison_max: int
    trial_every_s: float
    is_open: bool = False  # the breaker
    _of_line: dict[str, int] = field(default_factory=dict)  # consecutive poison of that line, the latest last
    _since_success: Counter[str] = field(default_factory=Counter)  # since a success of any line, by line
    _line_trial_s: dict[str, float] = field(default_factory=dict)  # next trial, by quarantined line
    _stage_trial_s: float = 0.0  # next trial while the breaker is open

    @property
    def quarantined(self) -> frozenset[str]:
        """The lines whose records are not handled."""
        return frozenset(self._line_trial_s)

    def may_handle(self, line: str, *, now_s: float) -> bool:
        """Whether a record of ``line`` is to be handled.

        Of a quarantined line this takes its trial.
        """
        if line not in self._line_trial_s:
            return True
        if now_s < self._line_trial_s[line]:
            return False
        self._line_trial_s[line] = now_s + self.trial_every_s
        return True

    def reset_lines(self) -> None:
        """Start anew with every line.

        Another process may read its records from now on.
        """
        for counts in (self._of_line, self._since_success, self._line_trial_s):
            counts.clear()

    def uncount(self, lines: Collection[str], *, now_s: float) -> None:
        """Return the trials of lines whose records gave no result.

        For example, the store was unavailable.
        """
        for line in self._line_trial_s.keys() & set(lines):
            self._line_trial_s[line] = now_s

    def would_open(self, poison: Sequence[str]) -> bool:
        """Whether more poison points at the stage instead of a line.

        ``poison`` is the line of each record; there was no success beside it.
        """
        row = self._since_success + Counter(line for line in poison if line not in self._line_trial_s)
        fresh = sum(count for line, count in row.items() if line not in self._line_trial_s)
        return fresh >= self.poison_max and len(row) > 1

    def open(self, *, now_s: float) -> None:
        """Open the breaker."""
        self.is_open = True
        self._stage_trial_s = now_s + self.trial_every_s

    def take_trial(self, *, now_s: float) -> bool:
        """Whether one record may be tried while the breaker is open.

        This takes the trial.
        """
        if now_s < self._stage_trial_s:
            return False
        self._stage_trial_s = now_s + self.trial_every_s
        return True

    def count(self, *, poison: Sequence[str], handled: Collection[str], now_s: float) -> BreakerChange:
        """Count the results of one work item, by line.

        Successes count as having come last.

        Args:
            poison: the line of each poison record.
            handled: the lines of which at least one record was handled.
            now_s: monotonic.
        """
        has_closed = bool(handled) and self.is_open
        lifted = tuple(line for line in self._line_trial_s if line in handled)
        for line in lifted:
            del self._line_trial_s[line]
        for line in poison:
            if line not in self._line_trial_s:
                self._since_success[line] += 1
                self._count_line(line)
        if handled:
            self.is_open = False
            self._since_success.clear()
            for line in handled:
                self._of_line.pop(line, None)
        bad = tuple(line for line in dict.fromkeys(poison) if self._of_line.get(line, 0) >= self.poison_max)
        for line in bad:
            del self._of_line[line]
            self._line_trial_s[line] = now_s + self.trial_every_s
        return BreakerChange(quarantined=bad, lifted=lifted, has_closed=has_closed)

    def _count_line(self, line: str) -> None:
        self._of_line[line] = self._of_line.pop(line, 0) + 1
        if len(self._of_line) > LINES_MAX:
            del self._of_line[next(iter(self._of_line))]
