"""What the line reached before, as the gate is shown it."""

from dataclasses import replace

from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from services.trainer.job.evidence import best_pixel_aps, held_out, kind_of, with_history
from services.trainer.job.store import read_accepted_reports
from siad.contracts.keys import run_judgement_key, run_report_key
from siad.contracts.release_evidence import EvidenceKind
from siad.contracts.training_runs import CandidateJudgement, RunOutcome
from siad.runtime.blobs.memory import MemoryBlobs
from siad.vision.gate import judge_release
from tests.unit.trainer.test_judge import NOON, REPORT, SPEC
from tests.unit.vision.test_gate import CORRECTED, SCORES, evidence, marked

ALL = SCORES + (0.5,) * 3 + (1.5,) * 3
FAMILIES = ("",) * 43 + ("1",) * 3


def close(blobs: MemoryBlobs, run: str, outcome: RunOutcome, pixel_ap: float) -> None:
    made = marked(evidence(ALL, ALL, kinds=CORRECTED, families=FAMILIES), (pixel_ap,) * 3, (0.5,) * 3)
    judgement = CandidateJudgement(run=run, outcome=outcome, reason="", weights="", judged_at=NOON)
    blobs.put(run_judgement_key(run), judgement.to_json())
    blobs.put(run_report_key(run), replace(REPORT, run=run, evidence=made).to_json())


def test_small_losses_do_not_add_up_over_releases() -> None:
    blobs = MemoryBlobs()
    for number, (outcome, found) in enumerate(
        [(RunOutcome.ACCEPTED, 0.60), (RunOutcome.ACCEPTED, 0.58), (RunOutcome.REFUSED, 0.9)], start=1
    ):
        close(blobs, f"l.p.{number:06d}", outcome, found)
    blobs.put(run_judgement_key("l.p.000005"), b"{")  # is logged and left out
    spec = replace(SPEC, run="l.p.000009")
    reports = read_accepted_reports(blobs, spec)
    assert set(best_pixel_aps(reports).values()) == {0.60}
    now = marked(evidence(ALL, ALL, kinds=CORRECTED, families=FAMILIES), (0.56,) * 3, (0.56,) * 3)
    assert judge_release(now).accepted  # level with what serves
    decision = judge_release(with_history(now, reports, serving=""))
    assert not decision.accepted
    assert "pixel AP 0.560 on the 3 defects of family 1, best 0.600" in decision.text


def test_the_balance_of_the_serving_candidate_goes_on() -> None:
    lost = replace(evidence(SCORES), merit_balance=-0.006)
    reports = [replace(REPORT, weights="1" * 64), replace(REPORT, weights="2" * 64, evidence=lost)]
    now = evidence(SCORES)
    assert with_history(now, reports, serving="2" * 64).merit_balance == -0.006
    assert with_history(now, reports, serving="1" * 64).merit_balance == 0  # its report has no evidence
    assert with_history(now, reports, serving="3" * 64).merit_balance == 0  # the teacher, or a first segmenter


def test_what_the_gate_is_shown_of_held_out_members() -> None:
    cases = {
        "a": (MemberRole.NORMAL, MemberUse.CHECK, 0, EvidenceKind.NORMAL),
        "b": (MemberRole.NORMAL, MemberUse.TRAIN, 0, None),
        "c": (MemberRole.NORMAL, MemberUse.CHECK, 0, None),  # a memory has it
        "d": (MemberRole.NORMAL, MemberUse.CHECK, 1, EvidenceKind.GOOD),
        "e": (MemberRole.DEFECT, MemberUse.CHECK, 1, EvidenceKind.DEFECT),
        "f": (MemberRole.DEFECT, MemberUse.CALIBRATE, 0, EvidenceKind.STREAM),
        "g": (MemberRole.UNCLEAR, MemberUse.CHECK, 0, EvidenceKind.STREAM),
    }
    blank = TrainingMember(
        capture_id="",
        image_id="",
        image_uri="",
        mask_uri="",
        mask_sha256="",
        role=MemberRole.NORMAL,
        use=MemberUse.CHECK,
        weight=1.0,
    )
    members = tuple(
        replace(blank, capture_id=name, role=role, use=use, revision=revision)
        for name, (role, use, revision, _) in cases.items()
    )
    shown = {one.capture_id: kind_of(one) for one in held_out(TrainingSet(members=members), {"c"})}
    assert shown == {name: kind for name, (*_, kind) in cases.items() if kind is not None}
