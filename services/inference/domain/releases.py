"""Which weights are to judge a line and product, and what to do to get there. Pure.

A segmenter judges where there is one, else the teacher; so a teacher's refit never displaces a segmenter. Weights
that were refused are not tried again, and whatever they were to replace goes on.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePointer:
    """Where a pointer stood at one revision."""

    place: Place
    kind: WeightsKind
    revision: int
    weights: WeightsId
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class LoadWeights:
    """Load this release and let it take over."""

    release: ReleasePointer


@dataclass(frozen=True, slots=True)
class StopServing:
    """Nothing may judge here any more."""


@dataclass(slots=True)
class ReleaseTable:
    """Every pointer as it now stands, from whichever of its two sources was first with it."""

    _known: dict[tuple[Place, WeightsKind], ReleasePointer] = field(default_factory=dict)

    def apply(self, release: ReleasePointer) -> bool:
        """Take in news; False where it is none, because a revision as high is known."""
        key = (release.place, release.kind)
        known = self._known.get(key)
        if known is not None and known.revision >= release.revision:
            return False
        self._known[key] = release
        return True

    def candidates(self, place: Place) -> list[ReleasePointer]:
        """What may judge, best first."""
        kinds = (WeightsKind.SEGMENTER, WeightsKind.TEACHER)
        known = (self._known.get((place, kind)) for kind in kinds)
        return [release for release in known if release is not None and not release.withdrawn]

    def places(self) -> Iterator[Place]:
        """Every line and product that something was ever released for."""
        yield from dict.fromkeys(place for place, _ in self._known)


def plan(
    candidates: Sequence[ReleasePointer], *, serving: ReleasePointer | None, refused: AbstractSet[WeightsId]
) -> LoadWeights | StopServing | None:
    """Say what has to change; None where what serves is to go on.

    Args:
        candidates: what may judge, best first.
        serving: what judges now.
        refused: weights that can't be loaded: wrong bytes, or golden outputs not met.
    """
    for candidate in candidates:
        if serving is not None and candidate.weights == serving.weights:
            return None
        if candidate.weights not in refused:
            return LoadWeights(candidate)
        if serving is not None and serving.kind is candidate.kind:
            return None  # the new ones are refused: the old ones of that kind go on, and not the lesser kind
    return StopServing() if serving is not None and not candidates else None
