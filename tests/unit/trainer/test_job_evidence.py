"""What the line reached before, as the gate is shown it."""

from dataclasses import replace

from services.trainer.domain.records import CandidateJudgement, RunOutcome
from services.trainer.job.evidence import best_pixel_aps, with_best
from services.trainer.job.store import read_accepted_reports
from siad.contracts.keys import run_judgement_key, run_report_key
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
    best = best_pixel_aps(read_accepted_reports(blobs, spec))
    assert set(best.values()) == {0.60}
    now = marked(evidence(ALL, ALL, kinds=CORRECTED, families=FAMILIES), (0.56,) * 3, (0.56,) * 3)
    assert judge_release(now).accepted  # level with what serves
    decision = judge_release(with_best(now, best))
    assert not decision.accepted
    assert "pixel AP 0.560 on the 3 defects of family 1, best 0.600" in decision.text
