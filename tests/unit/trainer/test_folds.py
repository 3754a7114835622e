"""Which answers a candidate is trained without, so that the gate can compare on them."""

from dataclasses import replace

from services.trainer.domain.folds import ANSWERS_MIN, FOLDS, answer_folds
from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet

BLANK = TrainingMember(
    capture_id="",
    image_id="",
    image_uri="",
    mask_uri="",
    mask_sha256="",
    role=MemberRole.NORMAL,
    use=MemberUse.TRAIN,
    weight=1.0,
    revision=1,
)


def answers(goods: int, defects: int) -> TrainingSet:
    good = [replace(BLANK, capture_id=f"good-{index}") for index in range(goods)]
    bad = [replace(BLANK, capture_id=f"defect-{index}", role=MemberRole.DEFECT) for index in range(defects)]
    return TrainingSet(members=(*good, *bad))


def test_every_answer_is_in_one_fold_and_kinds_are_spread_alike() -> None:
    folds = answer_folds(answers(6, 9), taught=())
    assert len(folds) == FOLDS
    assert frozenset().union(*folds) == {one.capture_id for one in answers(6, 9).members}
    assert sum(map(len, folds)) == 15
    assert [sum(name.startswith("defect") for name in fold) for fold in folds] == [3, 3, 3]


def test_the_folds_do_not_depend_on_the_order() -> None:
    members = answers(5, 6).members
    assert answer_folds(TrainingSet(members=members[::-1]), taught=()) == answer_folds(answers(5, 6), taught=())


def test_what_serves_learned_what_is_held_out_and_what_no_person_said_are_in_none() -> None:
    others = (
        replace(BLANK, capture_id="normal", revision=0),
        replace(BLANK, capture_id="held out", use=MemberUse.CHECK),
    )
    folds = answer_folds(TrainingSet(members=(*answers(4, 5).members, *others)), taught={"good-0", "defect-1"})
    assert frozenset().union(*folds) == {one.capture_id for one in answers(4, 5).members} - {"good-0", "defect-1"}


def test_few_answers_have_no_folds() -> None:
    assert not answer_folds(answers(2, ANSWERS_MIN - 3), taught=())
    assert answer_folds(answers(2, ANSWERS_MIN - 2), taught=())
