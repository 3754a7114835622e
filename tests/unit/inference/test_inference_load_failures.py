"""Releases that failed to load: until when they are left out."""

from services.inference.domain.load_failures import FailureKind, LoadFailure, LoadFailures
from services.inference.domain.releases import ReleasePointer
from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place

PLACE = Place("line-1", "cell")


def release(weights: str, revision: int, kind: WeightsKind = WeightsKind.SEGMENTER) -> ReleasePointer:
    return ReleasePointer(place=PLACE, kind=kind, revision=revision, weights=WeightsId(weights))


def failure(retry_at_s: float, kind: FailureKind = FailureKind.TRANSIENT) -> LoadFailure:
    return LoadFailure(kind, "store away", attempts=1, retry_at_s=retry_at_s)


def test_a_failed_release_is_left_out_until_its_retry_is_due() -> None:
    failures = LoadFailures()
    failures.record(release("a", 1), failure(10.0))
    assert failures.not_due(PLACE, now_s=9.0) == {release("a", 1)}
    assert failures.next_retry_s(PLACE, now_s=9.0) == 10.0
    assert failures.not_due(PLACE, now_s=10.0) == frozenset()
    assert failures.next_retry_s(PLACE, now_s=10.0) is None


def test_a_newer_revision_starts_afresh_and_leaves_the_other_kind_alone() -> None:
    failures, teacher = LoadFailures(), release("t", 1, WeightsKind.TEACHER)
    failures.record(release("a", 1), failure(10.0))
    failures.record(teacher, failure(10.0))
    failures.clear_superseded(release("a", 2))
    assert failures.not_due(PLACE, now_s=0.0) == {teacher}
    assert failures.attempts(release("a", 2)) == 0


def test_only_a_transient_failure_makes_a_capture_wait() -> None:
    failures = LoadFailures()
    failures.record(release("a", 1), failure(10.0, FailureKind.REFUSED))
    assert failures.transient_reason(PLACE) is None
    failures.record(release("t", 1, WeightsKind.TEACHER), failure(10.0))
    assert failures.transient_reason(PLACE) == "store away"
    assert failures.transient_reason(Place("line-2", "cell")) is None
