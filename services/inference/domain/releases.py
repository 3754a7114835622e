"""Plan of a place: which weights judge, and the next step. Pure.

A segmenter outranks the teacher, so refitting a teacher never displaces a segmenter. A release that failed to load is
left out until its retry is due; until then the weights that are serving answer, or those that they replaced.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePointer:
    """A release pointer at one revision."""

    place: Place
    kind: WeightsKind
    revision: int
    weights: WeightsId
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class LoadWeights:
    """Load this release and serve it."""

    release: ReleasePointer


@dataclass(frozen=True, slots=True)
class StopServing:
    """Take the serving weights out of service: every release was withdrawn."""


@dataclass(slots=True)
class ReleaseTable:
    """The newest revision of every pointer, from events or the store."""

    _newest: dict[tuple[Place, WeightsKind], ReleasePointer] = field(default_factory=dict)
    _unconfirmed: set[tuple[Place, WeightsKind]] = field(default_factory=set)  # of an earlier process

    def restore(self, release: ReleasePointer) -> None:
        """Begin with a release that an earlier process knew.

        The next event or pointer replaces it, whatever its revision: the plant may have been set up anew.
        """
        key = (release.place, release.kind)
        self._newest[key] = release
        self._unconfirmed.add(key)

    def drop_unconfirmed(self) -> list[Place]:
        """Drop restored releases that nothing confirmed; return their places."""
        for key in self._unconfirmed:
            del self._newest[key]
        places = sorted({place for place, _ in self._unconfirmed})
        self._unconfirmed.clear()
        return places

    def apply(self, release: ReleasePointer) -> bool:
        """Record a release; False if this or a newer revision is known."""
        key = (release.place, release.kind)
        newest = self._newest.get(key)
        if key in self._unconfirmed:
            self._unconfirmed.discard(key)
        elif newest is not None and newest.revision >= release.revision:
            return False
        self._newest[key] = release
        return newest != release

    def candidates(self, place: Place) -> list[ReleasePointer]:
        """The releases that may judge, best first; withdrawn ones are left out."""
        kinds = (WeightsKind.SEGMENTER, WeightsKind.TEACHER)
        newest = (self._newest.get((place, kind)) for kind in kinds)
        return [release for release in newest if release is not None and not release.withdrawn]

    def all(self) -> tuple[ReleasePointer, ...]:
        """Return the newest revision of every pointer."""
        return tuple(self._newest.values())

    def places(self) -> Iterator[Place]:
        """Every line and product with a release, withdrawn or not."""
        yield from dict.fromkeys(place for place, _ in self._newest)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceState:
    """The releases of one line and product, and which of them serves."""

    candidates: Sequence[ReleasePointer]  # best first
    serving: ReleasePointer | None = None
    is_loaded: bool = False  # the serving weights are in memory; False after they had to make room
    previous: ReleasePointer | None = None  # served before ``serving``; of the same kind, and never withdrawn
    failed: AbstractSet[ReleasePointer] = frozenset()  # could not be loaded; their retries are not due yet


def plan(state: PlaceState) -> LoadWeights | StopServing | None:
    """Choose the next step; None where there is none.

    For each candidate, best first: load it; if it can't be loaded now, keep or reload the serving weights of its kind;
    if they can't be loaded back, return to the weights that they replaced. A failed load never stops a line.
    """
    serving, previous = state.serving, state.previous
    for candidate in state.candidates:
        incumbents = [old for old in (serving, previous) if old is not None and old.kind is candidate.kind]
        for release in (candidate, *incumbents):
            if serving is not None and state.is_loaded and release.weights == serving.weights:
                return None
            if release not in state.failed:
                return LoadWeights(release)
    if serving is None:
        return None
    if not state.candidates:
        return StopServing()
    # a withdrawn segmenter stays in service while the teacher can't be loaded
    return None if state.is_loaded or serving in state.failed else LoadWeights(serving)
