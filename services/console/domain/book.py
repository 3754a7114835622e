"""Corrections in memory: the newest of every capture, and which are published."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from siad.contracts.corrections import CaptureCorrected, Selection

SHOWN_MAX: Final = 10_000  # captures of which the console remembers why it showed them


@dataclass(frozen=True, slots=True, order=True)
class CorrectionId:
    """One revision of a capture's correction."""

    line: str
    capture_id: str
    revision: int

    @classmethod
    def of(cls, correction: CaptureCorrected) -> "CorrectionId":
        """Return the identity of a correction."""
        return cls(correction.line, correction.capture_id, correction.revision)


class CorrectionBook:
    """The newest correction of every capture, and which are published."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[str, CaptureCorrected]] = {}
        self._published: set[CorrectionId] = set()
        self._outstanding: dict[CorrectionId, CaptureCorrected] = {}

    def add(self, correction: CaptureCorrected, *, is_published: bool) -> None:
        """Enter one revision.

        A repeat, or a lower one that is late, only changes what is outstanding.
        """
        captures = self._lines.setdefault(correction.line, {})
        held = captures.get(correction.capture_id)
        if held is None or correction.revision > held.revision:
            captures[correction.capture_id] = correction
        name = CorrectionId.of(correction)
        if is_published:
            self._published.add(name)
            self._outstanding.pop(name, None)
        elif name not in self._published:
            self._outstanding[name] = correction

    def restore(self, published: Iterable[CorrectionId]) -> None:
        """Enter what is known to be on the topic, from the projection."""
        self._published.update(published)

    def is_published(self, correction: CaptureCorrected) -> bool:
        """Whether this revision is known to be on the topic."""
        return CorrectionId.of(correction) in self._published

    def latest(self, line: str) -> Mapping[str, CaptureCorrected]:
        """Return the newest correction of each capture of a line."""
        return dict(self._lines.get(line, {}))

    def outstanding(self) -> list[CaptureCorrected]:
        """Return what is stored and not published, by revision."""
        return [self._outstanding[name] for name in sorted(self._outstanding)]

    def unread(self, stored: Collection[CorrectionId]) -> list[CorrectionId]:
        """Return the stored revisions that the book has not seen published."""
        return sorted(set(stored) - self._published)

    def keep_stored(self, stored: Collection[CorrectionId]) -> None:
        """Drop corrections whose records were erased or have expired."""
        captures = {(name.line, name.capture_id) for name in stored}
        for line, held in self._lines.items():
            self.drop(line, [capture_id for capture_id in held if (line, capture_id) not in captures])

    def drop(self, line: str, captures: Collection[str]) -> None:
        """Remove captures, which were erased."""
        gone = set(captures)
        for capture_id in gone:
            self._lines.get(line, {}).pop(capture_id, None)
        for name in [name for name in self._outstanding if name.line == line and name.capture_id in gone]:
            del self._outstanding[name]


class ShownCaptures:
    """Why the console showed captures, for answers that don't say it."""

    def __init__(self) -> None:
        self._shown: dict[tuple[str, str], Selection] = {}

    def add(self, line: str, capture_id: str, selection: Selection) -> None:
        """Remember a capture; the one shown longest ago is forgotten for it."""
        self._shown.pop((line, capture_id), None)
        self._shown[line, capture_id] = selection
        if len(self._shown) > SHOWN_MAX:
            del self._shown[next(iter(self._shown))]

    def why(self, line: str, capture_id: str) -> Selection | None:
        """Return why a capture was shown last; None where it was not."""
        return self._shown.get((line, capture_id))
