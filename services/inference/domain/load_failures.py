"""Failed loads: reasons and retry times. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from services.inference.domain.releases import ReleasePointer
from siad.contracts.place import Place


class FailureKind(StrEnum):
    """Why weights were not loaded; the label ``fate`` of the metric."""

    REFUSED = "refused"  # the bundle is damaged, of another version, or misses its golden outputs
    TRANSIENT = "transient"  # store unavailable or access denied, or out of memory
    BUG = "bug"  # any other exception; logged with its traceback


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """The last failed attempt to load one release."""

    kind: FailureKind
    reason: str
    attempts: int  # in a row
    retry_at_s: float  # monotonic clock


@dataclass(slots=True)
class LoadFailures:
    """Failed releases of all lines.

    An entry belongs to one revision of a pointer: a newer revision is tried at once.
    """

    _by_release: dict[ReleasePointer, LoadFailure] = field(default_factory=dict)

    def attempts(self, release: ReleasePointer) -> int:
        """Failed attempts in a row."""
        failure = self._by_release.get(release)
        return 0 if failure is None else failure.attempts

    def record(self, release: ReleasePointer, failure: LoadFailure) -> None:
        """Leave a release out until its retry is due."""
        self._by_release[release] = failure

    def clear(self, release: ReleasePointer) -> None:
        """Drop the entry of a release that was loaded."""
        self._by_release.pop(release, None)

    def clear_superseded(self, newest: ReleasePointer) -> None:
        """Drop the entries of older revisions of a pointer."""
        pointer = (newest.place, newest.kind)
        for old in [old for old in self._by_release if (old.place, old.kind) == pointer]:
            if old.revision < newest.revision:
                del self._by_release[old]

    def not_due(self, place: Place, *, now_s: float) -> frozenset[ReleasePointer]:
        """Releases of a place that must not be tried yet."""
        return frozenset(release for release, failure in self._of(place) if failure.retry_at_s > now_s)

    def next_retry_s(self, place: Place, *, now_s: float) -> float | None:
        """Next retry time of a place; None if none is waiting."""
        waiting = [failure.retry_at_s for _, failure in self._of(place) if failure.retry_at_s > now_s]
        return min(waiting, default=None)

    def transient_reason(self, place: Place) -> str | None:
        """Reason of a place's transient failure; None if there is none."""
        reasons = (failure.reason for _, failure in self._of(place) if failure.kind is FailureKind.TRANSIENT)
        return next(reasons, None)

    def _of(self, place: Place) -> Iterator[tuple[ReleasePointer, LoadFailure]]:
        return ((release, failure) for release, failure in self._by_release.items() if release.place == place)
