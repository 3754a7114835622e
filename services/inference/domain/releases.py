"""Which weights are to judge a line and product, and what to do to get there. Pure.

A segmenter judges where there is one, else the teacher; so a teacher's refit never displaces a segmenter. Weights
that were refused are not tried again, and whatever they were to replace goes on.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from siad.core.events import WeightsKind
from siad.core.ids import WeightsId


class Made(NamedTuple):
    """What is judged by one model: a line, and what it makes."""

    line: str
    product: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Where a pointer stood at one revision."""

    made: Made
    kind: WeightsKind
    revision: int
    weights: WeightsId
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """Load this release and let it take over."""

    release: Release


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing may judge here any more."""


@dataclass(slots=True)
class Releases:
    """Every pointer as it now stands, from whichever of its two sources was first with it."""

    _known: dict[tuple[Made, WeightsKind], Release] = field(default_factory=dict)

    def apply(self, release: Release) -> bool:
        """Take in news; False where it is none, because a revision as high is known."""
        key = (release.made, release.kind)
        known = self._known.get(key)
        if known is not None and known.revision >= release.revision:
            return False
        self._known[key] = release
        return True

    def candidates(self, made: Made) -> list[Release]:
        """What may judge, best first."""
        kinds = (WeightsKind.SEGMENTER, WeightsKind.TEACHER)
        known = (self._known.get((made, kind)) for kind in kinds)
        return [release for release in known if release is not None and not release.withdrawn]

    def places(self) -> Iterator[Made]:
        """Every line and product that something was ever released for."""
        yield from dict.fromkeys(made for made, _ in self._known)


def plan(
    candidates: Sequence[Release], *, serving: Release | None, refused: AbstractSet[WeightsId]
) -> Load | Stop | None:
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
            return Load(candidate)
        if serving is not None and serving.kind is candidate.kind:
            return None  # the new ones are refused: the old ones of that kind go on, and not the lesser kind
    return Stop() if serving is not None and not candidates else None
