"""Rollback: where a line goes back to, and what no plan does afterwards."""

import pytest

from siad.audit.rollback import choose_rollback, find_place, read_rollback, roll_back
from siad.contracts.errors import ConflictError, MissingError
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.keys import line_pointer_key, part_key
from siad.contracts.manifest import Manifest, part_of
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.registry import Registry
from tests.events import NOON
from tests.manifests import make_manifest

PLACE = Place("l", "p")
TEACHER, SEGMENTER = WeightsKind.TEACHER, WeightsKind.SEGMENTER
PART = b"part"


def stored(blobs: MemoryBlobs, kind: WeightsKind, threshold: float, *, product: str = "p") -> Manifest:
    manifest = make_manifest(
        kind=kind, line="l", product=product, parts=(part_of("bank", PART),), image_threshold=threshold
    )
    Registry(blobs).store(manifest, {"bank": PART})
    return manifest


def released(blobs: MemoryBlobs, kind: WeightsKind, *thresholds: float) -> list[str]:
    """Release weights one after another; their names, oldest first."""
    registry = Registry(blobs)
    names: list[str] = []
    for threshold in thresholds:
        manifest = stored(blobs, kind, threshold)
        registry.point(manifest, expected=registry.pointer(kind, PLACE), released_at=NOON)
        names.append(manifest.weights)
    return names


def back(blobs: MemoryBlobs, to: str = "") -> Pointer:
    return roll_back(blobs, read_rollback(blobs, PLACE, to=to), now=NOON)


def test_back_and_back_again_and_then_to_the_teacher() -> None:
    blobs = MemoryBlobs()
    released(blobs, TEACHER, 1.0)
    a, b, c = released(blobs, SEGMENTER, 1.0, 2.0, 3.0)
    assert back(blobs).weights == b
    second = back(blobs)
    assert (second.weights, second.rejected) == (a, (b, c))
    last = back(blobs)
    assert (last.weights, last.status, last.rejected) == (a, SegmenterStatus.WITHDRAWN, (a, b, c))
    with pytest.raises(LookupError, match=r"no earlier teacher.*siad send FILES --line l --intent normal"):
        back(blobs)


def test_a_rollback_may_name_weights_that_were_left_and_they_count_again() -> None:
    blobs = MemoryBlobs()
    released(blobs, TEACHER, 1.0)
    a, b = released(blobs, SEGMENTER, 1.0, 2.0)
    back(blobs)
    again = back(blobs, to=b[:8])
    assert (again.weights, again.status, again.rejected) == (b, SegmenterStatus.SERVING, (a,))


def test_a_withdrawn_segmenter_can_return() -> None:
    blobs = MemoryBlobs()
    [teacher] = released(blobs, TEACHER, 1.0)
    [only] = released(blobs, SEGMENTER, 1.0)
    assert read_rollback(blobs, PLACE).judges == teacher
    back(blobs)
    again = back(blobs, to=only)
    assert (again.weights, again.status, again.rejected) == (only, SegmenterStatus.SERVING, ())


def test_naming_the_teacher_withdraws_the_segmenter() -> None:
    blobs = MemoryBlobs()
    [teacher] = released(blobs, TEACHER, 1.0)
    released(blobs, SEGMENTER, 1.0, 2.0)
    assert back(blobs, to=teacher).status is SegmenterStatus.WITHDRAWN


def test_without_a_segmenter_the_teacher_goes_back() -> None:
    blobs = MemoryBlobs()
    old, new = released(blobs, TEACHER, 1.0, 2.0)
    pointer = back(blobs)
    assert (pointer.kind, pointer.weights, pointer.rejected) == (TEACHER, old, (new,))


def test_a_later_release_keeps_what_was_rejected() -> None:
    blobs = MemoryBlobs()
    released(blobs, TEACHER, 1.0)
    _, b = released(blobs, SEGMENTER, 1.0, 2.0)
    back(blobs)
    released(blobs, SEGMENTER, 4.0)
    found = Registry(blobs).pointer(SEGMENTER, PLACE)
    assert found is not None
    assert found.rejected == (b,)


def test_weights_in_quarantine_are_passed_over_and_refused() -> None:
    blobs = MemoryBlobs()
    released(blobs, TEACHER, 1.0)
    a, b, _ = released(blobs, SEGMENTER, 1.0, 2.0, 3.0)
    assert read_rollback(blobs, PLACE, barred={b}).weights == a
    with pytest.raises(ValueError, match="quarantine"):
        read_rollback(blobs, PLACE, to=b, barred={b})


@pytest.mark.parametrize(("to", "error"), [("0123", LookupError), ("", LookupError)])
def test_there_is_nothing_to_go_back_to(to: str, error: type[Exception]) -> None:
    blobs = MemoryBlobs()
    released(blobs, TEACHER, 1.0)
    with pytest.raises(error, match="nothing was changed"):
        read_rollback(blobs, PLACE, to=to)
    with pytest.raises(LookupError, match="nothing was ever released"):
        choose_rollback(None, None)


def test_what_judges_now_is_no_way_back() -> None:
    blobs = MemoryBlobs()
    released(blobs, TEACHER, 1.0)
    [a] = released(blobs, SEGMENTER, 1.0)
    with pytest.raises(ValueError, match="judge now"):
        read_rollback(blobs, PLACE, to=a)


def test_a_release_meanwhile_wins_and_nothing_is_lost() -> None:
    blobs = MemoryBlobs()
    released(blobs, TEACHER, 1.0)
    released(blobs, SEGMENTER, 1.0, 2.0)
    found = read_rollback(blobs, PLACE)
    [newest] = released(blobs, SEGMENTER, 3.0)
    with pytest.raises(ConflictError):
        roll_back(blobs, found, now=NOON)
    pointer = Registry(blobs).pointer(SEGMENTER, PLACE)
    assert pointer is not None
    assert pointer.weights == newest


def test_weights_without_their_parts_are_refused() -> None:
    blobs = MemoryBlobs()
    released(blobs, TEACHER, 1.0)
    released(blobs, SEGMENTER, 1.0, 2.0)
    blobs.delete(part_key(part_of("bank", PART).sha256))
    with pytest.raises(MissingError, match="lack bank"):
        back(blobs)


def test_a_place_is_the_only_product_or_the_present_one() -> None:
    blobs = MemoryBlobs()
    with pytest.raises(LookupError, match="line 'l' is unknown; no line is registered yet"):
        find_place(blobs, "l", None)
    blobs.put(line_pointer_key("l"), line_document("p"))
    with pytest.raises(LookupError, match="line l has no weights yet"):
        find_place(blobs, "l", None)
    released(blobs, TEACHER, 1.0)
    assert find_place(blobs, "l", None) == PLACE
    with pytest.raises(LookupError, match="for product q"):
        find_place(blobs, "l", "q")
    other = stored(blobs, TEACHER, 1.0, product="q")
    Registry(blobs).point(other, expected=None, released_at=NOON)
    blobs.put(line_pointer_key("l"), line_document("q"))
    assert find_place(blobs, "l", None) == Place("l", "q")


def line_document(product: str) -> bytes:
    from siad.contracts.documents import LineState, write_line
    from tests.events import make_line_changed

    return write_line(LineState(settings=make_line_changed(line="l", product=product)))
