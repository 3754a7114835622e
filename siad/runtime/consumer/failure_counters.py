"""What poison in a row says: that one line went bad, or that the stage did. Pure: no I/O, no clock.

So many in a row from one line, and that line is quarantined: the others go on. So many in a row over several lines,
and nothing that worked between them, and it is not the lines that are at fault: the stage must stop before it buries
what is good. A line in quarantine has had its say: its records add nothing to the row of the stage, but another line
that goes the same way without anything that worked in between makes two.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from siad.contracts.ids import SLUG

UNNAMED: Final = "?"  # the line of all records whose key names none; no slug, so nobody's
LINES_MAX: Final = 1000  # streaks kept: keys are a stranger's choice, and must not fill the memory


def line_of(key: bytes) -> str:
    """The line that a record's key says it is from: what stands before "/"."""
    line = key.decode("utf-8", "replace").partition("/")[0]
    return line if SLUG.fullmatch(line) else UNNAMED


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """What one answer has changed, by line."""

    quarantined: tuple[str, ...] = ()
    lifted: tuple[str, ...] = ()
    goes_on: bool = False  # the stage, which stood still


@dataclass(slots=True, eq=False)
class FailureCounters:
    """The poison of one stage's process, over all its partitions, since something last worked.

    Args:
        poison_max: in a row; so many are too many.
        every_s: so often one record of a quarantined line is tried, or one of a stage that stands still.
    """

    poison_max: int
    every_s: float
    is_stopped: bool = False
    _of_line: dict[str, int] = field(default_factory=dict)  # in a row from that line, the freshest last
    _row: Counter[str] = field(default_factory=Counter)  # since anything worked, by line
    _next_try_s: dict[str, float] = field(default_factory=dict)  # of the lines in quarantine
    _next_turn_s: float = 0.0  # of the stage, while it stands still

    @property
    def quarantined(self) -> frozenset[str]:
        """The lines whose records are not handled."""
        return frozenset(self._next_try_s)

    def admits(self, line: str, *, now_s: float) -> bool:
        """Whether a record of ``line`` is to be handled; asking takes the turn of a line in quarantine."""
        if line not in self._next_try_s:
            return True
        if now_s < self._next_try_s[line]:
            return False
        self._next_try_s[line] = now_s + self.every_s
        return True

    def forget_lines(self) -> None:
        """Begin anew with every line: its records may be another process's from now on."""
        for kept in (self._of_line, self._row, self._next_try_s):
            kept.clear()

    def give_back(self, lines: Collection[str], *, now_s: float) -> None:
        """Nothing was learnt of these lines (the store was away, say): the turn is theirs again."""
        for line in self._next_try_s.keys() & set(lines):
            self._next_try_s[line] = now_s

    def would_stop(self, spoilt: Sequence[str]) -> bool:
        """Whether so much more poison, by line, and nothing that worked beside it, is no line's fault any more."""
        row = self._row + Counter(line for line in spoilt if line not in self._next_try_s)
        fresh = sum(count for line, count in row.items() if line not in self._next_try_s)
        return fresh >= self.poison_max and len(row) > 1

    def stop(self, *, now_s: float) -> None:
        """The stage stands still from here on."""
        self.is_stopped = True
        self._next_turn_s = now_s + self.every_s

    def takes_turn(self, *, now_s: float) -> bool:
        """Whether a stage that stands still may try one record now; asking takes the turn."""
        if now_s < self._next_turn_s:
            return False
        self._next_turn_s = now_s + self.every_s
        return True

    def judge(self, *, spoilt: Sequence[str], worked: Collection[str], now_s: float) -> BreakerChange:
        """Take in what came of one parcel, by line; what worked counts as having come last.

        Args:
            spoilt: the line of each record that was poison.
            worked: the lines of which at least one record was handled.
            now_s: monotonic.
        """
        goes_on = bool(worked) and self.is_stopped
        lifted = tuple(line for line in self._next_try_s if line in worked)
        for line in lifted:
            del self._next_try_s[line]
        for line in spoilt:
            if line not in self._next_try_s:
                self._row[line] += 1
                self._count(line)
        if worked:
            self.is_stopped = False
            self._row.clear()
            for line in worked:
                self._of_line.pop(line, None)
        bad = tuple(line for line in dict.fromkeys(spoilt) if self._of_line.get(line, 0) >= self.poison_max)
        for line in bad:
            del self._of_line[line]
            self._next_try_s[line] = now_s + self.every_s
        return BreakerChange(quarantined=bad, lifted=lifted, goes_on=goes_on)

    def _count(self, line: str) -> None:
        self._of_line[line] = self._of_line.pop(line, 0) + 1
        if len(self._of_line) > LINES_MAX:
            del self._of_line[next(iter(self._of_line))]
