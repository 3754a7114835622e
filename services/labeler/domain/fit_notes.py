"""Notes for operators: fits under way, and fits that wait."""

from dataclasses import dataclass, replace
from datetime import datetime

from siad.contracts.place import Place
from siad.contracts.refits import RefitCause


@dataclass(frozen=True, slots=True, kw_only=True)
class FitNote:
    """Fit of one line and product, under way or waiting."""

    line: str
    product: str
    since: datetime | None = None  # when the fit under way began; None: none is
    cause: str = ""  # of that fit
    short_of: str = ""  # why a fit that is due can't begin; empty where it can
    refused: str = ""  # why these normals and settings gave no teacher; empty: they did, or were not tried

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell."""
        return self.since is None and not self.short_of and not self.refused


class FitNotes:
    """Notes of this process; another replica has those of its own fits."""

    def __init__(self) -> None:
        self._notes: dict[Place, FitNote] = {}

    def begin(self, place: Place, cause: RefitCause, *, at: datetime) -> None:
        """Note that a fit is under way."""
        self._notes[place] = replace(self._of(place), since=at, cause=cause.value, refused="")

    def end(self, place: Place, *, refused: str = "") -> None:
        """Note that it ended, and why it gave no teacher."""
        self._notes[place] = replace(self._of(place), since=None, cause="", refused=refused)

    def miss(self, place: Place, short_of: str) -> bool:
        """Note what a fit lacks; return whether that is new.

        Empty for nothing, which is never new.
        """
        before = self._of(place)
        self._notes[place] = replace(before, short_of=short_of)
        return bool(short_of) and short_of != before.short_of

    def all(self) -> list[FitNote]:
        """List what there is to tell, by line and product."""
        return [note for _, note in sorted(self._notes.items()) if not note.is_empty]

    def _of(self, place: Place) -> FitNote:
        return self._notes.get(place, FitNote(line=place.line, product=place.product))
