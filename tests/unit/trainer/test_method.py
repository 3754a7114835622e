"""Which method a line's segmenter is trained by, and what it builds on."""

from dataclasses import replace

import pytest

from services.trainer.domain.method import MethodChoice, choose_method, input_px_of, newest_residual
from services.trainer.domain.size import SizePolicy
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.pointer import Pointer
from siad.contracts.training_runs import CandidateJudgement, RunOutcome, RunState
from tests.events import NOON
from tests.manifests import make_manifest
from tests.unit.trainer.test_judge import SPEC


def test_a_line_gets_the_method_that_it_asks_for() -> None:
    teacher = make_manifest(method="feature-memory")
    assert choose_method("", teacher) == MethodChoice(method="residual")
    assert choose_method("unet", teacher) == MethodChoice(method="unet")
    assert choose_method("fast", teacher) == MethodChoice(method="fast")


def test_a_teacher_that_cannot_be_corrected_gets_a_unet_and_the_reason() -> None:
    choice = choose_method("residual", make_manifest(method="student-teacher"))
    assert choice.method == "unet"
    assert "student-teacher" in choice.note
    assert choose_method("unet", make_manifest(method="student-teacher")).note == ""
    fast = choose_method("fast", make_manifest(method="ensemble"))
    assert (fast.method, "for a fast fit another teacher" in fast.note) == ("unet", True)


def test_a_fast_segmenter_has_the_smaller_input() -> None:
    sides = {method: input_px_of(method, 384, SizePolicy()) for method in ("residual", "fast", "unet")}
    assert sides == {"residual": 384, "fast": 256, "unet": 256}
    assert input_px_of("fast", 128, SizePolicy()) == 64


def run_of(weights: str, method: str = "residual", outcome: RunOutcome = RunOutcome.ACCEPTED) -> RunState:
    judged = CandidateJudgement(run=SPEC.run, outcome=outcome, reason="", weights=weights, judged_at=NOON)
    spec = replace(SPEC, segmenter=method)
    return RunState(spec=spec, report=None, judgement=judged, attempts=1, last_attempt_at=NOON)


RUNS = [run_of("r1"), run_of("r2"), run_of("f1", "fast"), run_of("r3", outcome=RunOutcome.REFUSED)]


@pytest.mark.parametrize(
    ("serves", "history", "rejected", "tainted", "found"),
    [
        ("r2", ("r1",), (), (), "r2"),
        ("f1", ("r2", "r1"), (), (), "r2"),  # a fast one in service: what it learned from, or newer
        ("f1", ("r2", "r1"), ("r2",), (), "r1"),  # taken out of service
        ("f1", ("r2", "r1"), (), ("r2", "r1"), ""),
        ("u1", (), (), (), ""),  # only a U-Net ever served
        ("r1", (), (), (), "r1"),  # r2 was accepted, and waits for its release
    ],
)
def test_the_map_to_learn_is_that_of_the_newest_residual_in_good_standing(
    serves: str, history: tuple[str, ...], rejected: tuple[str, ...], tainted: tuple[str, ...], found: str
) -> None:
    pointer = Pointer(
        kind=WeightsKind.SEGMENTER,
        line="press-1",
        product="lid",
        weights=WeightsId(serves),
        revision=3,
        released_at=NOON,
        status=SegmenterStatus.SERVING,
        history=history,
        rejected=rejected,
    )
    assert newest_residual(pointer, RUNS, tainted) == found
    assert newest_residual(replace(pointer, status=SegmenterStatus.WITHDRAWN), RUNS, tainted) == ""
    assert newest_residual(None, RUNS, tainted) == ""
