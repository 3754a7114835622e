"""The simulated reviewer: which captures it is shown, and what it answers."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from services.trainer.domain.freeze import freeze
from services.trainer.domain.training_set import FreezePolicy, MemberRole, MemberUse, TrainingSet
from siad.apps.lab.evaluate.folder import LabelledSample
from siad.apps.lab.routine.captures import Answer, PseudoLabel, capture_id, name_captures
from siad.apps.lab.routine.reviewer import answer_captures
from siad.contracts.corrections import CorrectionVerdict, Selection

SIDE = 8


def label_of(path: Path, kind: str, score: float) -> PseudoLabel:
    """A pseudo-label whose teacher marked the left half; the defect is in the right one."""
    cv2.imwrite(str(path), np.full((SIDE, SIDE), int(10 * score), np.uint8))
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[:, SIDE // 2 :] = 255
    mask_path = path.with_suffix(".mask.png")
    cv2.imwrite(str(mask_path), truth)
    return PseudoLabel(
        sample=LabelledSample(path=path, kind=kind, mask_paths=() if kind == "good" else (mask_path,)),
        score=score,
        threshold=1.0,
        weights="a" * 64,
        defect_ratio=0.5 if score >= 1 else 0.0,
        confidence=1.0,
        mask_HW=255 - truth if score >= 1 else np.zeros((SIDE, SIDE), np.uint8),
    )


@pytest.fixture
def labels(tmp_path: Path) -> list[PseudoLabel]:
    """Forty captures with scores of 0.1 to 4; every third is defective, whatever its score."""
    return [
        label_of(tmp_path / f"{index}.png", "good" if index % 3 else "crack", (index + 1) / 10) for index in range(40)
    ]


def test_most_captures_shown_are_near_the_threshold_and_one_in_ten_is_drawn(labels: list[PseudoLabel]) -> None:
    answers = answer_captures(labels, count=10, salt="0")
    assert len(answers) == 10
    nearest = [one.shown.score for one in answers if one.selection is Selection.NEAREST]
    assert len(nearest) == 9
    assert max(abs(np.log(score)) for score in nearest) < np.log(2)


def test_answers_are_the_folder_s_labels_with_its_masks(labels: list[PseudoLabel]) -> None:
    for answer in answer_captures(labels, count=20, salt="0"):
        if answer.shown.sample.kind == "good":
            assert (answer.verdict, answer.mask_HW) == (CorrectionVerdict.GOOD, None)
        else:
            assert answer.verdict is CorrectionVerdict.DEFECT
            assert answer.mask_HW is not None
            assert answer.mask_HW[0].tolist() == [0] * 4 + [255] * 4


def frozen(labels: list[PseudoLabel], answers: list[Answer]) -> TrainingSet:
    captures = name_captures([], labels, answers, salt="0")
    policy = FreezePolicy(normals_min=0, defects_min=0, held_out_defects_min=0, held_out_goods_min=0)
    chosen = freeze(captures.rows, captures.normals, captures.corrections, teachers=["a" * 64], policy=policy)
    assert isinstance(chosen, TrainingSet)
    return chosen


def test_what_was_answered_replaces_what_the_teacher_marked(labels: list[PseudoLabel]) -> None:
    answers = answer_captures(labels, count=20, salt="0")
    captures = name_captures([], labels, answers, salt="0")
    by_id = {capture_id("0", one.shown.sample): one for one in answers}
    corrected = [member for member in frozen(labels, answers).members if member.is_corrected]
    assert {member.capture_id for member in corrected} == by_id.keys()
    for member, (_, mask_hw) in captures.look(corrected):
        answer = by_id[member.capture_id]
        assert (member.role is MemberRole.DEFECT) == answer.shown.sample.is_defect
        assert mask_hw is None if answer.mask_HW is None else mask_hw is answer.mask_HW


def test_pseudo_masks_of_the_others_are_those_of_the_teacher(labels: list[PseudoLabel]) -> None:
    captures = name_captures([], labels, [], salt="0")
    marked = [member for member in frozen(labels, []).members if member.role is MemberRole.DEFECT]
    assert any(member.use is MemberUse.TRAIN and member.has_pixels for member in marked)
    for _, (_, mask_hw) in captures.look(marked):
        assert mask_hw is not None
        assert mask_hw[0].tolist() == [255] * 4 + [0] * 4
