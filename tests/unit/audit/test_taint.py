"""Lineage of weights, and quarantine of all that descends from a root."""

import pytest

from siad.audit.lineage import read_lineage
from siad.audit.rollback import read_rollback
from siad.audit.taint import TaintRoot, apply_taint, find_root, plan_taint
from siad.contracts import keys
from siad.contracts.documents import TrainingSetMembers
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.manifest import Manifest, part_of
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.quarantine import TaintedKind
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.quarantine import Quarantine
from siad.runtime.store.registry import Registry
from tests.events import NOON
from tests.manifests import make_manifest

LINE, PRODUCT = "l", "p"
PLACE = Place(LINE, PRODUCT)
A, B, C, D = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)
PART = b"part"


class Plant:
    """Two teachers and three segmenters of one line.

    Teacher one learned A, teacher two A and B. Segmenter one was taught by teacher one on captures C, segmenter two by
    teacher two on C and D with a correction of D, segmenter three by teacher one on C.
    """

    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
        self.blobs.put(keys.line_pointer_key(LINE), b"{}")
        for capture in (A, B, C, D):
            self.blobs.put(keys.capture_key(LINE, capture), b"{}")
        self.blobs.put(keys.correction_key(LINE, D, 1), b"{}")
        self.teachers = [self.teacher(1.0, A), self.teacher(2.0, A, B)]
        one, two = self.teachers
        self.segmenters = [
            self.segmenter("1" * 64, one, C),
            self.segmenter("2" * 64, two, C, D, corrections=(f"{D}-1",)),
            self.segmenter("3" * 64, one, C),
        ]

    def teacher(self, threshold: float, *normals: str) -> str:
        return self.release(
            make_manifest(
                line=LINE, product=PRODUCT, parts=(part_of("bank", PART),), image_threshold=threshold, normals=normals
            )
        )

    def segmenter(self, digest: str, teacher: str, *captures: str, corrections: tuple[str, ...] = ()) -> str:
        members = TrainingSetMembers(captures=captures, corrections=corrections, teachers=(teacher,))
        self.blobs.put(keys.training_set_members_key(LINE, PRODUCT, digest), members.to_json())
        return self.release(
            make_manifest(
                kind=WeightsKind.SEGMENTER,
                line=LINE,
                product=PRODUCT,
                parts=(part_of("bank", PART),),
                training_set=digest,
                parent=teacher,
                normals=(),
            )
        )

    def release(self, manifest: Manifest) -> str:
        registry = Registry(self.blobs)
        registry.store(manifest, {"bank": PART})
        registry.point(manifest, expected=registry.pointer(manifest.kind, PLACE), released_at=NOON)
        return manifest.weights

    def taint(self, text: str) -> list[Pointer]:
        root = find_root(self.blobs, text)
        return apply_taint(self.blobs, plan_taint(self.blobs, root), reason="odd", now=NOON)

    def pointer(self, kind: WeightsKind) -> Pointer:
        pointer = Registry(self.blobs).pointer(kind, PLACE)
        assert pointer is not None
        return pointer

    def descendants(self, kind: TaintedKind, subject: str) -> set[str]:
        plan = plan_taint(self.blobs, TaintRoot(line=LINE, kind=kind, subject=subject))
        return {one.weights for one in plan.descendants}


def test_weights_know_what_they_learned_from() -> None:
    plant = Plant()
    one = read_lineage(plant.blobs, LINE).weights[plant.segmenters[1]]
    assert (one.training_set, one.teachers, one.corrections) == ("2" * 64, (plant.teachers[1],), (f"{D}-1",))
    assert one.learned == {C, D}
    assert one.state == "served before"
    assert read_lineage(plant.blobs, LINE).weights[plant.segmenters[2]].state == "serving"


def test_descendants_of_captures_teachers_and_corrections() -> None:
    plant = Plant()
    one, two, three = plant.segmenters
    assert plant.descendants(TaintedKind.WEIGHTS, plant.teachers[0]) == {one, three}
    assert plant.descendants(TaintedKind.WEIGHTS, plant.teachers[1]) == {two}
    assert plant.descendants(TaintedKind.CAPTURE, B) == {plant.teachers[1], two}
    assert plant.descendants(TaintedKind.CAPTURE, A) == {*plant.teachers, *plant.segmenters}
    assert plant.descendants(TaintedKind.CAPTURE, D) == {two}
    assert plant.descendants(TaintedKind.CORRECTION, f"{D}-1") == {two}
    assert plant.descendants(TaintedKind.WEIGHTS, three) == set()


def test_a_fast_segmenter_descends_from_the_residual_whose_map_it_learned() -> None:
    plant = Plant()
    slow = plant.segmenters[1]
    fast = plant.release(
        make_manifest(
            kind=WeightsKind.SEGMENTER,
            line=LINE,
            product=PRODUCT,
            parts=(part_of("bank", PART),),
            training_set="3" * 64,
            parent=plant.teachers[0],
            normals=(),
            distilled=slow,
        )
    )
    assert plant.descendants(TaintedKind.WEIGHTS, slow) == {fast}
    assert fast in plant.descendants(TaintedKind.CAPTURE, D)  # which only the residual learned
    assert read_lineage(plant.blobs, LINE).weights[fast].teachers == tuple(sorted((plant.teachers[0], slow)))


def test_a_line_goes_back_to_its_newest_other_weights() -> None:
    plant = Plant()
    [pointer] = plant.taint(plant.teachers[0])
    assert (pointer.kind, pointer.weights) == (WeightsKind.SEGMENTER, plant.segmenters[1])
    assert plant.pointer(WeightsKind.TEACHER).weights == plant.teachers[1]
    quarantine = Quarantine(plant.blobs)
    assert quarantine.read(LINE).weights == {plant.teachers[0], plant.segmenters[0], plant.segmenters[2]}
    record = quarantine.record(LINE, TaintedKind.WEIGHTS, plant.segmenters[2])
    assert record is not None
    assert (record.root, record.reason) == (plant.teachers[0], "odd")


def test_a_teacher_goes_back_and_a_segmenter_is_withdrawn_to_it() -> None:
    plant = Plant()
    plant.taint(f"{D}-1")
    plant.taint(C)  # all segmenters
    assert plant.pointer(WeightsKind.SEGMENTER).status is SegmenterStatus.WITHDRAWN
    [pointer] = plant.taint(B)
    assert (pointer.kind, pointer.weights) == (WeightsKind.TEACHER, plant.teachers[0])
    with pytest.raises(LookupError, match="no earlier teacher"):
        read_rollback(plant.blobs, PLACE, barred=Quarantine(plant.blobs).read(LINE).weights)


def test_where_nothing_can_take_its_place_a_teacher_stays_and_it_is_said() -> None:
    plant = Plant()
    plan = plan_taint(plant.blobs, find_root(plant.blobs, A[:8]))
    assert [pointer.weights for pointer in plan.stay] == [plant.teachers[1]]
    assert plan.retrained == (PRODUCT,)
    [move] = plan.moves
    assert (move.status, move.judges) == (SegmenterStatus.WITHDRAWN, plant.teachers[1])


def test_a_repeat_after_a_crash_completes_and_changes_nothing_more() -> None:
    plant = Plant()
    root = find_root(plant.blobs, plant.teachers[0])
    plan = plan_taint(plant.blobs, root)
    first = apply_taint(plant.blobs, plan, reason="odd", now=NOON)
    again = apply_taint(plant.blobs, plan_taint(plant.blobs, root), reason="again", now=NOON)
    assert len(first) == 1
    assert again == []
    record = Quarantine(plant.blobs).record(LINE, TaintedKind.WEIGHTS, plant.teachers[0])
    assert record is not None
    assert record.reason == "odd"


@pytest.mark.parametrize(
    ("text", "reason"), [("ffff", "no capture"), (f"{D}-7", "no correction 7"), ("xy", "not an id")]
)
def test_what_does_not_exist_is_said(text: str, reason: str) -> None:
    with pytest.raises((LookupError, ValueError), match=reason):
        find_root(Plant().blobs, text)
