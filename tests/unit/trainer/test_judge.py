"""Whether a candidate may serve."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.trainer.domain.judge import JudgePolicy, abandon, judge
from siad.contracts.errors import CorruptError
from siad.contracts.training_runs import CandidateJudgement, RunOutcome, RunReport, RunSpec, RunState, SegmenterFigures
from tests.unit.vision.test_gate import evidence

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
GOOD = SegmenterFigures(normals=40, defects=12, false_rejects=2, detected=10, image_auroc=0.95, pixel_ap=0.6)
SPEC = RunSpec(
    run="l.p.000001",
    line="l",
    product="p",
    training_set="0" * 64,
    teacher="1" * 64,
    serving="",
    ledger_until_at=NOON,
    false_reject_budget=0.05,
    input_px=256,
    epochs=15,
    train_s=45.0,
    frozen_at=NOON,
)
REPORT = RunReport(
    run="l.p.000001",
    weights="2" * 64,
    candidate=GOOD,
    serving=None,
    epochs=15,
    resumed_from_epoch=0,
    seconds=30.0,
    device="cpu",
)

EVIDENT = replace(REPORT, evidence=evidence((0.5, 1.5), (0.4, 1.6)))


def judged(candidate: SegmenterFigures, serving: SegmenterFigures | None = None) -> CandidateJudgement:
    return judge(SPEC, replace(REPORT, candidate=candidate, serving=serving), policy=JudgePolicy(), now=NOON)


def test_a_good_first_candidate_is_accepted_with_its_figures() -> None:
    judgement = judged(GOOD)
    assert judgement.outcome is RunOutcome.ACCEPTED
    assert judgement.weights == REPORT.weights
    assert "image AUROC 0.950" in judgement.reason
    assert "rejects 2 of 40" in judgement.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image_auroc": 0.84}, "image AUROC 0.840 is under 0.850 (floor)"),
        ({"pixel_ap": 0.1}, "pixel AP 0.100 is under 0.150 (floor)"),
        ({"false_rejects": 9}, "rejects 9 of 40 good captures, budget 0.05"),
    ],
)
def test_a_weak_first_candidate_is_refused_with_the_figure(change: dict[str, float], reason: str) -> None:
    judgement = judged(replace(GOOD, **change))  # type: ignore[arg-type]
    assert judgement.outcome is RunOutcome.REFUSED
    assert reason in judgement.reason


def test_false_rejects_that_chance_explains_are_forgiven() -> None:
    assert judged(replace(GOOD, false_rejects=4)).outcome is RunOutcome.ACCEPTED  # 0.14 within budget
    assert judged(replace(GOOD, false_rejects=6)).outcome is RunOutcome.REFUSED  # 0.014


def test_a_candidate_is_held_against_what_serves_on_the_same_captures() -> None:
    assert judged(GOOD, replace(GOOD, image_auroc=0.97)).outcome is RunOutcome.ACCEPTED
    behind = judged(GOOD, replace(GOOD, image_auroc=0.99))
    assert behind.outcome is RunOutcome.REFUSED
    assert "image AUROC 0.950 is under 0.960 (serving segmenter less slack)" in behind.reason
    assert judged(GOOD, replace(GOOD, pixel_ap=0.8)).outcome is RunOutcome.REFUSED


def test_all_that_speaks_against_a_candidate_is_told() -> None:
    reason = judged(replace(GOOD, image_auroc=0.5, pixel_ap=0.0, false_rejects=20)).reason
    assert reason.count(";") == 2


def test_a_candidate_with_evidence_is_judged_by_the_gate_alone() -> None:
    scores = tuple(index / 20 for index in range(40))
    level = evidence(scores, scores)
    weak = replace(REPORT, candidate=replace(GOOD, image_auroc=0.5), evidence=level)  # by the teacher's own labels
    judgement = judge(SPEC, weak, policy=JudgePolicy(), now=NOON)
    assert judgement.outcome is RunOutcome.ACCEPTED
    assert "correlation 1.000" in judgement.reason
    shuffled = replace(REPORT, evidence=evidence(scores[::-1], scores))
    refused = judge(SPEC, shuffled, policy=JudgePolicy(), now=NOON)
    assert refused.outcome is RunOutcome.REFUSED
    assert "correlation -1.000" in refused.reason


def test_a_run_without_a_candidate_is_written_off() -> None:
    run = RunState(spec=SPEC, report=None, judgement=None, attempts=4, last_attempt_at=NOON)
    judgement = abandon(run, now=NOON)
    assert (judgement.outcome, judgement.weights) == (RunOutcome.FAILED, "")
    assert judgement.reason == "4 starts of its job ended without a report; see the job's log"
    known = abandon(replace(run, failure="pod p has no node"), now=NOON)
    assert known.reason == "4 starts of its job ended without a report; the last: pod p has no node"


@pytest.mark.parametrize("record", [SPEC, REPORT, replace(REPORT, serving=GOOD), EVIDENT, judged(GOOD)])
def test_a_record_comes_back_as_it_was(record: RunSpec | RunReport | CandidateJudgement) -> None:
    assert type(record).from_json(record.to_json()) == record


def test_bytes_that_are_no_record_are_refused() -> None:
    with pytest.raises(CorruptError, match="2 bytes are not a RunSpec"):
        RunSpec.from_json(b"{}")
