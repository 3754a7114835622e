"""How a training set is frozen."""

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.trainer.domain.freeze import freeze
from services.trainer.domain.ledger import LedgerRow
from services.trainer.domain.training_set import (
    FreezePolicy,
    MemberRole,
    MemberUse,
    NormalCapture,
    TooFewCaptures,
    TrainingSet,
    use_of,
)
from siad.contracts.ids import sha256_hex

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
POLICY = FreezePolicy()


def name(number: int) -> str:
    return sha256_hex(str(number).encode())[:32]


def row(number: int, *, score: float, weights: str = "t1") -> LedgerRow:
    return LedgerRow(
        capture_id=name(number),
        image_id=sha256_hex(name(number).encode()),
        image_uri=f"s3://b/images/{number}",
        captured_at=NOON,
        received_at=NOON + timedelta(seconds=number),
        mask_uri=f"s3://b/masks/{number}/{weights}.png",
        mask_sha256="cd" * 32,
        weights=weights,
        score=score,
        threshold=10.0,
        defect_ratio=0.1 if score >= 10 else 0.0,
    )


def rows(count: int = 150) -> list[LedgerRow]:
    """Every third capture is marked; scores spread from 0 to 9 and from 10 to 19."""
    return [row(n, score=(n * 7 % 90) / 10 + n / 10_000 + (10 if n % 3 == 0 else 0)) for n in range(count)]


def normals(count: int = 20) -> list[NormalCapture]:
    return [
        NormalCapture(capture_id=name(-n), image_id=sha256_hex(name(-n).encode()), image_uri="s3://b/n")
        for n in range(1, count + 1)
    ]


def frozen(given: list[LedgerRow], good: list[NormalCapture], policy: FreezePolicy = POLICY) -> TrainingSet:
    chosen = freeze(given, good, teachers=["t2", "t1"], policy=policy)
    assert isinstance(chosen, TrainingSet), chosen
    return chosen


def test_the_same_captures_give_the_same_set_in_whatever_order() -> None:
    shuffled, good = rows(), normals()
    random.Random(1).shuffle(shuffled)
    random.Random(2).shuffle(good)
    assert frozen(shuffled, good) == frozen(rows(), normals())
    assert frozen(shuffled, good).digest == frozen(rows(), normals()).digest


def test_a_repeated_row_changes_nothing() -> None:
    assert frozen([*rows(), *rows()[:40]], normals()).digest == frozen(rows(), normals()).digest


def test_the_digest_tells_any_member_apart() -> None:
    chosen = frozen(rows(), normals())
    first = replace(chosen.members[0], weight=0.123)
    assert TrainingSet(members=(first, *chosen.members[1:])).digest != chosen.digest


def test_a_capture_stays_on_its_side_whatever_comes_later() -> None:
    before = {member.capture_id: member.use for member in frozen(rows(120), normals()).members}
    after = {member.capture_id: member.use for member in frozen(rows(400), normals(60)).members}
    assert all(after[capture] is before[capture] for capture in before.keys() & after.keys())


def test_held_out_are_the_shares_that_were_asked_for() -> None:
    uses = Counter(use_of(name(n), held_out_share=0.3) for n in range(4_000))
    assert uses[MemberUse.TRAIN] / 4_000 == pytest.approx(0.7, abs=0.02)
    assert uses[MemberUse.CHECK] / 4_000 == pytest.approx(0.15, abs=0.02)


def test_what_the_teacher_nearly_marked_or_nearly_passed_is_left_out() -> None:
    given = rows()
    chosen = frozen(given, normals()).members
    kept = {member.capture_id for member in chosen if member.role is not MemberRole.UNCLEAR}
    passed = sorted((one for one in given if not one.is_defect), key=lambda one: one.score)
    marked = sorted((one for one in given if one.is_defect), key=lambda one: one.score)
    assert {one.capture_id for one in passed[:70]} <= kept
    assert not {one.capture_id for one in passed[70:]} & kept
    assert not {one.capture_id for one in marked[:5]} & kept
    assert {one.capture_id for one in marked[5:]} <= kept


def test_the_surer_the_teacher_the_more_a_mask_is_believed() -> None:
    given = [replace(one, confidence=1.0 if one.score > 15 else 0.5) for one in rows()]
    members = frozen(given, normals()).members
    weight = {member.capture_id: member.weight for member in members if member.role is not MemberRole.UNCLEAR}
    drawn = [one for one in given if one.is_defect and one.capture_id in weight]
    assert {weight[one.capture_id] for one in drawn if one.confidence == 1.0} == {1.0}
    assert {weight[one.capture_id] for one in drawn if one.confidence == 0.5} == {0.625}
    assert all(weight[normal.capture_id] == 1.0 for normal in normals())


def test_a_normal_is_good_whatever_a_teacher_drew_on_it() -> None:
    accused = NormalCapture(capture_id=name(0), image_id=rows()[0].image_id, image_uri="s3://b/n")
    members = frozen(rows(), [*normals(), accused]).members
    assert [one.role for one in members if one.capture_id == name(0)] == [MemberRole.NORMAL]


def test_equal_bytes_are_never_on_both_sides() -> None:
    twins = [replace(one, capture_id=name(10_000 + n)) for n, one in enumerate(rows())]
    members = frozen([*rows(), *twins], normals()).members
    assert len({one.image_id for one in members}) == len(members)


def test_the_newest_teacher_has_the_last_word() -> None:
    again = [replace(one, weights="t2", score=1.0, defect_ratio=0.0) for one in rows() if one.capture_id == name(3)]
    assert name(3) in {m.capture_id for m in frozen(rows(), normals()).members if m.role is MemberRole.DEFECT}
    assert name(3) not in {
        m.capture_id for m in frozen([*rows(), *again], normals()).members if m.role is MemberRole.DEFECT
    }
    assert frozen([*again, *rows()], normals()) == frozen([*rows(), *again], normals())


def test_of_too_many_most_are_the_newest_and_half_of_the_room_is_for_defects() -> None:
    policy = replace(POLICY, members_max=120)
    chosen = frozen(rows(900), normals(), policy)
    assert len([one for one in chosen.members if one.role is not MemberRole.UNCLEAR]) == 120
    assert chosen.count(MemberRole.DEFECT) == 50
    order = [name(n) for n in range(900)]
    defects = [order.index(one.capture_id) for one in chosen.members if one.role is MemberRole.DEFECT]
    newest = [number for number in defects if number > 900 - 30 * 3 * 1.5]
    assert len(newest) >= 30  # six in ten are the newest
    for period in range(4):  # the others are of every period before
        assert any(period * 200 <= number < (period + 1) * 200 for number in defects)
    only_new = frozen(rows(900), normals(), replace(policy, older_share=0.0))
    kept = [order.index(one.capture_id) for one in only_new.members if one.role is MemberRole.DEFECT]
    assert min(kept) > 900 - 50 * 3 * 2


def test_of_very_many_normals_a_lasting_hundred_is_taken() -> None:
    first = {one.capture_id for one in frozen(rows(), normals(300)).members if one.role is MemberRole.NORMAL}
    assert len(first) == 100


@pytest.mark.parametrize(
    ("given", "good", "reason"),
    [
        (rows(), normals(9), "normals (has 9 of 10)"),
        ([one for one in rows() if not one.is_defect], normals(), "clear defects for training (has 0 of 8)"),
        ([one for one in rows() if one.is_defect], normals(10), "good captures for"),
        ([], [], "normals (has 0 of 10)"),
    ],
)
def test_what_is_missing_is_told(given: list[LedgerRow], good: list[NormalCapture], reason: str) -> None:
    missing = freeze(given, good, teachers=["t1"], policy=POLICY)
    assert isinstance(missing, TooFewCaptures)
    assert reason in missing.reason


def test_a_defect_without_a_marked_pixel_teaches_nothing() -> None:
    empty = [replace(one, defect_ratio=0.0) if one.is_defect else one for one in rows()]
    missing = freeze(empty, normals(), teachers=["t1"], policy=POLICY)
    assert isinstance(missing, TooFewCaptures)
